"""The heads of a cluster's ingesters, over gRPC."""

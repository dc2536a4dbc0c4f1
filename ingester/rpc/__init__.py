"""An ingester's gRPC service."""

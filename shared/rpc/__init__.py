"""gRPC between the processes of a cluster: messages, methods, channels, and who answers for which partition."""

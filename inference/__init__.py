"""The GPUs: models behind one gRPC service."""

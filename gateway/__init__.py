"""The door: HTTP and JSON outside, gRPC inside."""

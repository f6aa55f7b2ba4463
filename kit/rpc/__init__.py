"""gRPC as this house speaks it: policies, one mapping of errors, deadlines, identities."""

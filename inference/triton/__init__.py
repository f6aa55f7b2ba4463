"""Between the service and the engine: Triton carries requests, events and pictures."""

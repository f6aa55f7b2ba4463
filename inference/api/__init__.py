"""InferenceService: translates between messages and the engine, wherever that runs."""

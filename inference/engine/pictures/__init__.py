"""Pictures and masks: read, fitted to a model's size, written."""

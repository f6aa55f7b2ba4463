"""Writing: one port, a language model and an offline writer behind it."""

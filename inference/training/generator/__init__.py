"""Training of the small SDXL-compatible generator."""

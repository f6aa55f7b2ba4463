"""templates: what can be made, by which path, and for how much."""

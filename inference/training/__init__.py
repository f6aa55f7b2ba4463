"""Training of the small bundled models: a world of drawn scenes, and the networks that learn it."""

"""How Atelier is run."""

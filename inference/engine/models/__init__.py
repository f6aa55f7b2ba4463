"""Models by directory: their families, and rows as they sample them."""

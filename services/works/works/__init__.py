"""Works, their files and their history."""

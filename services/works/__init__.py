"""What was made and who sees it."""

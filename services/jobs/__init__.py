"""What is being made."""

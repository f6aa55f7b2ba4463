"""Categories: production paths with a style of their own and a limit."""

"""Live events of jobs."""

"""Other places for the engine than Triton, behind the same port."""

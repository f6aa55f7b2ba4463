"""The step loop: which rows and models have their turn, and what becomes of a row."""

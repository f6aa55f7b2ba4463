"""Templates: forms, workflow graphs and prices, in versions that never change."""

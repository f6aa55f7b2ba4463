"""Training of the small SAM3-compatible segmenter."""

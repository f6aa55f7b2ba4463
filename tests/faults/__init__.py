"""What becomes of accepted work when processes and servers die, hang or lose their store."""

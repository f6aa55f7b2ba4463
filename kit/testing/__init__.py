"""What tests of services stand on; nothing of it is imported by a running process."""

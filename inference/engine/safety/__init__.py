"""The check of finished pictures: its port, and one that needs no other machine."""

"""Files of users: reserved, sent straight to storage, checked, kept once, swept."""

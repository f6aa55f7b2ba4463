"""Runs items: takes them from the queue, executes their graphs, delivers what they make."""

"""The check of a file that a stranger sent, in a process of its own.

Nothing here imports the rest of the house: the process that reads hostile bytes holds as little as
it can.
"""

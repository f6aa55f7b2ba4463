"""Safety checks that are asked elsewhere; the port and the local one are the engine's."""

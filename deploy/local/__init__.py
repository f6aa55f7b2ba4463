"""The whole of Atelier on one machine: real parts from wheels, one supervisor, one data folder."""

"""The services, split by domain; none imports another."""

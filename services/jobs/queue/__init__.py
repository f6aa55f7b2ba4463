"""The queue: claims, leases, steps, retries."""

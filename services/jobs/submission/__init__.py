"""Submissions: from a request to a queued job, and its cancellation."""

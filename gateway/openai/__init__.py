"""The OpenAI-compatible face: pictures and chat for clients that know no other API.

Everything that it does is a job, submitted, held and captured like any other.
"""

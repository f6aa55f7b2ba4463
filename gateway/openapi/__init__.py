"""The OpenAPI 3.1 document, from the descriptors, their comments and their options."""

from gateway.openapi.comments import comments
from gateway.openapi.document import build, text

__all__ = ["build", "comments", "text"]

"""Models, as that API calls what makes something: here they are templates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from atelier.templates.v1 import templates_pb2

from gateway.openai.faults import Fault

CHAT = "general-chat"
PICTURE = "general-picture"
# Clients that were written for OpenAI name its models: those stand for ours.
_PICTURES = ("dall-e-", "gpt-image-", "chatgpt-image-")
_CHATS = ("gpt-", "chatgpt-", "o1", "o3", "o4")


def listed(templates: Iterable[templates_pb2.Template]) -> list[dict[str, Any]]:
    """Returns as models the templates that need nothing but a text and make one kind of thing."""
    return [model(each.id) for each in templates if _is_model(each)]


def _is_model(template: templates_pb2.Template) -> bool:
    required = [field.id for field in template.form_fields if field.required]
    by_default = [output for output in template.outputs if output.by_default]
    makes = {output.work_type for output in by_default}
    is_known = template.id == CHAT or makes == {"promotional_image"}
    return is_known and required == ["text"]


def model(template_id: str) -> dict[str, Any]:
    """Returns a template as a model; since when there is one is not kept."""
    return {"id": template_id, "object": "model", "created": 0, "owned_by": "atelier"}


def picture_template(asked: str) -> str:
    """Returns the template for a model of pictures."""
    return PICTURE if not asked or asked.startswith(_PICTURES) else asked


def chat_template(asked: str) -> str:
    """Returns the template for a model of chat.

    Raises:
        Fault: There is no such model.
    """
    if asked == CHAT or (asked.startswith(_CHATS) and not asked.startswith(_PICTURES)):
        return CHAT
    raise unknown(asked)


def unknown(asked: str) -> Fault:
    """The fault of a model that does not exist."""
    message = f"The model '{asked[:64]}' does not exist or you do not have access to it."
    return Fault(404, message, code="model_not_found", param="model")

"""What goes in and out of this face, as its OpenAPI document says it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from gateway.openai import conversation, images

Schema = dict[str, Any]

_IGNORED = "Taken, without effect."
_REFUSED = "Not supported: refused unless it asks for nothing."


def _object(properties: dict[str, Schema], *optional: str) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _parameters(
    heeded: dict[str, Schema], required: set[str], ignored: set[str], refused: Collection[str]
) -> Schema:
    """A body, with what is known of it beside what is heeded."""
    rest = {
        **{name: {"description": _IGNORED} for name in sorted(ignored)},
        **{name: {"description": _REFUSED} for name in refused},
    }
    return {
        "type": "object",
        "properties": {**heeded, **rest},
        "required": sorted(required),
        "additionalProperties": False,
    }


_TEXT: Schema = {"type": "string"}
_NOTHING: Schema = {"type": "null"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_MODEL = _object(
    {
        "id": {**_TEXT, "description": "The template's id."},
        "object": {"const": "model"},
        "created": {**_COUNT, "description": "Not kept: 0."},
        "owned_by": {"const": "atelier"},
    }
)
_MODELS = _object({"object": {"const": "list"}, "data": {"type": "array", "items": _ref("Model")}})
_PICTURE_ASKED: dict[str, Schema] = {
    "prompt": {**_TEXT, "minLength": 1, "description": "As long as the template takes: 2,000."},
    "model": {"type": ["string", "null"], "description": "A model of the list, or OpenAI's name."},
    "n": {"type": ["integer", "null"], "minimum": 1, "maximum": images.N_MAX, "default": 1},
    "size": {
        "type": ["string", "null"],
        "pattern": r"^(auto|\d{1,5}x\d{1,5})$",
        "description": f"The nearest of {', '.join(images.ASPECTS)} is drawn.",
    },
    "response_format": {
        "enum": ["url", "b64_json", None],
        "description": "`b64_json` is usual for `gpt-image-…`, `url` for the others.",
    },
    "quality": {"enum": [*images.QUALITIES, None], "description": _IGNORED},
    "background": {"enum": ["auto", "opaque", None]},
    "output_format": {"enum": ["jpeg", None]},
    "stream": {"enum": [False, None], "description": _REFUSED},
    "seed": {"type": ["integer", "null"], "minimum": 0, "maximum": images.SEED_MAX},
}
_PICTURE = {
    "type": "object",
    "properties": {
        "url": {**_TEXT, "description": "For 15 minutes."},
        "b64_json": _TEXT,
        "revised_prompt": {**_TEXT, "description": "What was drawn."},
    },
    "required": ["revised_prompt"],
    "oneOf": [{"required": ["url"]}, {"required": ["b64_json"]}],
}
_PICTURES = _object(
    {"created": _COUNT, "data": {"type": "array", "minItems": 1, "items": _ref("Picture")}}
)
_PART = _object({"type": {"const": "text"}, "text": _TEXT})
_MESSAGE = _object(
    {
        "role": {"enum": ["system", "developer", "user", "assistant"]},
        "content": {"anyOf": [_TEXT, {"type": "array", "minItems": 1, "items": _PART}]},
    }
)
_TOKENS = {"type": ["integer", "null"], "minimum": 1, "maximum": conversation.TOKENS_ASKED_MAX}
_CHAT_ASKED: dict[str, Schema] = {
    "model": {**_TEXT, "description": "`general-chat`, or OpenAI's name of a model of chat."},
    "messages": {"type": "array", "minItems": 1, "items": _ref("Message")},
    "stream": {"type": ["boolean", "null"], "default": False},
    "stream_options": {
        "type": ["object", "null"],
        "properties": {"include_usage": {"type": "boolean"}},
        "description": "With `stream` only.",
    },
    "max_tokens": _TOKENS,
    "max_completion_tokens": _TOKENS,
    "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
    "stop": {
        "anyOf": [
            _TEXT,
            {
                "type": "array",
                "maxItems": conversation.STOPS_MAX,
                "items": {**_TEXT, "minLength": 1},
            },
            _NOTHING,
        ]
    },
}
_USAGE = _object(dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), _COUNT))
_HEAD: dict[str, Schema] = {
    "id": _TEXT,
    "created": _COUNT,
    "model": {**_TEXT, "description": "What has answered; `atelier-offline` without an endpoint."},
    "system_fingerprint": {"type": ["string", "null"]},
}
_FINISH = {"enum": ["stop", "length"]}
_COMPLETION = _object(
    {
        **_HEAD,
        "object": {"const": "chat.completion"},
        "choices": {
            "type": "array",
            "items": _object(
                {
                    "index": {"const": 0},
                    "message": _object(
                        {"role": {"const": "assistant"}, "content": _TEXT, "refusal": _NOTHING}
                    ),
                    "logprobs": _NOTHING,
                    "finish_reason": _FINISH,
                }
            ),
        },
        "usage": _ref("Usage"),
    }
)
_CHUNK = _object(
    {
        **_HEAD,
        "object": {"const": "chat.completion.chunk"},
        "choices": {
            "type": "array",
            "items": _object(
                {
                    "index": {"const": 0},
                    "delta": _object({"role": _TEXT, "content": _TEXT}, "role", "content"),
                    "logprobs": _NOTHING,
                    "finish_reason": {"anyOf": [_FINISH, _NOTHING]},
                }
            ),
        },
        "usage": _ref("Usage"),
    },
    "usage",
)
_ERROR = _object(
    {
        "error": _object(
            {
                "message": _TEXT,
                "type": _TEXT,
                "param": {"type": ["string", "null"], "description": "The parameter at fault."},
                "code": {"type": ["string", "null"], "description": "Stable."},
            }
        )
    }
)

NAMED: dict[str, Schema] = {
    "Model": _MODEL,
    "Models": _MODELS,
    "PicturesAsked": _parameters(_PICTURE_ASKED, {"prompt"}, images.IGNORED, ()),
    "Picture": _PICTURE,
    "Pictures": _PICTURES,
    "Message": _MESSAGE,
    "ChatAsked": _parameters(
        _CHAT_ASKED, {"model", "messages"}, conversation.IGNORED, conversation.REFUSED
    ),
    "Completion": _COMPLETION,
    "Chunk": _CHUNK,
    "Usage": _USAGE,
    "Error": _ERROR,
}

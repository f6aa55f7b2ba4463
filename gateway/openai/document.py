"""The OpenAPI 3.1 document of this face: a small one, for what is OpenAI's is documented there.

Paths and methods come from the door's own table, so that no route is without its description.
"""

from __future__ import annotations

import json
from typing import Any

from gateway.context import VERSION
from gateway.openai.door import ROOT, ROUTES, SCOPES
from gateway.openai.schemas import NAMED

_ABOUT = """Images and chat for programs that were written for OpenAI's API: its clients work with
the `base_url` `…/openai/v1` and an API key (`atl_…`) or an access token. What makes a picture or an
answer is a template, called a model here; a known model of OpenAI's stands for ours.

Refusals have OpenAI's shape. Parameters that nobody knows are refused; those that are taken without
effect say so. Everything else is in [Atelier's own API](/docs).
"""
# Beside the face, and not below it: there every path answers in OpenAI's shape.
PATH = "/openai/openapi.json"
# Statuses by what they mean; those of everything, and those of what makes something.
_READ = {
    "400": "A parameter is missing, unknown or cannot be taken.",
    "401": "There is no key, or it is not valid.",
    "403": "The key lacks a scope; an account is suspended.",
    "404": "There is no such model or path.",
    "429": "Too many calls (`rate_limit_exceeded`), or too few credits (`insufficient_quota`).",
    "500": "An unexpected fault.",
    "503": "Something is away, or stops.",
    "504": "It was not finished in time.",
}
_MADE = {
    "408": "The body did not arrive in time.",
    "409": "The same idempotency key is at work, or something is in another state.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
}
_ASKED_CHAT = {
    "model": "general-chat",
    "messages": [{"role": "user", "content": "카페 신메뉴 딸기 라떼 홍보 문구 써 줘"}],
}
_HEAD = {
    "id": "chatcmpl-0197a2f4-5f00-7001-8000-000000000000",
    "created": 1_769_817_600,
    "model": "atelier-offline",
    "system_fingerprint": "fp_atelier-offline",
}
_USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
_MODEL = {"id": "general-picture", "object": "model", "created": 0, "owned_by": "atelier"}
_ERROR = {
    "error": {
        "message": "Invalid 'n': must be an integer from 1 to 8.",
        "type": "invalid_request_error",
        "param": "n",
        "code": "invalid_value",
    }
}


def _content(name: str, example: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}, "example": example}


def _json(name: str, example: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": _content(name, example)}


_MESSAGE = {"role": "assistant", "content": "딸기 라떼가 왔어요.", "refusal": None}
_CHOICE = {"index": 0, "message": _MESSAGE, "logprobs": None, "finish_reason": "stop"}
_PIECE = {"index": 0, "delta": {"content": "딸기 "}, "logprobs": None, "finish_reason": None}
_COMPLETION = {**_HEAD, "object": "chat.completion", "choices": [_CHOICE], "usage": _USAGE}
_CHUNK = {**_HEAD, "object": "chat.completion.chunk", "choices": [_PIECE]}
_STREAM = {
    "text/event-stream": {
        **_content("Chunk", _CHUNK),
        "schema": {
            "$ref": "#/components/schemas/Chunk",
            "description": "Of each `data:` line; the last is `[DONE]`, or an error.",
        },
    }
}
_PICTURE = {"url": "https://objects.example.org/works/0197a2f4", "revised_prompt": "a red mug"}

# By path: how it is called, what it takes and what it answers.
_OPERATIONS: dict[str, dict[str, Any]] = {
    "/models": {
        "operationId": "listModels",
        "summary": "What can be made: templates that need nothing but a text",
        "answer": _json("Models", {"object": "list", "data": [_MODEL]}),
    },
    "/models/{model}": {
        "operationId": "retrieveModel",
        "summary": "One of them",
        "answer": _json("Model", _MODEL),
    },
    "/images/generations": {
        "operationId": "createImage",
        "summary": "Pictures by a text; answered when they are made",
        "asked": _json("PicturesAsked", {"prompt": "빨간 머그잔", "size": "1024x1792", "n": 2}),
        "answer": _json("Pictures", {"created": 1_769_817_600, "data": [_PICTURE]}),
    },
    "/chat/completions": {
        "operationId": "createChatCompletion",
        "summary": "A conversation is answered, whole or word by word",
        "asked": _json("ChatAsked", _ASKED_CHAT),
        "answer": {**_json("Completion", _COMPLETION), **_STREAM},
    },
}


def _parameters(path: str, verb: str) -> list[dict[str, Any]]:
    found = []
    if "{model}" in path:
        named = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
        found.append({**named, "description": "The id of a model."})
    if verb == "POST":
        schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
        text = "The same key gives the same answer, for 30 days; without one, who leaves cancels."
        named = {"name": "Idempotency-Key", "in": "header", "required": False, "schema": schema}
        found.append({**named, "description": text})
    return found


def _operation(path: str, verb: str) -> dict[str, Any]:
    told = dict(_OPERATIONS[path])
    answer, asked = told.pop("answer"), told.pop("asked", None)
    refusals = {**_READ, **_MADE} if asked else _READ
    responses = {"200": {"description": "Made." if asked else "Found.", "content": answer}}
    for status, text in sorted(refusals.items()):
        responses[status] = {"description": text, "content": _json("Error", _ERROR)}
    scopes = list(SCOPES) if asked else ["templates:read"]
    operation = {
        **told,
        "tags": ["openai"],
        "parameters": _parameters(path, verb),
        "responses": responses,
        "security": [{"apiKey": scopes}, {"bearer": []}],
    }
    return operation | ({"requestBody": {"required": True, "content": asked}} if asked else {})


def build() -> dict[str, Any]:
    """Builds the document."""
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Atelier for OpenAI's clients",
            "version": VERSION,
            "description": _ABOUT,
        },
        "servers": [{"url": ROOT}],
        "tags": [{"name": "openai", "description": "Images and chat in OpenAI's shape."}],
        "externalDocs": {"description": "Atelier's own API", "url": "/docs"},
        "paths": {
            path: {verb.lower(): _operation(path, verb)} for path, (verb, _) in ROUTES.items()
        },
        "components": {
            "schemas": NAMED,
            "securitySchemes": {
                "apiKey": {**bearer, "bearerFormat": "atl_", "description": "With these scopes."},
                "bearer": {**bearer, "bearerFormat": "JWT", "description": "Of a session."},
            },
        },
    }


def text() -> str:
    """Builds the document as it is served."""
    return json.dumps(build(), ensure_ascii=False) + "\n"

"""What tests of the OpenAI-compatible face ask for, and what they see of it from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
from jsonschema import Draft202012Validator
from openai import AsyncOpenAI
from referencing import Registry, Resource

from gateway.openai import document
from gateway.openai.door import ROOT, ROUTES
from tests.studio import Member

SCOPES = ("jobs:write", "jobs:read", "works:read", "templates:read")
ASKED: list[Any] = [{"role": "user", "content": "카페 신메뉴 딸기 라떼 홍보 문구 써 줘"}]
Client = Callable[..., AsyncOpenAI]
DOCUMENT = document.build()
# References are found by a name of the whole document.
_SAID: Resource[Any] = Resource.opaque(
    json.loads(json.dumps(DOCUMENT).replace('"#/', '"urn:face#/'))
)
_REGISTRY: Registry[Any] = Registry().with_resource("urn:face", _SAID)


def check(ref: str, body: Any) -> None:
    """Holds a body against a schema of the face's document."""
    Draft202012Validator({"$ref": f"urn:face{ref}"}, registry=_REGISTRY).validate(body)


async def as_documented(response: httpx.Response) -> None:
    """Holds an answer against the document: its status is named, and its body is as it says."""
    path = response.request.url.path.removeprefix(ROOT)
    template = "/models/{model}" if path.startswith("/models/") else path
    if template not in ROUTES or response.request.method != ROUTES[template][0]:
        return
    said = DOCUMENT["paths"][template][response.request.method.lower()]["responses"]
    content = said[str(response.status_code)]["content"]
    media = response.headers["content-type"].partition(";")[0]
    assert media in content, f"{response.status_code} {media}"
    if media == "application/json":
        await response.aread()
        check(content[media]["schema"]["$ref"], response.json())


async def balance(member: Member) -> dict[str, int]:
    found: dict[str, int] = (await member.get("/v1/credits")).json()
    return found


async def jobs(member: Member) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await member.get("/v1/jobs")).json()["data"]
    return found

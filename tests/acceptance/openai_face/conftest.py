from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.acceptance.openai_face.face import SCOPES, Client, as_documented
from tests.acceptance.test_keys import make_key
from tests.studio import Member, Studio


@pytest.fixture
async def key(member: Member) -> str:
    return str((await make_key(member, *SCOPES))["secret"])


@pytest.fixture
async def connect(studio: Studio) -> AsyncIterator[Client]:
    """Makes clients that hold each answer against the document; they are closed at the end."""
    made: list[AsyncOpenAI] = []

    def client(api_key: str, **more: Any) -> AsyncOpenAI:
        base_url = more.pop("base_url", f"{studio.http.base_url}/openai/v1".replace("//o", "/o"))
        hooks: dict[str, Any] = {"response": [as_documented]}
        http = openai.DefaultAsyncHttpxClient(trust_env=False, event_hooks=hooks)
        more = {"max_retries": 0, "timeout": 60.0} | more
        made.append(AsyncOpenAI(base_url=base_url, api_key=api_key, http_client=http, **more))
        return made[-1]

    yield client
    for each in made:
        await each.close()


@pytest.fixture
def client(connect: Client, key: str) -> AsyncOpenAI:
    return connect(key)

"""The writer that asks a language model, at any OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import openai
from openai import AsyncOpenAI
from pydantic import BaseModel, ValidationError

from services.worker.chains.answers import CopyAnswer, PromptAnswer, wire_schema
from services.worker.chains.conversation import Conversation, OnText, Reply
from services.worker.chains.language import resolve
from services.worker.chains.talk import Said, listen
from services.worker.chains.usage import Prices, Usage, UsageLog
from services.worker.chains.writer import (
    HEADLINE_LENGTH_MAX,
    AdvertCopy,
    ImagePrompt,
    WriterFailed,
)
from services.worker.failures import ContentFiltered

log = logging.getLogger(__name__)

Answer = TypeVar("Answer", bound=BaseModel)

TRIES_MAX = 3
BACKOFF_SECONDS = (0.3, 1.0)
RETRY_AFTER_SECONDS_MAX = 5.0  # three tries must fit into the step's 60 s
ANSWER_TOKENS_MAX = 1024
_PROMPTS = Path(__file__).parent / "prompts"
_SERVICE = "openai"
_TRIED_AGAIN = (408, 409, 429)


class _Unusable(Exception):
    """An answer that cannot be used; the message tells the model what was wrong."""


@cache
def load_prompt(operation: str) -> str:
    """Returns a prompt by name and version, for example ``advert_copy.v1``."""
    return (_PROMPTS / f"{operation}.txt").read_text(encoding="utf-8")


@dataclass(frozen=True)
class LlmWriter:
    """Writes with a language model.

    Attributes:
        client: Of the endpoint, with its time limit and without retries of its own.
        model: The model's name there.
        usage: Told of every call.
        prices: Of the model.
        can_draw: What the image model knows, by kind; empty: anything.
        pause: Waits so many seconds between two tries.
    """

    client: AsyncOpenAI
    model: str
    usage: UsageLog
    prices: Prices = field(default_factory=Prices)
    can_draw: dict[str, list[str]] = field(default_factory=dict)
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def image_prompt(self, text: str, style: str) -> ImagePrompt:
        """See Writer."""
        asked: dict[str, Any] = {"text": text, "style": style}
        if self.can_draw:
            asked["can_draw"] = self.can_draw
        system = load_prompt("image_prompt.v1")
        answer = await self._ask("image_prompt.v1", system, asked, PromptAnswer, {})
        return ImagePrompt(answer.prompt, answer.negative_prompt, tuple(answer.dropped), self.model)

    async def advert_copy(self, text: str, tone: str, language: str) -> AdvertCopy:
        """See Writer."""
        spoken = resolve(language, text)
        longest = HEADLINE_LENGTH_MAX[spoken]
        system = load_prompt("advert_copy.v1").replace("{headline_max}", str(longest))
        asked = {"text": text, "tone": tone, "language": spoken}
        context = {"headline_max": longest}
        answer = await self._ask("advert_copy.v1", system, asked, CopyAnswer, context)
        return AdvertCopy(
            answer.headline,
            answer.subline,
            answer.body,
            answer.call_to_action,
            tuple(answer.hashtags),
            spoken,
            self.model,
        )

    async def reply(self, conversation: Conversation, on_text: OnText) -> Reply:
        """See Writer. After the first word nothing is tried again: it would be another answer."""
        for number in range(TRIES_MAX):
            said = Said(on_text)
            delay = 0.0
            try:
                return await self._listen(conversation, said)
            except openai.APIStatusError as error:
                if error.status_code < 500 and error.status_code not in _TRIED_AGAIN:
                    log.warning("the endpoint refuses", extra={"status": error.status_code})
                    break
                delay = _retry_after(error)
            except (openai.APIError, json.JSONDecodeError):
                if said.text:
                    break
            if number < TRIES_MAX - 1:
                await self.pause(max(delay, _backoff(number)))
        raise WriterFailed("The language model gave no usable answer; nothing was charged.")

    async def _listen(self, conversation: Conversation, said: Said) -> Reply:
        """Asks once and records the call, however it ends."""
        began, status = time.monotonic(), "error"
        try:
            reply = await listen(self.client, self.model, conversation, said)
            status = "ok"
        except ContentFiltered:
            status = "filtered"
            raise
        except openai.APIError as error:
            status = _status(error)
            if status == "filtered":
                raise _filtered() from None
            raise
        finally:
            self._record("chat", time.monotonic() - began, status, said.tokens or (0, 0))
        return reply

    async def _ask(
        self,
        operation: str,
        system: str,
        asked: dict[str, Any],
        form: type[Answer],
        context: dict[str, Any],
    ) -> Answer:
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": json.dumps(asked, ensure_ascii=False)},
        ]
        for number in range(TRIES_MAX):
            try:
                return await self._try(operation, messages, form, context)
            except _Unusable as error:
                messages[2:] = [{"role": "user", "content": f"Not usable: {error}. Answer again."}]
                delay = 0.0
            except openai.APIStatusError as error:
                if error.status_code < 500 and error.status_code not in _TRIED_AGAIN:
                    log.warning("the endpoint refuses", extra={"status": error.status_code})
                    break
                delay = _retry_after(error)
            except openai.APIConnectionError:
                delay = 0.0
            if number < TRIES_MAX - 1:
                await self.pause(max(delay, _backoff(number)))
        raise WriterFailed("The language model gave no usable text; nothing was charged.")

    async def _try(
        self,
        operation: str,
        messages: list[dict[str, str]],
        form: type[Answer],
        context: dict[str, Any],
    ) -> Answer:
        """Asks once and records the call, however it ends."""
        began, status, tokens = time.monotonic(), "error", (0, 0)
        try:
            completion: Any = await self._complete(operation, messages, form)
            tokens = _tokens(completion)
            answer = _read(completion, form, context)
            status = "ok"
        except _Unusable:
            status = "invalid"
            raise
        except ContentFiltered:
            status = "filtered"
            raise
        except openai.APIStatusError as error:
            status = str(error.status_code)
            if error.code == "content_filter":
                status = "filtered"
                raise _filtered() from None
            raise
        except openai.APITimeoutError:
            status = "timeout"
            raise
        except openai.APIConnectionError:
            status = "unreachable"
            raise
        finally:
            self._record(operation, time.monotonic() - began, status, tokens)
        return answer

    async def _complete(
        self, operation: str, messages: list[dict[str, str]], form: type[Answer]
    ) -> Any:
        create: Any = self.client.chat.completions.create
        name = operation.replace(".", "_")
        schema = {"name": name, "strict": True, "schema": wire_schema(form)}
        try:
            return await create(
                model=self.model,
                messages=messages,
                max_tokens=ANSWER_TOKENS_MAX,
                response_format={"type": "json_schema", "json_schema": schema},
            )
        except (json.JSONDecodeError, openai.APIResponseValidationError):
            raise _Unusable("the answer was no JSON") from None

    def _record(self, operation: str, seconds: float, status: str, tokens: tuple[int, int]) -> None:
        cost = self.prices.cost_micro_usd(*tokens)
        usage = Usage(_SERVICE, operation, self.model, *tokens, round(seconds, 3), status, cost)
        self.usage.record(usage)


def _status(error: openai.APIError) -> str:
    if isinstance(error, openai.APITimeoutError):
        return "timeout"
    if isinstance(error, openai.APIConnectionError):
        return "unreachable"
    if error.code == "content_filter":
        return "filtered"
    return str(error.status_code) if isinstance(error, openai.APIStatusError) else "error"


def _tokens(completion: Any) -> tuple[int, int]:
    usage = getattr(completion, "usage", None)
    return (usage.prompt_tokens or 0, usage.completion_tokens or 0) if usage else (0, 0)


def _read(completion: Any, form: type[Answer], context: dict[str, Any]) -> Answer:
    choices = getattr(completion, "choices", None)
    if not choices or not getattr(choices[0], "message", None):
        raise _Unusable("there was no answer")
    choice = choices[0]
    if choice.finish_reason == "content_filter" or getattr(choice.message, "refusal", None):
        raise _filtered()
    try:
        return form.model_validate_json(choice.message.content or "", context=context)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]]
        raise _Unusable("; ".join(faults)) from None


def _filtered() -> ContentFiltered:
    return ContentFiltered("The language model refused this content; nothing is charged.")


def _backoff(number: int) -> float:
    return BACKOFF_SECONDS[min(number, len(BACKOFF_SECONDS) - 1)] * random.uniform(0.5, 1)  # noqa: S311


def _retry_after(error: openai.APIStatusError) -> float:
    try:
        return min(float(error.response.headers.get("retry-after", 0)), RETRY_AFTER_SECONDS_MAX)
    except ValueError:  # an HTTP date; nobody who limits rates sends one
        return 0.0

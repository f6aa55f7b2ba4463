"""One answer of a language model, read token by token from its stream."""

from __future__ import annotations

from typing import Any

from openai import AsyncOpenAI

from services.worker.chains.conversation import (
    ANSWER_LENGTH_MAX,
    Conversation,
    OnText,
    Reply,
    estimate_tokens,
)
from services.worker.failures import ContentFiltered


class Said:
    """What was said so far, told on as it comes.

    Attributes:
        text: All of it.
        finish_reason: Why it ended, or empty.
        model: Who says it, as the endpoint names it.
        tokens: Read and written, where the endpoint tells.
    """

    def __init__(self, on_text: OnText) -> None:
        self.text = ""
        self.finish_reason = ""
        self.model = ""
        self.tokens: tuple[int, int] | None = None
        self._on_text = on_text

    @property
    def is_full(self) -> bool:
        """Whether nothing more is taken."""
        return len(self.text) >= ANSWER_LENGTH_MAX

    def hear(self, chunk: Any) -> None:
        """Takes one chunk of the stream.

        Raises:
            ContentFiltered: The model refuses.
        """
        self.model = getattr(chunk, "model", "") or self.model
        usage = getattr(chunk, "usage", None)
        if usage:
            self.tokens = (usage.prompt_tokens or 0, usage.completion_tokens or 0)
        for choice in getattr(chunk, "choices", None) or ():
            delta = choice.delta
            if choice.finish_reason == "content_filter" or getattr(delta, "refusal", None):
                raise ContentFiltered("The language model refused this; nothing is charged.")
            self.finish_reason = choice.finish_reason or self.finish_reason
            self._say(getattr(delta, "content", None) or "")

    def _say(self, text: str) -> None:
        # NUL and halves of surrogate pairs are valid in JSON, and no database keeps them.
        text = text.replace("\0", "").encode(errors="ignore").decode()
        text = text[: ANSWER_LENGTH_MAX - len(self.text)]
        if text:
            self.text += text
            self._on_text(text)


async def listen(client: AsyncOpenAI, model: str, conversation: Conversation, said: Said) -> Reply:
    """Asks once and reads the stream to its end.

    Raises:
        openai.APIError: The endpoint failed; ``said`` tells whether before the first word.
        ContentFiltered: The model refuses.
    """
    create: Any = client.chat.completions.create
    optional: dict[str, Any] = {}
    if conversation.temperature != 1.0:  # the default, and all that some models take
        optional["temperature"] = conversation.temperature
    if conversation.stop:
        optional["stop"] = list(conversation.stop)
    stream = await create(
        model=model,
        messages=[{"role": each.role, "content": each.content} for each in conversation.messages],
        max_tokens=conversation.max_tokens,
        stream=True,
        stream_options={"include_usage": True},
        **optional,
    )
    async with stream:
        async for chunk in stream:
            said.hear(chunk)
            if said.is_full:
                break
    return _reply(model, conversation, said)


def _reply(model: str, conversation: Conversation, said: Said) -> Reply:
    asked = [each.content for each in conversation.messages]
    tokens = said.tokens or (estimate_tokens(asked), estimate_tokens([said.text]))
    length = said.is_full or said.finish_reason == "length"
    return Reply(
        said.text,
        "length" if length else "stop",
        said.model or model,
        model,
        *tokens,
        is_estimated=said.tokens is None,
    )

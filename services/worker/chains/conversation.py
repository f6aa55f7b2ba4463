"""Conversations: what a writer is asked to answer, and its answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kit.errors import InvalidArgument

ROLES = ("system", "user", "assistant")
MESSAGES_MAX = 50
# A longer answer is cut and says so; with its JSON it stays below what a step may keep.
ANSWER_LENGTH_MAX = 32_000
# Where an endpoint does not say: between English (about 4 bytes a token) and Korean (about 3).
BYTES_PER_TOKEN = 4

# Told what was written, piece by piece; never waits.
OnText = Callable[[str], None]


@dataclass(frozen=True)
class Message:
    """One message: who says it (``system``, ``user`` or ``assistant``), and its text."""

    role: str
    content: str


@dataclass(frozen=True)
class Conversation:
    """What is to be answered.

    Attributes:
        messages: Oldest first, at least one.
        max_tokens: Of the answer.
        temperature: 0 to 2.
        stop: Texts before which the answer ends.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 1024
    temperature: float = 1.0
    stop: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Conversation:
        """Reads the inputs of a node; without messages the text is the only one.

        Raises:
            InvalidArgument: The messages or the stops are of another form.
        """
        given = values["messages"] or [{"role": "user", "content": values["text"]}]
        if not isinstance(given, list) or len(given) > MESSAGES_MAX:
            raise InvalidArgument.of("messages", f"must be a list of at most {MESSAGES_MAX}")
        stop = values["stop"]
        if not isinstance(stop, list) or not all(isinstance(each, str) for each in stop):
            raise InvalidArgument.of("stop", "must be a list of texts")
        messages = tuple(_message(each) for each in given)
        return cls(messages, values["max_tokens"], float(values["temperature"]), tuple(stop))

    @property
    def last_asked(self) -> str:
        """The last message of the user; without one the last of all."""
        asked = [each.content for each in self.messages if each.role == "user"]
        return asked[-1] if asked else self.messages[-1].content


def _message(given: Any) -> Message:
    role = given.get("role") if isinstance(given, dict) else None
    content = given.get("content") if isinstance(given, dict) else None
    if role not in ROLES or not isinstance(content, str):
        raise InvalidArgument.of("messages", "each needs a role and a content of text")
    return Message(role, content)


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        content: Its text.
        finish_reason: ``stop``, or ``length`` where it was cut.
        model: Who wrote it, as the endpoint says; ``atelier-offline`` for the offline writer.
        writer: ``offline`` or the configured model's name.
        prompt_tokens: Tokens that were read.
        completion_tokens: Tokens that were written.
        is_estimated: Whether the two are estimates, for want of a report.
    """

    content: str
    finish_reason: str
    model: str
    writer: str
    prompt_tokens: int
    completion_tokens: int
    is_estimated: bool

    def as_json(self) -> dict[str, Any]:
        """Returns it as a document."""
        return asdict(self)


def estimate_tokens(texts: Sequence[str]) -> int:
    """Estimates tokens by the length in UTF-8."""
    return math.ceil(sum(len(text.encode()) for text in texts) / BYTES_PER_TOKEN)


def cut(text: str, conversation: Conversation) -> tuple[str, str]:
    """Ends a text where the conversation wants it to; returns it with the finish reason."""
    for stop in conversation.stop:
        text = text.partition(stop)[0] if stop else text
    longest = conversation.max_tokens * BYTES_PER_TOKEN
    raw = text.encode()
    if len(raw) <= longest:
        return text, "stop"
    return raw[:longest].decode(errors="ignore"), "length"

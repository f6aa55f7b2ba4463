"""The writer port: what any writer is asked and what it answers."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from kit.errors import DomainError
from services.worker.chains.conversation import Conversation, OnText, Reply

log = logging.getLogger(__name__)

PROMPT_LENGTH_MAX = 1000
HEADLINE_LENGTH_MAX = {"ko": 24, "en": 40}
SUBLINE_LENGTH_MAX = 60
BODY_LENGTH_MAX = 400
CALL_LENGTH_MAX = 30
HASHTAGS_MAX = 8
DROPPED_MAX = 20


class WriterFailed(DomainError):
    """No text could be had: three tries failed, or the endpoint refuses us."""

    reason = "WRITER_FAILED"


@dataclass(frozen=True)
class ImagePrompt:
    """What the image model is told.

    Attributes:
        prompt: In English, at most 1,000 characters.
        negative_prompt: What to avoid, or empty.
        dropped: What of the request cannot be drawn and was left out.
        writer: Who wrote it: ``offline`` or the model's name.
    """

    prompt: str
    negative_prompt: str
    dropped: tuple[str, ...]
    writer: str


@dataclass(frozen=True)
class AdvertCopy:
    """Advert copy in one language.

    Attributes:
        headline: At most 24 characters in Korean, 40 in English.
        subline: At most 60 characters.
        body: At most 400 characters.
        call_to_action: At most 30 characters.
        hashtags: At most 8, each with its ``#`` and without spaces.
        language: ``ko`` or ``en``.
        writer: Who wrote it.
    """

    headline: str
    subline: str
    body: str
    call_to_action: str
    hashtags: tuple[str, ...]
    language: str
    writer: str

    def as_json(self) -> dict[str, Any]:
        """Returns it as the copy's document."""
        return {**asdict(self), "hashtags": list(self.hashtags)}


class Writer(Protocol):
    """Writes; every method raises WriterFailed or ContentFiltered."""

    async def image_prompt(self, text: str, style: str) -> ImagePrompt:
        """Turns plain Korean or English into a prompt.

        Args:
            text: What the user wants, at most 2,000 characters.
            style: How it is to look, in words; may be empty.
        """

    async def advert_copy(self, text: str, tone: str, language: str) -> AdvertCopy:
        """Writes advert copy.

        Args:
            text: What is advertised.
            tone: In words; may be empty.
            language: ``ko``, ``en``, or ``auto`` for that of the text.
        """

    async def reply(self, conversation: Conversation, on_text: OnText) -> Reply:
        """Answers a conversation.

        Args:
            conversation: What is to be answered.
            on_text: Told every piece of the answer as it comes.
        """


@dataclass(frozen=True)
class FallbackWriter:
    """Asks one writer and, where that failed and the operator allowed it, another.

    Attributes:
        first: Is asked always.
        second: Is asked where the first failed; its answers carry its own name.
    """

    first: Writer
    second: Writer

    async def image_prompt(self, text: str, style: str) -> ImagePrompt:
        """See Writer."""
        try:
            return await self.first.image_prompt(text, style)
        except WriterFailed:
            log.warning("the second writer steps in", extra={"operation": "image_prompt"})
            return await self.second.image_prompt(text, style)

    async def advert_copy(self, text: str, tone: str, language: str) -> AdvertCopy:
        """See Writer."""
        try:
            return await self.first.advert_copy(text, tone, language)
        except WriterFailed:
            log.warning("the second writer steps in", extra={"operation": "advert_copy"})
            return await self.second.advert_copy(text, tone, language)

    async def reply(self, conversation: Conversation, on_text: OnText) -> Reply:
        """See Writer. Once a word is out, nobody else goes on with the sentence."""
        has_begun = False

        def note(text: str) -> None:
            nonlocal has_begun
            has_begun = True
            on_text(text)

        try:
            return await self.first.reply(conversation, note)
        except WriterFailed:
            if has_begun:
                raise
            log.warning("the second writer steps in", extra={"operation": "chat"})
            return await self.second.reply(conversation, on_text)

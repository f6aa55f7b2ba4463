"""The offline writer: deterministic, and says of itself that it is one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.worker.chains.conversation import (
    Conversation,
    OnText,
    Reply,
    cut,
    estimate_tokens,
)
from services.worker.chains.language import detect, resolve, with_particles
from services.worker.chains.offline.scene import Scene, describe, imagine, leave_out
from services.worker.chains.offline.vocabulary import Vocabulary
from services.worker.chains.offline.words import Brief, Words, load_words, read_brief
from services.worker.chains.writer import (
    DROPPED_MAX,
    HEADLINE_LENGTH_MAX,
    PROMPT_LENGTH_MAX,
    SUBLINE_LENGTH_MAX,
    AdvertCopy,
    ImagePrompt,
)

NAME = "offline"
MODEL = "atelier-offline"
_PIECES = re.compile(r"\s*\S+|\s+$")
_CONFESSION = {
    "ko": "(언어 모델 없이 오프라인 작성기가 쓴 문구입니다.)",
    "en": "(Written by the offline writer: no language model is connected.)",
}
HASHTAGS_SHOWN = 5
_GENERAL = "general"
_SPLIT = re.compile(r"[\s'’]+")


@dataclass(frozen=True)
class OfflineWriter:
    """Writes from patterns.

    Attributes:
        vocabulary: What the image model can draw; None: anything, prompts are passed on as given.
    """

    vocabulary: Vocabulary | None

    async def image_prompt(self, text: str, style: str) -> ImagePrompt:
        """See Writer. The same request always gives the same prompt."""
        if self.vocabulary is None:
            joined = f"{text.strip()}, {style.strip()}" if style.strip() else text.strip()
            return ImagePrompt(joined[:PROMPT_LENGTH_MAX], "", (), NAME)
        # The style is the template's, not the request's, and says nothing that this model knows:
        # read like the request, a "film still" would put a reel on the table.
        matches = self.vocabulary.find(text)
        scene = imagine(matches, self.vocabulary)
        prompt = describe(scene, self.vocabulary)
        dropped = leave_out(text, matches, scene, load_words(detect(text)))
        return ImagePrompt(prompt, "", dropped[:DROPPED_MAX], NAME)

    async def advert_copy(self, text: str, tone: str, language: str) -> AdvertCopy:
        """See Writer. Says nothing that the text does not say: no prices, no claims."""
        spoken = resolve(language, text)
        words = load_words(spoken)
        brief = read_brief(text, load_words(detect(text)))
        scene = imagine(self.vocabulary.find(text), self.vocabulary) if self.vocabulary else None
        category = self._category(scene)
        named = self._named(brief, scene, detect(text), words, category)
        return _compose(text, named, brief, words, category, words.tone(tone))

    async def reply(self, conversation: Conversation, on_text: OnText) -> Reply:
        """See Writer. It answers everything with advert copy, and says that it is offline."""
        copy = await self.advert_copy(conversation.last_asked, "", "auto")
        content, finish_reason = cut(_letter(copy), conversation)
        for piece in _PIECES.findall(content):
            on_text(piece)
        asked = [each.content for each in conversation.messages]
        return Reply(
            content,
            finish_reason,
            MODEL,
            NAME,
            estimate_tokens(asked),
            estimate_tokens([content]),
            is_estimated=True,
        )

    def _category(self, scene: Scene | None) -> str:
        if scene is None or self.vocabulary is None:
            return _GENERAL
        return self.vocabulary.categories[scene.things[0].object]

    def _named(
        self, brief: Brief, scene: Scene | None, heard: str, words: Words, category: str
    ) -> str:
        """Names the product in the language that is written."""
        if heard == words.language and brief.product:
            return brief.product
        if scene is None or scene.is_guess or self.vocabulary is None:
            return str(words.data["products"][category])
        thing = scene.things[0]
        key = (words.language, thing.object, thing.colour)
        by_language = self.vocabulary.korean if words.language == "ko" else self.vocabulary.english
        return self.vocabulary.flavours.get(key) or by_language["object"][thing.object]


def _letter(copy: AdvertCopy) -> str:
    head = "\n".join(filter(None, (copy.headline, copy.subline)))
    tail = f"{copy.call_to_action}\n{' '.join(copy.hashtags)}"
    return "\n\n".join((head, copy.body, tail, _CONFESSION[copy.language]))


def _compose(
    text: str, product: str, brief: Brief, words: Words, category: str, tone: str
) -> AdvertCopy:
    values = _values(product, brief, words)
    situation = _situation(brief, words)
    longest = HEADLINE_LENGTH_MAX[words.language]
    headline = _fitting(words.data["headlines"][situation], values, longest, text)
    sublines = words.data["sublines"].get(tone) or words.data["sublines"][category]
    body = "promotion" if situation in ("percent", "deal", "promotion") else situation
    return AdvertCopy(
        headline=headline,
        subline=_fitting(sublines, values, SUBLINE_LENGTH_MAX, text),
        body=_filled(words.data["bodies"][body][0], values),
        call_to_action=_chosen(words.data["calls"][category], text),
        hashtags=_hashtags(product, brief, words, category),
        language=words.language,
        writer=NAME,
    )


def _situation(brief: Brief, words: Words) -> str:
    """Returns what the headline speaks of, the most telling first."""
    promotion = brief.promotion in words.groups["promotion"] and brief.promotion
    said = {
        "percent": brief.percent,
        "deal": brief.deal,
        "promotion": promotion,
        "new": brief.is_new,
        "season": brief.season in words.data["seasons"] and brief.season,
    }
    return next((name for name, value in said.items() if value), "plain")


def _values(product: str, brief: Brief, words: Words) -> dict[str, str]:
    place = brief.place if brief.place in words.groups["place"] else words.data["place"]
    offer = " ".join(filter(None, (brief.percent or brief.deal, brief.promotion)))
    if brief.percent and brief.promotion not in words.groups["promotion"]:
        offer = brief.percent
    return {
        "product": product,
        "Product": product[:1].upper() + product[1:],
        "percent": brief.percent,
        "deal": brief.deal,
        "promotion": brief.promotion,
        "season": brief.season,
        "Season": brief.season[:1].upper() + brief.season[1:],
        "place": place,
        "offer": offer,
    }


def _filled(pattern: str, values: Mapping[str, str]) -> str:
    return with_particles(pattern.format_map(values))


def _fitting(patterns: Sequence[str], values: Mapping[str, str], longest: int, text: str) -> str:
    """Fills one of the patterns that fit; where none does, the shortest is cut."""
    filled = [_filled(pattern, values) for pattern in patterns]
    fitting = [line for line in filled if len(line) <= longest]
    if fitting:
        return _chosen(fitting, text)
    return min(filled, key=len)[:longest].rstrip()


def _chosen(options: Sequence[str], text: str) -> str:
    """Chooses by the text's hash: the same request gives the same words."""
    digest = hashlib.sha256(text.encode()).digest()
    return options[int.from_bytes(digest[:4], "big") % len(options)]


def _hashtags(product: str, brief: Brief, words: Words, category: str) -> tuple[str, ...]:
    tags = words.data["tags"]
    said = brief.place in words.groups["place"] and brief.place not in words.data["plain_places"]
    named = [product, brief.place if said else ""]
    if brief.is_new:
        named.append(tags["new"] if category == "eats" else tags["new_other"])
    if brief.percent or brief.deal or brief.promotion:
        named.append(tags["promotion"])
    named += [brief.season if brief.season in words.data["seasons"] else "", tags[category]]
    joined = (_tag(name, words.language) for name in named if name)
    return tuple(dict.fromkeys(filter(None, joined)))[:HASHTAGS_SHOWN]


def _tag(name: str, language: str) -> str:
    parts = [re.sub(r"\W", "", part) for part in _SPLIT.split(name)]
    joined = "".join(part if language == "ko" else part[:1].upper() + part[1:] for part in parts)
    return f"#{joined[:38]}" if joined else ""

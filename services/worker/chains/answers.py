"""What a language model must answer: forms that are sent along and checked again on return."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from services.worker.chains.writer import (
    BODY_LENGTH_MAX,
    CALL_LENGTH_MAX,
    DROPPED_MAX,
    HASHTAGS_MAX,
    PROMPT_LENGTH_MAX,
    SUBLINE_LENGTH_MAX,
)

# Strict structured output of several endpoints refuses these; they are checked here instead.
_NOT_SENT = ("minLength", "maxLength", "minItems", "maxItems", "pattern", "title", "default")


def _hashtag(text: str) -> str:
    word = "".join(text.split()).lstrip("#")
    if not word:
        raise ValueError("a hashtag is empty")
    return f"#{word}"


Hashtag = Annotated[str, Field(max_length=40), AfterValidator(_hashtag)]
Short = Annotated[str, Field(max_length=200)]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class PromptAnswer(_Answer):
    """The answer to ``image_prompt``."""

    prompt: str = Field(min_length=1, max_length=PROMPT_LENGTH_MAX)
    negative_prompt: str = Field(max_length=PROMPT_LENGTH_MAX)
    dropped: list[Short] = Field(max_length=DROPPED_MAX)


class CopyAnswer(_Answer):
    """The answer to ``advert_copy``; the headline's limit depends on the language."""

    headline: str = Field(min_length=1)
    subline: str = Field(max_length=SUBLINE_LENGTH_MAX)
    body: str = Field(min_length=1, max_length=BODY_LENGTH_MAX)
    call_to_action: str = Field(min_length=1, max_length=CALL_LENGTH_MAX)
    hashtags: list[Hashtag] = Field(min_length=1, max_length=HASHTAGS_MAX)

    @field_validator("headline")
    @classmethod
    def _fits(cls, headline: str, info: ValidationInfo) -> str:
        longest = (info.context or {}).get("headline_max")
        if longest and len(headline) > longest:
            raise ValueError(f"must have at most {longest} characters, and has {len(headline)}")
        return headline


def wire_schema(form: type[BaseModel]) -> dict[str, Any]:
    """Returns the JSON Schema that is sent: every property required, no others, no limits."""
    schema = form.model_json_schema()
    properties = {
        name: {key: value for key, value in described.items() if key not in _NOT_SENT}
        for name, described in schema["properties"].items()
    }
    for described in properties.values():
        if "items" in described:
            described["items"] = {"type": described["items"]["type"]}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }

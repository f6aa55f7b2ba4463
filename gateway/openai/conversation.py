"""Requests for chat: what can be taken becomes the inputs of a job, what cannot is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.openai.body import Body, wrong
from gateway.openai.faults import Fault
from gateway.openai.models import chat_template

# A longer answer is cut, and says so by its finish_reason.
TOKENS_MAX = 4096
TOKENS_ASKED_MAX = 10_000_000
STOPS_MAX = 4
TITLE_LENGTH_MAX = 200
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
# Taken and without effect.
IGNORED = {
    *("user", "seed", "top_p", "presence_penalty", "frequency_penalty", "metadata", "store"),
    *("service_tier", "safety_identifier", "prompt_cache_key", "reasoning_effort", "verbosity"),
    *("logit_bias", "parallel_tool_calls"),
}
# Refused, unless they ask for nothing.
REFUSED: dict[str, tuple[Any, ...]] = {
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "response_format": ({"type": "text"},),
}
KNOWN = {
    *IGNORED,
    *REFUSED,
    *("messages", "model", "stream", "stream_options", "max_tokens", "max_completion_tokens"),
    *("temperature", "stop"),
}


@dataclass(frozen=True)
class Asked:
    """A checked request.

    Attributes:
        model: As the client names it.
        template_id: What answers.
        inputs: Of the template's form.
        stream: Whether the answer comes word by word.
        include_usage: Whether a last chunk tells the tokens.
    """

    model: str
    template_id: str
    inputs: dict[str, Any]
    stream: bool
    include_usage: bool


def read(given: Any) -> Asked:
    """Checks a request.

    Raises:
        Fault: A parameter is missing, unknown, or cannot be taken.
    """
    body = Body(given)
    body.check_names(KNOWN)
    for name, harmless in REFUSED.items():
        body.refuse(name, *harmless)
    model = body.text("model")
    messages = _messages(body.get("messages"))
    inputs: dict[str, Any] = {"text": _title(messages), "messages": messages}
    for name in ("max_completion_tokens", "max_tokens"):
        tokens = body.integer(name, 1, TOKENS_ASKED_MAX)
        if tokens is not None:
            inputs["max_tokens"] = min(tokens, TOKENS_MAX)
    temperature = body.number("temperature", 0, 2)
    if temperature is not None:
        inputs["temperature"] = temperature
    inputs["stop"] = _stops(body.get("stop"))
    stream = body.flag("stream")
    include_usage = _include_usage(body.get("stream_options"), stream=stream)
    return Asked(model, chat_template(model), inputs, stream, include_usage)


def _include_usage(options: Any, *, stream: bool) -> bool:
    if options is None:
        return False
    if not stream or not isinstance(options, dict):
        raise wrong("stream_options", "is an object, and only allowed with stream")
    return options.get("include_usage") is True


def _stops(stop: Any) -> list[str]:
    given = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(given, list) or len(given) > STOPS_MAX:
        raise wrong("stop", f"must be a string or a list of at most {STOPS_MAX}")
    if not all(isinstance(each, str) and each for each in given):
        raise wrong("stop", "must be made of strings that are not empty")
    return given


def _messages(given: Any) -> list[dict[str, str]]:
    if not isinstance(given, list) or not given:
        raise wrong("messages", "must be a list with at least one message")
    return [_message(each, f"messages[{number}]") for number, each in enumerate(given)]


def _message(given: Any, where: str) -> dict[str, str]:
    if not isinstance(given, dict):
        raise wrong(where, "must be an object")
    role = given.get("role")
    if role not in _ROLES:
        raise wrong(f"{where}.role", "must be one of " + ", ".join(_ROLES))
    if given.get("tool_calls") or given.get("function_call"):
        raise _unsupported(f"{where}.tool_calls")
    return {"role": _ROLES[role], "content": _content(given.get("content"), f"{where}.content")}


def _content(given: Any, where: str) -> str:
    if isinstance(given, str):
        return given
    if not isinstance(given, list) or not given:
        raise wrong(where, "must be a string or a list of parts")
    return "".join(_part(each, f"{where}[{number}]") for number, each in enumerate(given))


def _part(given: Any, where: str) -> str:
    if not isinstance(given, dict):
        raise wrong(where, "must be an object")
    if given.get("type") != "text":
        raise _unsupported(f"{where}.type", "only parts of text are understood")
    if not isinstance(given.get("text"), str):
        raise wrong(f"{where}.text", "must be a string")
    return str(given["text"])


def _unsupported(param: str, why: str = "is not supported here") -> Fault:
    return Fault(400, f"Invalid '{param}': {why}.", code="unsupported_parameter", param=param)


def _title(messages: list[dict[str, str]]) -> str:
    """Returns what the work is called: the beginning of the last message of the user."""
    asked = [each["content"].strip() for each in messages if each["role"] == "user"]
    return (asked[-1] if asked else "")[:TITLE_LENGTH_MAX].replace("\0", "") or "chat"

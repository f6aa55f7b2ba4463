"""Reads a request's parameters one by one; what is wrong with one is said in OpenAI's words."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from gateway.openai.faults import Fault


class Body:
    """The parameters of a request.

    Args:
        given: The JSON that was sent.

    Raises:
        Fault: It is no object.
    """

    def __init__(self, given: Any) -> None:
        if not isinstance(given, dict):
            raise Fault(400, "The body must be a JSON object.")
        # null means not given, as everywhere in that API.
        self._given = {name: value for name, value in given.items() if value is not None}

    def check_names(self, known: Collection[str]) -> None:
        """Refuses a parameter that nobody knows, as OpenAI does."""
        unknown = sorted(self._given.keys() - set(known))
        if unknown:
            message = f"Unrecognized request argument supplied: {unknown[0][:64]}"
            raise Fault(400, message, code="unknown_parameter", param=unknown[0][:64])

    def refuse(self, name: str, *harmless: Any) -> None:
        """Refuses a parameter that is not supported, unless it asks for nothing."""
        if name in self._given and self._given[name] not in harmless:
            message = f"'{name}' is not supported here."
            raise Fault(400, message, code="unsupported_parameter", param=name)

    def get(self, name: str) -> Any:
        """Returns a parameter as it was sent, or None."""
        return self._given.get(name)

    def text(self, name: str) -> str:
        """Returns a text that must be given."""
        if name not in self._given:
            message = f"Missing required parameter: '{name}'."
            raise Fault(400, message, code="missing_required_parameter", param=name)
        value = self._given[name]
        if not isinstance(value, str):
            raise wrong(name, "must be a string")
        return value

    def choice(self, name: str, choices: Collection[str], default: str) -> str:
        """Returns one of some words."""
        value = self._given.get(name, default)
        if value not in choices:
            raise wrong(name, "must be one of " + ", ".join(choices))
        return str(value)

    def flag(self, name: str) -> bool:
        """Returns a boolean; not given, it is false."""
        value = self._given.get(name, False)
        if not isinstance(value, bool):
            raise wrong(name, "must be true or false")
        return value

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int | None:
        """Returns a whole number within limits."""
        value = self._given.get(name, default)
        if value is not None and (type(value) is not int or not low <= value <= high):
            raise wrong(name, f"must be an integer from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float) -> float | None:
        """Returns a number within limits, or None."""
        value = self._given.get(name)
        if value is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not low <= value <= high:
            raise wrong(name, f"must be a number from {low:g} to {high:g}")
        return float(value)


def wrong(param: str, what: str) -> Fault:
    """The fault of a parameter whose value cannot be taken."""
    return Fault(400, f"Invalid '{param}': {what}.", code="invalid_value", param=param)

"""A sequence of steps, played: each is done, and some order of it must explain what is seen.

Steps are data. A step does one thing; ``{"do": "at_once", "times": n, "steps": [...]}`` does
several concurrently, and some order of them must explain all answers; ``{"do": "dies", "at": n,
"step": ...}`` ends the process at its n-th statement, and all of it or nothing must have happened.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import random
import sys
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from tests.machines.stage import Died, Stage, Step, Violation, broken

ORDERS_MAX = 24
_NAMES = uuid.UUID("6f9f31f5-2f0a-4f0e-9a39-5a34a4d1cf8e")

Model = TypeVar("Model")


def name(kind: str, number: int | str) -> uuid.UUID:
    """The id of a thing of a play: the same in every play."""
    return uuid.uuid5(_NAMES, f"{kind}-{number}")


class Ids(dict[str, Any]):
    """Numbers by id, of those things that a play has named."""

    def of(self, kind: str, number: int | str) -> uuid.UUID:
        made = name(kind, number)
        self[str(made)] = number
        return made

    def numbered(self, found: dict[str, Any] | None) -> dict[str, Any]:
        """Replaces ids by numbers in the keys of what is seen."""
        return {str(self[key]): value for key, value in (found or {}).items()}


class Play(ABC, Generic[Model]):
    """One sequence of steps.

    Attributes:
        program: The steps so far, as they can be played again.
        model: What must be true now.
        is_quiet: Whether a failure is what is looked for, and is not printed.
    """

    seen_sql: str

    def __init__(self, stage: Stage, model: Model) -> None:
        self.stage = stage
        self.model = model
        self.is_quiet = False
        self.program: list[Step] = []
        self.ids = Ids()

    async def begin(self) -> None:
        """Empties the database and prepares it."""
        random.seed(0)  # jitter; so that a program plays the same again
        await self.stage.reset()
        await self.furnish()

    async def furnish(self) -> None:
        """Writes what every play begins with."""

    def resolve(self, step: Step) -> Step | None:
        """Names what a step is about; None where there is no such thing yet."""
        naming = getattr(self, f"of_{step['do']}", None)
        return naming(step) if naming else step

    def after_death(self, step: Step) -> list[list[Step]]:
        """What may have happened of a step whose process died."""
        return [[], [step]]

    @abstractmethod
    def follow(
        self, model: Model, step: Step, answer: Any, seen: dict[str, Any], *, alone: bool
    ) -> None:
        """Lets the model take a step."""

    @abstractmethod
    def compare(self, model: Model, seen: dict[str, Any]) -> None:
        """Compares everything that is to be seen with the model."""

    def settle_on(self, seen: dict[str, Any]) -> None:
        """Takes note of what was seen, once it is explained."""

    async def step(self, step: Step) -> None:
        """Does a step and compares everything with the model.

        Raises:
            Violation: Something is not as it must be.
        """
        self.program.append(step)
        try:
            await self._step(step)
        except Exception as error:
            # At once, since what raced may not fail again when it is played again.
            if not self.is_quiet:
                print(f"{error!r}\nplayed: {json.dumps(self.program)}", file=sys.stderr)
            raise

    async def _step(self, step: Step) -> None:
        steps = [found for each in _flat(step) if (found := self.resolve(each)) is not None]
        if not steps:
            return
        if step["do"] == "dies":
            [inner] = steps
            answer = await self.stage.dying(step["at"], lambda: self.perform(inner))
            candidates = self.after_death(inner) if answer is Died else [steps]
            await self._explain(
                {id(step): answer for step in itertools.chain(*candidates)}, candidates
            )
            return
        answers = await asyncio.gather(*(self.perform(each) for each in steps))
        given = {id(each): answer for each, answer in zip(steps, answers, strict=True)}
        await self._explain(given, _orders(steps, answers))

    async def perform(self, step: Step) -> Any:
        """Does a resolved step and returns its answer."""
        arguments = {key: value for key, value in step.items() if key != "do"}
        return await getattr(self, f"do_{step['do']}")(**arguments)

    async def _explain(self, answers: dict[int, Any], candidates: Sequence[Sequence[Step]]) -> None:
        seen = await self.stage.look(self.seen_sql)
        broken(seen["broken"])
        refused: Violation | None = None
        for order in candidates:
            model = copy.deepcopy(self.model) if len(candidates) > 1 else self.model
            try:
                for step in order:
                    self.follow(model, step, answers[id(step)], seen, alone=len(answers) == 1)
                self.compare(model, seen)
            except Violation as violation:
                refused = refused or violation
                continue
            self.model = model
            self.settle_on(seen)
            return
        assert refused is not None
        raise refused


def _flat(step: Step) -> list[Step]:
    if step["do"] == "at_once":
        return [dict(each) for each in step["steps"] for _ in range(step.get("times", 1))]
    return [step["step"]] if step["do"] == "dies" else [step]


def _orders(steps: Sequence[Step], answers: Sequence[Any]) -> list[tuple[Step, ...]]:
    """Orders in which concurrent steps may have taken effect; same ones are not told apart."""
    if (
        len({f"{json.dumps(step)} {answer}" for step, answer in zip(steps, answers, strict=True)})
        == 1
    ):
        return [tuple(steps)]
    return list(itertools.islice(itertools.permutations(steps), ORDERS_MAX))

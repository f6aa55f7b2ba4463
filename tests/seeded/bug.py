"""How a bug is put into running code: a substitution that fails where its target is gone."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any, Protocol

import asyncpg


class TargetGone(LookupError):
    """What a bug would replace is not there (any more)."""


class Substitution(Protocol):
    """One change of the running system."""

    def applied(self, admin: asyncpg.Connection) -> Any:
        """Returns an asynchronous context in which it is in place."""


@dataclass(frozen=True)
class Bug:
    """A mistake that somebody could make.

    Attributes:
        name: What would be wrong, as a sentence in snake case.
        plays: Which machine can see it: money or jobs.
        changes: All that has to change for it; a wall behind a wall is taken down with it.
    """

    name: str
    plays: str
    changes: Sequence[Substitution]

    @asynccontextmanager
    async def applied(self, admin: asyncpg.Connection) -> AsyncIterator[None]:
        """Puts the bug in, and takes it out again.

        Raises:
            TargetGone: The code is no longer what the bug replaces: mend the catalogue.
        """
        async with AsyncExitStack() as stack:
            for change in self.changes:
                await stack.enter_async_context(change.applied(admin))
            yield


@dataclass(frozen=True)
class Code:
    """Text within a function, by its dotted path."""

    path: str
    old: str
    new: str

    @asynccontextmanager
    async def applied(self, admin: asyncpg.Connection) -> AsyncIterator[None]:
        """Swaps the function's code where it is, so that whoever imported it runs the new one."""
        with self._swapped():
            yield

    @contextmanager
    def _swapped(self) -> Iterator[None]:
        holder, last = _holder(self.path)
        target = inspect.unwrap(getattr(holder, last))
        source = textwrap.dedent(inspect.getsource(target))
        changed = _replaced(self.path, source, self.old, self.new)
        before = target.__code__
        target.__code__ = _compiled(changed, target)
        try:
            yield
        finally:
            target.__code__ = before


def _compiled(source: str, target: FunctionType) -> CodeType:
    tree = ast.parse(source)
    tree.body[0].decorator_list = []  # type: ignore[attr-defined]
    namespace: dict[str, Any] = {}
    # Flags of the module it comes from: annotations are not evaluated.
    code = compile(tree, "<seeded>", "exec", flags=target.__code__.co_flags & _ANNOTATIONS)
    exec(code, target.__globals__, namespace)
    made: FunctionType = namespace[target.__name__]
    return made.__code__


_ANNOTATIONS = __import__("__future__").annotations.compiler_flag


@dataclass(frozen=True)
class Text:
    """Text within a constant of a module, by its dotted path: an SQL statement."""

    path: str
    old: str
    new: str

    @asynccontextmanager
    async def applied(self, admin: asyncpg.Connection) -> AsyncIterator[None]:
        """Changes the constant in its module."""
        holder, last = _holder(self.path)
        before: str = getattr(holder, last)
        setattr(holder, last, _replaced(self.path, before, self.old, self.new))
        try:
            yield
        finally:
            setattr(holder, last, before)


@dataclass(frozen=True)
class Dropped:
    """A constraint, an index or a trigger, as ``schema.table.name`` or ``schema.name``."""

    kind: str
    path: str

    @asynccontextmanager
    async def applied(self, admin: asyncpg.Connection) -> AsyncIterator[None]:
        """Drops it; it is made again from its own definition."""
        schema, *table, last = self.path.split(".")
        on = f"{schema}.{table[0]}" if table else ""
        definition = await admin.fetchval(_DEFINITION[self.kind], last, on or schema)
        if definition is None:
            raise TargetGone(f"there is no {self.kind} {self.path}")
        drop, make = {
            "constraint": (
                f"ALTER TABLE {on} DROP CONSTRAINT {last}",
                f"ALTER TABLE {on} ADD CONSTRAINT {last} {definition}",
            ),
            "trigger": (f"DROP TRIGGER {last} ON {on}", definition),
            "index": (f"DROP INDEX {self.path}", definition),
        }[self.kind]
        await admin.execute(drop)
        try:
            yield
        finally:
            await admin.execute(make)


_DEFINITION = {
    "constraint": """SELECT pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conname = $1 AND conrelid = $2::regclass""",
    "trigger": """SELECT pg_get_triggerdef(oid) FROM pg_trigger
        WHERE tgname = $1 AND tgrelid = $2::regclass""",
    "index": """SELECT pg_get_indexdef(oid) FROM pg_class
        WHERE relname = $1 AND relnamespace = $2::regnamespace""",
}


@dataclass(frozen=True)
class Routine:
    """Text within a function of the database, as ``schema.name``."""

    path: str
    old: str
    new: str

    @asynccontextmanager
    async def applied(self, admin: asyncpg.Connection) -> AsyncIterator[None]:
        """Replaces the function, and then again by what it was."""
        try:
            before = await admin.fetchval("SELECT pg_get_functiondef($1::regproc)", self.path)
        except asyncpg.UndefinedFunctionError as error:
            raise TargetGone(f"there is no function {self.path}") from error
        changed = _replaced(self.path, before, self.old, self.new)
        # Names within it are looked up as the service would.
        path = f"SET LOCAL search_path = {self.path.partition('.')[0]}"
        await admin.execute(f"BEGIN; {path}; {changed}; COMMIT")
        try:
            yield
        finally:
            await admin.execute(f"BEGIN; {path}; {before}; COMMIT")


def _holder(path: str) -> tuple[Any, str]:
    """Returns what has the last name of a dotted path as an attribute."""
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:end])
        try:
            holder = sys.modules.get(module) or importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        try:
            for name in parts[end:-1]:
                holder = getattr(holder, name)
            getattr(holder, parts[-1])
        except AttributeError as error:
            raise TargetGone(f"there is no {path}") from error
        return holder, parts[-1]
    raise TargetGone(f"there is no {path}")


def _replaced(path: str, text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise TargetGone(f"{path} does not contain, once: {old}")
    return text.replace(old, new)

"""An engine on a thread: whoever waits for it hears when there is nothing to wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from inference.adapters import hosting
from inference.adapters.hosting import EngineThread
from inference.api.port import Unreachable
from inference.engine.errors import ERRORS
from inference.engine.loop import Pulse
from tests.studio import eventually


class Engine:
    """Runs until it is closed, or told to fall."""

    def __init__(self) -> None:
        self.stalled = False
        self.over = threading.Event()

    def run(self) -> None:
        self.over.wait()

    def close(self) -> None:
        self.over.set()


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Those that the process would have been sent."""
    sent: list[int] = []
    monkeypatch.setattr(hosting.os, "kill", lambda _, signal: sent.append(signal))
    monkeypatch.setattr(hosting.threading, "Timer", lambda *_: threading.Thread())
    monkeypatch.setattr(hosting, "LOOK_SECONDS", 0.02)
    return iter([sent])


async def test_one_that_cannot_be_made_is_said_to_have_failed_and_not_to_be_loading() -> None:
    made: list[Engine] = []

    def make() -> Engine:
        if not made:
            made.append(Engine())
            raise ValueError("no such folder")
        return made[0]

    thread = EngineThread("engine", make)
    thread.start()
    with pytest.raises(Unreachable, match="could not be made: no such folder") as failed:
        await thread.opened()
    assert failed.value.reason == "MODEL_FAILED" in ERRORS
    await thread.revive()
    assert await thread.opened() is made[0]
    thread.close()


async def test_while_it_is_made_it_is_loading() -> None:
    go_on = threading.Event()

    def make() -> Engine:
        go_on.wait()
        return Engine()

    thread = EngineThread("engine", make)
    thread.start()
    thread.start()  # which changes nothing
    with pytest.raises(Unreachable, match="are loading"):
        thread.alive()
    await thread.revive()
    go_on.set()
    assert await thread.opened()
    thread.close()
    with pytest.raises(Unreachable, match="has ended"):
        thread.alive()


async def test_one_whose_making_hangs_is_given_up_with_its_process(
    signals: Iterator[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting, "LOAD_SECONDS_MAX", 0.2)
    go_on, (sent,) = threading.Event(), signals

    def make() -> Engine:
        go_on.wait()
        return Engine()

    thread = EngineThread("engine", make)
    thread.start()
    with pytest.raises(Unreachable, match="load hangs"):
        await thread.opened()
    await thread.revive()
    assert sent == [hosting.signal.SIGTERM]
    go_on.set()

    async def made() -> bool:
        return not thread.making.stopped

    await eventually(made)
    assert await thread.opened() is thread.alive()
    thread.close()


async def test_one_whose_parts_are_made_in_time_is_waited_for_however_many_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0

    def make() -> Engine:
        nonlocal now
        for _ in range(5):
            now += 500
            assert not thread.making.stopped
            thread.making.beat(hosting.LOAD_SECONDS_MAX)
        return Engine()

    thread = EngineThread("engine", make)
    thread.making = Pulse(lambda: now)
    thread.start()
    assert await thread.opened()
    thread.close()


@pytest.mark.parametrize("hangs", [True, False])
async def test_whoever_waits_for_one_that_hangs_or_has_ended_is_told(
    signals: Iterator[list[int]], hangs: bool
) -> None:
    engine, (sent,) = Engine(), signals
    thread = EngineThread("engine", lambda: engine)
    thread.start()
    await thread.opened()
    waiting = asyncio.create_task(thread.wait(asyncio.get_running_loop().create_future()))
    await thread.revive()
    assert sent == []
    if hangs:
        engine.stalled = True
    else:
        engine.over.set()
    with pytest.raises(Unreachable, match="has ended, or hangs"):
        await waiting
    await thread.revive()
    assert sent == [hosting.signal.SIGTERM]
    thread.close()


async def test_one_that_fails_again_and_again_at_what_it_could_do_is_given_up_with_its_process(
    signals: Iterator[list[int]],
) -> None:
    (sent,) = signals
    thread = EngineThread("engine", Engine)
    thread.start()
    await thread.opened()
    never_worked = [await thread.revive() for _ in range(2 * hosting.FAULTS_MAX)]
    assert never_worked == [True] * len(never_worked)
    for _ in range(2):
        thread.worked()
        for _ in range(hosting.FAULTS_MAX - 1):
            await thread.revive()
    assert not thread.lost
    assert sent == []
    await thread.revive()
    assert thread.lost
    assert sent == [hosting.signal.SIGTERM]
    thread.close()


async def test_an_answer_is_given_as_soon_as_it_is_said() -> None:
    thread = EngineThread("engine", Engine)
    thread.start()
    await thread.opened()
    loop = asyncio.get_running_loop()
    said: asyncio.Future[int] = loop.create_future()
    threading.Thread(target=lambda: loop.call_soon_threadsafe(said.set_result, 8)).start()
    assert await thread.wait(said) == 8
    thread.close()

    async def ended() -> bool:
        return not any(each.name == "engine" for each in threading.enumerate())

    await eventually(ended)

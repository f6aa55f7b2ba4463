"""Work beside an engine's loop, and whether it is seen to hang."""

from __future__ import annotations

from collections.abc import Callable

from inference.engine.loop import LOAD_SECONDS_MAX, Beside, Pulse


class Ground:
    """A clock that is set by hand, and work that is done when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pending: list[Callable[[], None]] = []
        self.beside = Beside(self.pending.append, self.clock)
        self.pulse = Pulse(self.clock)

    def clock(self) -> float:
        return self.now


def _nothing() -> None:
    pass


def test_work_that_takes_longer_than_a_load_may_is_seen() -> None:
    ground = Ground()
    ground.beside.do(_nothing, _nothing, ground.pulse)
    assert not ground.beside.stopped
    ground.now = LOAD_SECONDS_MAX + 1
    assert ground.beside.stopped
    ground.pending.pop()()
    assert not ground.beside.stopped


def test_work_that_another_s_end_lets_begin_is_watched_though_both_have_one_pulse() -> None:
    ground = Ground()
    ground.beside.do(
        _nothing, lambda: ground.beside.do(_nothing, _nothing, ground.pulse), ground.pulse
    )
    ground.pending.pop(0)()
    assert len(ground.pending) == 1
    ground.now = LOAD_SECONDS_MAX + 1
    assert ground.beside.stopped

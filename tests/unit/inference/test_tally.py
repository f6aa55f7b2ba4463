"""What the loop counts of each model, and what its statuses say of it."""

from __future__ import annotations

from inference.engine.status import BUSY, UNLOADED, ModelStatus
from inference.engine.tally import Tally


def test_statuses_say_what_was_counted_of_each_model_and_keep_what_they_said() -> None:
    tally = Tally()
    for seconds in (0.5, 0.25):
        tally.stepped("sdxl", seconds)
    tally.halved("sdxl")
    said = {"sdxl": ModelStatus(BUSY, 3, 1_000, loads=2), "flux": ModelStatus(UNLOADED)}
    told = tally.told(said, {"flux": 4})
    assert told["sdxl"] == ModelStatus(
        BUSY, 3, 1_000, steps=2, step_seconds=0.75, halvings=1, loads=2
    )
    assert told["flux"] == ModelStatus(UNLOADED, waiting=4)

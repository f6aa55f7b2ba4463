"""Who waits in a bench hears of a failure, rather than waiting for ever."""

from __future__ import annotations

import subprocess

from deploy.local.layout import ROOT, environment_bin

_FAILS = """
import threading
from inference.engine.errors import ModelFailed
from tests.bench._sampling import Arrived, wait
ended = threading.Semaphore(0)
arrived = Arrived(ended)
engine = threading.Thread(target=arrived.failed, args=(ModelFailed("the engine has stopped"),))
engine.start()
engine.join()
assert ended.acquire(blocking=False), "nobody was told"
try:
    arrived.seconds_or_raise()
except ModelFailed as error:
    print(error)
"""


def test_a_picture_that_fails_ends_the_wait_and_is_raised_where_it_was_waited_for() -> None:
    ran = subprocess.run(
        [environment_bin(".venv-models") / "python", "-c", _FAILS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "the engine has stopped"

"""The model ``generate`` as it is, but that it hangs where a test has made a pipe.

A step, or a load, that does not end is given up after a few seconds instead of minutes.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from inference.engine import loop
from inference.engine.models.model import Model
from inference.engine.sampling import profile

HANGS_SECONDS = 6.0
PIPE = Path(os.environ["TEST_PIPE"])
loop.LOAD_SECONDS_MAX = profile.STALL_SECONDS = HANGS_SECONDS
_predict = Model.predict


def predict(model, rows):
    if PIPE.exists():
        PIPE.read_bytes()  # nobody writes
    return _predict(model, rows)


Model.predict = predict
_spec = importlib.util.spec_from_file_location("generate", os.environ["TEST_MODEL"])
_real = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_real)
TritonPythonModel = _real.TritonPythonModel

"""What is open stays in its process: forks and pickles are told so, instead of hanging or crashing."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from rtmpose_sdk import Pipeline, Predictor

_FORKS = """
import os, sys, threading
import numpy as np
from rtmpose_sdk import Predictor
from rtmpose_sdk.errors import EngineError

predictor = Predictor("rtmpose-t-own", threads=1)
picture = np.zeros((64, 64, 3), np.uint8)
predictor(picture, [[0, 0, 64, 64]])
held = threading.Event()
def hold():
    with predictor.gate:
        held.set()
        threading.Event().wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
if os.fork():
    sys.stdout.flush()
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
try:
    predictor(picture, [[0, 0, 64, 64]])
except EngineError as error:
    predictor.close()
    print(error, flush=True)
    os._exit(7)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_is_told_to_open_its_own(tmp_path: Path) -> None:
    """A thread of the parent was in the engine: the child would wait for it for ever."""
    ended = subprocess.run(
        [sys.executable, "-c", _FORKS], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 7, ended.stderr
    assert "which engines do not survive; open it in each process" in ended.stdout


def test_a_pickle_is_refused_with_advice() -> None:
    with Pipeline(threads=1) as pipeline, pytest.raises(TypeError, match="open one in each process"):
        pickle.dumps(pipeline)
    with Predictor("rtmpose-t-own", threads=1) as predictor:
        with pytest.raises(TypeError, match="a Predictor holds what is open"):
            pickle.dumps(predictor)
        with pytest.raises(TypeError, match="a Predictor holds what is open"):
            copy.deepcopy(predictor)

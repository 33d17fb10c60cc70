"""How does a checkpoint become an artifact that can be run? Once, by the exporters, in another process.

The SDK's rooms never import torch, and a program that only runs models should not carry it in memory: the
conversion is a program of its own, and what it leaves is a verified ONNX file in the cache.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from rtmpose_sdk import errors
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import MissingExtraError, ModelFileError, RTMPoseError
from rtmpose_sdk.hub import cache

CONVERSION = 2
"""Number of the way of converting; another one makes new artifacts."""
_NEEDED = ("torch", "onnx", "onnxscript", "onnxslim", "onnxruntime")
CHECKPOINTS = (".pth", ".pt", ".ckpt")


def converted(checkpoint: Path, card: ModelCard | None = None, keypoint_set: str = "") -> Path:
    """The ONNX artifact of a checkpoint, made when it is first asked for.

    Args:
        checkpoint: in the published layout.
        card: what is known about it; None reads everything from the file.
        keypoint_set: name of a set, or a file that defines one; "" where the checkpoint tells.

    Raises:
        MissingExtraError: torch and the other packages of the `export` extra are not installed.
        CheckpointError: unreadable, unsafe, or not a network of ours.
        OutputError: the cache cannot be written.
    """
    record = cache.read_record(checkpoint)
    digest = record.sha256 if record else cache.sha256_of(checkpoint)
    word = f"-{Path(keypoint_set).stem}" if keypoint_set else ""
    name = f"{checkpoint.stem}{word}-{digest[:12]}-v{CONVERSION}.onnx"
    have = cache.find("converted", name)
    if have is not None:
        return have
    for package in _NEEDED:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(
                package, "export", f"{checkpoint.name} is a PyTorch checkpoint, and reading it"
            )
    with cache.locked(f"convert-{name}"):
        target = cache.place("converted", name)
        if not target.exists():
            trial = target.with_name(f"{name}.{os.getpid()}{cache.UNFINISHED}.onnx")
            try:
                _convert(checkpoint, trial, card, keypoint_set)
                with cache.writing(target):
                    trial.replace(target)
            finally:
                trial.unlink(missing_ok=True)
    return target


def _named(keypoint_set: str) -> str:
    """A set's name, or the whole path of the file that defines it."""
    return str(Path(keypoint_set).resolve()) if Path(keypoint_set).is_file() else keypoint_set


def _convert(checkpoint: Path, out: Path, card: ModelCard | None, keypoint_set: str) -> None:
    """Run the exporters on it; their errors come back as the same kinds of errors."""
    request = {
        "weights": str(checkpoint.resolve()),
        "out": str(out.resolve()),
        "keypoint_set": _named(keypoint_set) or (card.keypoint_set if card else ""),
        "name": card.name if card else "",
        "license": card.license if card else "unknown",
        "source": card.weights_source if card else "",
        "input_size": list(card.input_size) if card else None,
        "accuracy": dict(card.accuracy) if card else {},
    }
    done = subprocess.run(
        [sys.executable, "-m", "rtmpose_sdk.exporters.convert"],
        input=json.dumps(request),
        cwd=out.parent,  # from a checkout of ours, -m would take its bare folder for the package
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    answer = (done.stdout.strip().splitlines() or [""])[-1]
    try:
        said = json.loads(answer)
    except ValueError:
        said = None
    if done.returncode == 0 and out.is_file():
        return
    if isinstance(said, dict) and "error" in said:
        kind = getattr(errors, str(said["error"]), RTMPoseError)
        if kind is MissingExtraError:
            kind = ModelFileError
        message = str(said["message"])
        raise kind(message if str(checkpoint) in message else f"{checkpoint}: {message}")
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    raise ModelFileError(f"{checkpoint}: could not be converted to ONNX ({last[:300]})")

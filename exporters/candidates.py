"""Which artifacts, engines and precisions can one model run with on this machine?"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.artifacts import Model, artifact_card, open_model
from rtmpose_sdk.card import ModelCard, Task
from rtmpose_sdk.detector import resized
from rtmpose_sdk.errors import DeviceError, InputError, VerificationError
from rtmpose_sdk.hub import cache
from rtmpose_sdk.mmdeploy import network_file
from rtmpose_sdk.zoo import find_model

_VERIFIED_WITH = 32


@dataclass(frozen=True)
class Variant:
    """An artifact, and how it is opened.

    Attributes:
        path: the artifact, or the SDK folder.
        engine, precision: see `rtmpose_sdk.runtimes.open_runtime`.
        kind: variants of one kind give the same results, rounding aside: its precision, file and size.
        input_size: that a detector is given pictures up to, see `resized`; None leaves it as it is.
    """

    path: Path
    engine: str
    _: KW_ONLY
    precision: str | None = None
    kind: str
    input_size: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.engine} {self.kind}"

    def open(self, task: Task, threads: int) -> Model:
        """The running network."""
        opened = open_model(self.path, task, threads=threads, precision=self.precision, engine=self.engine)
        return resized(opened, self.input_size)


@dataclass(frozen=True)
class Variants:
    """What can run, and what cannot, with the reason."""

    able: tuple[Variant, ...]
    left_out: tuple[str, ...]


def variants(
    source: str | Path,
    task: Task,
    calibration: NDArray[np.uint8] | None,
    *,
    others: Sequence[Path] = (),
    sizes: Sequence[tuple[int, int]] = (),
    only_fp32: bool = False,
) -> Variants:
    """What `source` can run with here.

    Args:
        source: fp32 ONNX model or what becomes one: a name, a checkpoint, an SDK folder.
        task: of the model.
        calibration: (N,h,w,3) uint8 BGR of its input size, for int8; None leaves int8 out.
        others: artifacts of the same network that were exported before (ncnn, OpenVINO, ...).
        sizes: that pictures of a detector are to be tried up to, see `resized`.
        only_fp32: no other precision of `source`; `others` are what they are.

    Raises:
        InputError: not fp32, or an artifact of another network.
    """
    path, card = find_model(source), artifact_card(source)
    if card.precision != "fp32" or card.task != task:
        raise InputError(f"{source}: {card.precision}, to {card.task}; expected an fp32 model to {task}")
    file = network_file(path) if path.is_dir() else path
    if file.suffix != ".onnx":
        raise InputError(f"{source}: {file.suffix}; expected an ONNX model, a checkpoint or an SDK folder")
    able = [Variant(path, "onnxruntime", kind="fp32")]
    left_out: list[str] = []
    if importlib.util.find_spec("openvino") is None:
        left_out.append("OpenVINO: not installed (pip install 'rtmpose-sdk[openvino]')")
    else:
        wanted = [Variant(path, "openvino", kind="fp32")]
        if not only_fp32:
            wanted += [Variant(path, "openvino", precision=name, kind=name) for name in ("bf16", "fp16")]
            wanted += _int8_variants(path, file, card, calibration=calibration, left_out=left_out)
        able += _openable(wanted, task, left_out)
    able += [_other(other, card) for other in others]
    sized = [
        replace(v, kind=f"{v.kind} up to {size[0]}x{size[1]}", input_size=size)
        for size in sizes
        for v in able
        if size != card.input_size or card.letterbox != "fitted"
    ]
    return Variants((*able, *_openable(sized, task, left_out)), tuple(left_out))


def _openable(wanted: Sequence[Variant], task: Task, left_out: list[str]) -> list[Variant]:
    """Those that can be opened here; of the others, the reasons go to `left_out`."""
    able = []
    for variant in wanted:
        try:
            variant.open(task, 1).runtime.close()
        except (DeviceError, InputError) as error:
            left_out.append(f"{variant.name}: {error}")
        else:
            able.append(variant)
    return able


def _int8_variants(
    path: Path,
    file: Path,
    card: ModelCard,
    *,
    calibration: NDArray[np.uint8] | None,
    left_out: list[str],
) -> list[Variant]:
    if calibration is None:
        left_out.append("int8: needs pictures to calibrate with (--calibrate)")
        return []
    try:
        return [Variant(_int8(path, file, card, calibration), "openvino", kind="int8")]
    except VerificationError as error:
        left_out.append(f"openvino int8: {error}")
        return []


def _other(path: Path, card: ModelCard) -> Variant:
    own = artifact_card(path)
    if (own.keypoint_set, own.input_size) != (card.keypoint_set, card.input_size):
        raise InputError(f"{path}: {own.name} {own.input_size}; expected an artifact of {card.name}")
    with open_model(path, card.task).runtime as runtime:
        return Variant(path, runtime.engine.split()[0], kind=f"{own.precision} {path.name}")


def _int8(source: Path, file: Path, card: ModelCard, calibration: NDArray[np.uint8]) -> Path:
    """The OpenVINO int8 artifact of a model and its pictures: from the cache, or made and verified."""
    from rtmpose_sdk.exporters.export import export
    from rtmpose_sdk.exporters.settings import ExportSettings
    from rtmpose_sdk.exporters.subject import subject_from_artifact

    digest = hashlib.sha256(cache.sha256_of(file).encode() + calibration.tobytes()).hexdigest()[:12]
    name = f"{card.name}-int8-{digest}"
    with cache.locked(f"tune-{name}"):
        out = cache.place("tuned", name, "model.xml")
        if out.is_file() and out.with_suffix(".bin").is_file():
            return out
        out.with_suffix(".bin").unlink(missing_ok=True)  # of one that did not verify
        settings = ExportSettings("openvino", "int8", calibration=calibration)
        crops = calibration[:_VERIFIED_WITH]
        found = export(subject_from_artifact(source), out, crops, settings=settings)
    if found is not None and not found.verified:
        out.unlink()
        raise VerificationError(
            f"{card.name}: its int8 export does not give its keypoints (worst {found.worst_shift:.1f} px); "
            "calibrate with more pictures (--crops), or leave out --calibrate"
        )
    return out

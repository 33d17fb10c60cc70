"""A subject in, a verified artifact out, whatever the engine."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.card import OF_FP32, ModelCard
from rtmpose_sdk.errors import DeviceError, InputError, MissingExtraError
from rtmpose_sdk.exporters.backends import check_precision, verification_device
from rtmpose_sdk.exporters.beside import MADE, folder_beside
from rtmpose_sdk.exporters.crops import Images
from rtmpose_sdk.exporters.half_emulation import emulate_half
from rtmpose_sdk.exporters.layers import Layer
from rtmpose_sdk.exporters.onnx import save_onnx
from rtmpose_sdk.exporters.overwriting import check_overwriting
from rtmpose_sdk.exporters.settings import ExportSettings
from rtmpose_sdk.exporters.subject import Subject
from rtmpose_sdk.exporters.verify import Verification, verify
from rtmpose_sdk.exporters.writers import replace_card, write
from rtmpose_sdk.locks import rename
from rtmpose_sdk.runtimes import open_runtime

Measure = Callable[[Path], float]
"""AP of an artifact."""
MEASURED = "AP, by the export"
"""Name of the artifact's own AP in its card, where it was measured."""
Track = Callable[[Sequence[Layer]], Iterable[Layer]]
_INT8_ATTEMPTS = 4
"""Each allows half of the former one's error."""


def export(
    subject: Subject,
    out: Path,
    crops: Images | None,
    *,
    settings: ExportSettings = ExportSettings(),  # noqa: B008 - frozen
    measure: Measure | None = None,
    track: Track = iter,
) -> Verification | None:
    """Export, verify against the reference, write the artifact with the figures in its card.

    An artifact that fails is written all the same, marked `verified: false`, for a look at it; int8 is
    tried again before, with more layers in float. Files are made in a folder beside and moved when they are
    whole.

    Args:
        subject: what is exported.
        out: the artifact's main file.
        crops: real crops to verify with, (N,h,w,3) uint8 BGR; None does not verify.
        settings: what kind of artifact.
        measure: where given, AP of both has to agree as well.
        track: shows the progress of the search for sensitive layers.

    Returns:
        What was measured; None without crops.

    Raises:
        InputError: a precision that the backend does not have, no crops, no calibration for int8, or a
            file that would be replaced and is not an older artifact of this one's.
        MissingExtraError: a package that the backend needs to write.
        OutputError: it cannot be written.
    """
    check_overwriting(out, subject.file)
    precision = check_precision(settings.backend, settings.precision)
    inherited = subject.card.accuracy if precision == "fp32" else of_fp32(subject.card.accuracy)
    card = replace(subject.card, precision=precision, accuracy=inherited, verification={})
    with folder_beside(out) as folder:
        made = folder / MADE
        trial = made / out.name
        reference_accuracy = functools.cache(lambda: _reference_accuracy(subject, folder, measure))
        for attempt in _attempts(subject, card, settings, track):
            graph = write(subject, attempt, trial, settings)
            if crops is None:
                found = None
                break
            written = artifact_card(trial)  # a backend may take another input than was asked for
            runs = _what_runs(trial, graph, written, folder)
            tolerances = _tolerances(settings, precision)
            found, engine = _verified(subject, written, runs, crops, tolerances=tolerances)
            found = replace(found, what="artifact" if runs == trial else "graph")
            if measure is not None and not found.not_finite:  # which no decoder takes
                own = measure(runs)
                found = found.with_accuracy(reference_accuracy(), own)
                if precision != "fp32" and found.what == "artifact":
                    written = replace(written, accuracy={**written.accuracy, MEASURED: own})
            replace_card(trial, replace(written, verification={**found.as_dict(), "engine": engine}))
            if found.verified:
                break
        for file in sorted(made.iterdir(), key=lambda f: f == trial):
            rename(file, out.with_name(file.name))
    return found


def _reference_accuracy(subject: Subject, folder: Path, measure: Measure | None) -> float:
    assert measure is not None
    plain = folder / "reference.onnx"
    save_onnx(subject.graph, subject.card, plain)
    return measure(plain)


def of_fp32(accuracy: Mapping[str, float]) -> dict[str, float]:
    """Figures that were measured with the fp32 model, marked so: not those of what is made of it."""
    return {
        name if name.endswith(OF_FP32) else f"{name}{OF_FP32}": value for name, value in accuracy.items()
    }


def _what_runs(trial: Path, graph: onnx.ModelProto | None, card: ModelCard, folder: Path) -> Path:
    """The artifact; or, where its engine cannot run here, the graph that it was made of.

    Engines are built where there is no GPU, or no binding of CUDA: the wheels bring the builder alone.
    ONNX Runtime on a CPU computes fp16 nodes in fp32, so those are emulated.
    """
    if graph is None:
        return trial
    device = verification_device(trial)
    if device != "cpu":
        try:
            open_runtime(trial, device=device).close()
        except (DeviceError, MissingExtraError):
            pass
        else:
            return trial
    stand_in = folder / "graph.onnx"
    save_onnx(emulate_half(graph), card, stand_in)
    return stand_in


def _verified(
    subject: Subject, card: ModelCard, runs: Path, crops: Images, *, tolerances: str
) -> tuple[Verification, str]:
    with subject.reference() as reference, open_runtime(runs, verification_device(runs)) as runtime:
        step = card.letterbox_step
        if step is not None:  # seen at another size than the one that it was exported with
            rows = crops.shape[1]
            crops = np.ascontiguousarray(crops[:, : max(rows * 3 // 4 // step, 1) * step])
        found = verify(reference, runtime, card, crops, precision=tolerances)
        return found, runtime.engine


def _attempts(
    subject: Subject, card: ModelCard, settings: ExportSettings, track: Track
) -> Iterator[ModelCard]:
    """The card, until one passes: int8 has ever more of the layers in float that cost accuracy."""
    from rtmpose_sdk.exporters.sensitivity import ERROR_BUDGET, choose_float_layers, measure_sensitivity

    if card.precision != "int8" or settings.backend == "ncnn":  # which chooses among its own layers
        yield card
        return
    if settings.calibration is None:
        raise InputError("int8 needs crops to calibrate with (--calibrate FOLDER)")
    # What a layer costs can be told only where the sides are known.
    graph = subject.full().graph
    found = measure_sensitivity(graph, card, settings.calibration, track=track, scheme=settings.scheme)
    budgets = (ERROR_BUDGET / 2**i for i in range(_INT8_ATTEMPTS))
    for names in dict.fromkeys(choose_float_layers(found, budget) for budget in budgets):
        yield replace(card, float_layers=names)


def _tolerances(settings: ExportSettings, precision: str) -> str:
    """Whose tolerances hold, a key of `TOLERANCES`."""
    stored_half = settings.half_storage or (
        settings.backend in ("openvino", "ncnn") and precision == "fp16"
    )
    return "fp16-storage" if stored_half and precision in ("fp32", "fp16") else precision

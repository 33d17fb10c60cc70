"""Networks in, a verified end2end file out: `rtmpose-export --end2end`."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import onnx

from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.beside import folder_beside
from rtmpose_sdk.exporters.crops import annotated_pictures, demo_photo
from rtmpose_sdk.exporters.end2end import Kind, Part, build_end2end
from rtmpose_sdk.exporters.end2end_check import (
    FLOAT_LIMITS,
    INT8_LIMITS,
    Agreement,
    Pictures,
    compare_end2end,
)
from rtmpose_sdk.exporters.onnx import half_storage, save_onnx
from rtmpose_sdk.exporters.open_subject import open_subject
from rtmpose_sdk.exporters.operator_set import OPSET, in_set, operator_set
from rtmpose_sdk.exporters.overwriting import check_overwriting
from rtmpose_sdk.exporters.subject import checkpoint_in, named, network_of
from rtmpose_sdk.images import write_bytes
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.zoo import find_checkpoint, find_model


def read_part(source: str | Path, half: bool) -> Part:
    """A network for `build_end2end`.

    Args:
        source: a name of the zoo, an ONNX artifact of any precision, an MMDeploy SDK folder, a checkpoint,
            the folder of a run.
        half: store its weights as fp16.

    Raises:
        InputError: another kind of artifact.
        EngineError: a graph of an operator set that cannot be converted.
        ModelNotFoundError, ModelFileError, CardError: see `rtmpose_sdk.open_model`.
    """
    source = checkpoint_in(source)
    if Path(source).suffix.lower() == ".pth":
        found = find_checkpoint(source)
        file, subject = found.path, open_subject(found)
        card = subject.card
        if card.decoder == "heatmap":
            raise InputError(f"{source}: gives heatmaps; --end2end is for networks that give SimCC")
        graph = subject.graph
    else:
        path = named(find_model(source))
        file = network_of(path)
        if file.suffix.lower() != ".onnx":
            raise InputError(
                f"{source}: {file.suffix} has no ONNX graph; take the .onnx artifact, or the .pth"
            )
        card, graph = artifact_card(path), onnx.load(str(file))
        if operator_set(graph) != OPSET:
            graph = in_set(graph, str(file))
    return Part(half_storage(graph) if half and card.precision == "fp32" else graph, card, file)


def export_end2end(
    kind: Kind,
    out: Path,
    *,
    pose: Part | None = None,
    detector: Part | None = None,
    detection_threshold: float,
    pictures: Pictures | None = None,
) -> Agreement | None:
    """Build, compare with Python, write with the figures in the metadata.

    A file that does not agree is written all the same, marked `verified: false`, for a look at it.

    Args:
        kind, pose, detector, detection_threshold: see `build_end2end`.
        out: the file.
        pictures: with boxes of persons; None does not verify.

    Raises:
        InputError: a network of another kind, no pictures, or a file that is one of the networks'.
        OutputError: it cannot be written.
    """
    for part in (pose, detector):
        check_overwriting(out, part.file if part else None)
    model = build_end2end(kind, pose, detector, detection_threshold)
    found = None
    if pictures is not None:
        with folder_beside(out) as folder, contextlib.ExitStack() as opened:
            trial = folder / "end2end.onnx"
            trial.write_bytes(model.SerializeToString())
            predictor = finder = None
            if pose is not None:
                save_onnx(pose.graph, replace(pose.card, verification={}), folder / "pose.onnx")
                predictor = opened.enter_context(Predictor(folder / "pose.onnx"))
            if detector is not None:
                save_onnx(detector.graph, replace(detector.card, verification={}), folder / "detector.onnx")
                finder = opened.enter_context(Detector(folder / "detector.onnx"))
            int8 = any(part is not None and part.card.precision == "int8" for part in (pose, detector))
            found = compare_end2end(
                trial,
                kind,
                predictor=predictor,
                detector=finder,
                threshold=detection_threshold,
                pictures=pictures,
                limits=INT8_LIMITS if int8 else FLOAT_LIMITS,
            )
        entry = model.metadata_props.add()
        entry.key, entry.value = "verification", json.dumps(found.as_dict())
    write_bytes(out, model.SerializeToString())
    return found


def verification_pictures(folder: Path | None, annotations: Path | None, limit: int) -> Pictures:
    """At most `limit` pictures with boxes; without a folder the bundled photograph in four sizes."""
    if folder is not None:
        return islice(annotated_pictures(folder, annotations), limit)
    photo = demo_photo()
    height, width = photo.shape[:2]
    boxes = np.array([[0, 0, width, height], [90, 5, 360, 500], [-40, 100, 300, 700]], np.float32)
    return [
        (np.ascontiguousarray(photo[: height - cut, : width - 2 * cut]), boxes) for cut in (0, 33, 100, 150)
    ]

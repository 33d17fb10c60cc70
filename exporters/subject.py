"""What is exported: a network from a checkpoint, or an fp32 ONNX model that exists already."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from torch import nn

from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.benchmarks.shifts import Outputs
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.crops import Images
from rtmpose_sdk.exporters.onnx import at_size, build_onnx, full_storage, sized
from rtmpose_sdk.exporters.operator_set import in_set, operator_set
from rtmpose_sdk.exporters.verify import KEPT_BOXES, Reference, runtime_reference, torch_reference
from rtmpose_sdk.mmdeploy import network_file
from rtmpose_sdk.runs import WEIGHTS
from rtmpose_sdk.runtimes import open_runtime
from rtmpose_sdk.zoo import find_model

_LEAST_OPSET = 13
"""Of int8 with a scale per channel. MMDeploy wrote 11."""


@dataclass(frozen=True)
class Subject:
    """A model on its way to an engine.

    Attributes:
        card: what the artifact is to be; `precision` and what is measured are filled in by the export.
        network: the PyTorch model; None where an ONNX model is exported.
        file: that ONNX model; None where a network is exported.
        opened: the same with open sides, where this one has those of the card.
    """

    card: ModelCard
    network: nn.Module | None = None
    file: Path | None = None
    opened: Subject | None = None

    def full(self) -> Subject:
        """The same with a full letterbox: the graph's sides are those of the card."""
        return self if self.card.letterbox == "full" else self._full

    @functools.cached_property
    def _full(self) -> Subject:
        return replace(self, card=replace(self.card, letterbox="full"), opened=self)

    @functools.cached_property
    def graph(self) -> onnx.ModelProto:
        """The fp32 graph, without a card.

        Raises:
            EngineError: a file of an old operator set that cannot be converted.
        """
        if self.network is not None:
            if self.opened is not None:  # tracing costs more than everything else
                return at_size(self.opened.graph, self.card)
            return build_onnx(self.network, self.card)
        model = onnx.load(str(self.file))
        del model.metadata_props[:]
        if operator_set(model) < _LEAST_OPSET:
            model = in_set(model, str(self.file))
        return full_storage(model if self.card.letterbox == "fitted" else sized(model, self.card))

    @contextlib.contextmanager
    def reference(self) -> Iterator[Reference]:
        """What artifacts are compared with: PyTorch, or the ONNX model on ONNX Runtime, before its NMS."""
        if self.network is not None:
            yield torch_reference(self.network, self.card)
            return
        assert self.file is not None
        before = _before_nms(onnx.load(str(self.file))) if self.card.decoder in KEPT_BOXES else None
        if before is None:
            with open_runtime(self.file) as runtime:
                yield runtime_reference(runtime, self.card)
            return
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "before_nms.onnx"
            onnx.save(before, str(file))
            with open_runtime(file) as runtime:
                yield _of_persons(runtime_reference(runtime, self.card))


def _before_nms(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The graph with what its NMS is given as outputs; None where that cannot be told.

    Which of two boxes with nearly equal scores an NMS keeps is chance: what two of them kept cannot be
    compared.
    """
    found = [node for node in model.graph.node if node.op_type == "NonMaxSuppression"]
    if len(found) != 1:
        return None
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in found[0].input[:2])
    return model


def _of_persons(before: Reference) -> Reference:
    """Boxes (N,A,4) and scores (N,A) of the first class, of what NMS is given."""

    def outputs(images: Images) -> list[Outputs]:
        pairs = (tuple(batch.values()) for batch in before(images))
        return [{"boxes": boxes, "scores": scores[:, 0]} for boxes, scores in pairs]

    return outputs


def checkpoint_in(source: str | Path) -> str | Path:
    """The weights in the folder of a run of `rtmpose train`; anything else as it is."""
    inside = Path(source) / WEIGHTS
    return inside if inside.is_file() else source


def network_of(path: Path) -> Path:
    """The file of a model's network: itself, or the one in an SDK folder.

    Raises:
        ModelFileError: a folder that is none.
    """
    return network_file(path) if path.is_dir() else path


def named(source: Path) -> Path:
    """The same with a name, which "." lacks: cards are looked for beside it."""
    return source if source.name else source.resolve()


def subject_from_artifact(source: Path) -> Subject:
    """An ONNX file with a card, or an OpenMMLab SDK folder, to be exported for another engine.

    Raises:
        InputError: neither, or not fp32.
        ModelFileError, CardError: it cannot be opened, or has no card.
    """
    file = network_of(find_model(source))
    card = artifact_card(named(source))
    if file.suffix.lower() != ".onnx" or card.precision != "fp32":
        raise InputError(
            f"{source}: {card.precision} {file.suffix}; expected a checkpoint (.pth) or an fp32 ONNX model "
            "to export from"
        )
    return Subject(card, file=file)

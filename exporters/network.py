"""Which network does a checkpoint hold, and with which keypoints?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.new_card import InputKind, new_card
from rtmpose_sdk.keypoint_sets import (
    KeypointSet,
    get_keypoint_set,
    keypoint_set_from,
    keypoint_set_of,
    keypoint_set_with,
)
from rtmpose_sdk.models import (
    DetectModel,
    PoseModel,
    build_model,
    identify,
    load_state_dict,
    read_noted,
)
from rtmpose_sdk.models.build import HeadOptions


def open_checkpoint(
    weights: Path,
    name: str | None = None,
    *,
    keypoint_set: str | None = None,
    input_size: tuple[int, int] | None = None,
    input_kind: InputKind = "image",
    nms: bool = False,
) -> tuple[PoseModel | DetectModel, ModelCard]:
    """The network that a checkpoint holds, and the card of what is to be exported.

    Licence and notes are those of `rtmpose train`, where it wrote the file.

    Args:
        weights, name, keypoint_set, input_size: see `open_network`.
        input_kind, nms: see `new_card`.

    Raises:
        CheckpointError, CardError, InputError: see `open_network`.
    """
    read = _read(weights)
    network, keypoints = _network(read, name, keypoint_set, input_size)
    said = read.card
    if network.task == "detect":
        card = new_card(network.name, network.input_size, input_kind=input_kind, nms=nms)
    else:
        card = new_card(
            network.name,
            network.input_size,
            keypoints,
            input_kind=input_kind,
            heatmaps=network.head_options.gives_heatmaps,
            split_ratio=network.split_ratio,
        )
        if said is not None:
            card = replace(card, simcc_beta=said.simcc_beta, bbox_padding=said.bbox_padding)
    if said is not None:
        card = replace(card, license=said.license, notes=said.notes)
    return network, card


class _Read(NamedTuple):
    """A checkpoint's tensors, and what `rtmpose train` or MMPose says of them."""

    file: Path
    state: dict[str, Tensor]
    card: ModelCard | None
    head: HeadOptions | None
    keypoints: Mapping[str, Any] | None


def _read(weights: Path) -> _Read:
    state, note = read_noted(weights)
    card, head = note.get("card"), note.get("head")
    return _Read(
        weights,
        state,
        None if card is None else ModelCard.from_json(card, str(weights)),
        None if head is None else HeadOptions(**head),
        note.get("keypoints"),
    )


def open_network(
    weights: Path,
    name: str | None = None,
    keypoint_set: str | None = None,
    input_size: tuple[int, int] | None = None,
) -> tuple[PoseModel | DetectModel, str | KeypointSet]:
    """Build the network that a checkpoint holds and load it; what is not given is read from it.

    Weights of `rtmpose train` say it all themselves; of others, shapes and the file's name tell.

    Args:
        weights: a checkpoint in the published layout.
        name: "rtmpose-t", ...
        keypoint_set: name of a keypoint set, or the file of one.
        input_size: (width, height) px.

    Returns:
        The network, ready for inference, and its keypoint set, or the name or file of one ("" for a
        detector).

    Raises:
        CheckpointError: unreadable, unsafe, or of another size than what was asked for.
        CardError: the note of `rtmpose train` is of a later version.
        InputError: the keypoint set cannot be told from the weights, or is given for a detector.
    """
    return _network(_read(weights), name, keypoint_set, input_size)


def _network(
    read: _Read, name: str | None, keypoint_set: str | None, input_size: tuple[int, int] | None
) -> tuple[PoseModel | DetectModel, str | KeypointSet]:
    """`open_network` of what was read."""
    weights, state, said = read.file, read.state, read.card
    if said is not None and said.task == "pose":
        return _trained_network(read, said, name=name, keypoint_set=keypoint_set, input_size=input_size)
    found = identify(state)
    name = name or found.name
    size = input_size or (said.input_size if said else found.input_size)
    if name.startswith("rtmdet"):
        if keypoint_set is not None:
            raise InputError(f"{name} is a detector; it takes no keypoint set ('{keypoint_set}')")
        detector = build_model(name, input_size=size)
        load_state_dict(detector, state, weights)
        return detector.eval(), ""
    keypoints = keypoint_set or _trained_on(read) or keypoint_set_of(found.keypoints, str(weights))
    points = keypoints if isinstance(keypoints, KeypointSet) else get_keypoint_set(keypoints)
    if found.keypoints not in (None, len(points)):
        raise InputError(f"{weights}: has {found.keypoints} keypoints, but {points.name} has {len(points)}")
    if size is None:
        raise InputError(
            f"{weights}: is a heatmap network, whose weights do not tell its input size; give --input-size"
        )
    head = HeadOptions("heatmap", raw=True) if found.head == "heatmap" else None
    network = build_model(
        name, keypoint_set=len(points), input_size=size, head=head, split_ratio=found.split_ratio
    )
    load_state_dict(network, state, weights)
    return network.eval(), keypoints


def _trained_on(read: _Read) -> KeypointSet | None:
    """The keypoint set that MMPose says, under the name that it has here."""
    if read.keypoints is None:
        return None
    own = keypoint_set_from(str(read.keypoints["name"]), read.keypoints)
    return keypoint_set_with(own.names) or own


def _trained_network(
    read: _Read,
    said: ModelCard,
    *,
    name: str | None,
    keypoint_set: str | None,
    input_size: tuple[int, int] | None,
) -> tuple[PoseModel, str | KeypointSet]:
    """What `open_network` gives of weights that say themselves what they are."""
    own = said.keypoints()
    keypoints = get_keypoint_set(keypoint_set) if keypoint_set else own
    if len(keypoints) != len(own):
        raise InputError(f"{read.file}: has {len(own)} keypoints, but {keypoint_set} has {len(keypoints)}")
    network = build_model(
        name or said.name,
        keypoint_set=len(own),
        input_size=input_size or said.input_size,
        head=read.head,
        split_ratio=said.simcc_split_ratio,
    )
    load_state_dict(network, read.state, read.file)
    return network.eval(), keypoint_set or own

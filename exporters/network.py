"""Which network does a checkpoint hold, and with which keypoints?"""

from __future__ import annotations

from pathlib import Path

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.keypoint_sets import get_keypoint_set, keypoint_set_of
from rtmpose_sdk.models import (
    DetectModel,
    PoseModel,
    build_model,
    identify,
    load_state_dict,
    read_checkpoint,
)
from rtmpose_sdk.models.build import HeadOptions


def open_network(
    weights: Path,
    name: str | None = None,
    keypoint_set: str | None = None,
    input_size: tuple[int, int] | None = None,
) -> tuple[PoseModel | DetectModel, str]:
    """Build the network that a checkpoint holds and load it; what is not given is read from it.

    Args:
        weights: a checkpoint in the published layout.
        name: "rtmpose-t", ...
        keypoint_set: name of a keypoint set, or the file of one.
        input_size: (width, height) px.

    Returns:
        The network, ready for inference, and its keypoint set's name or file ("" for a detector).

    Raises:
        CheckpointError: unreadable, unsafe, or of another size than what was asked for.
        InputError: the keypoint set cannot be told from the weights, or is given for a detector.
    """
    state = read_checkpoint(weights)
    found = identify(state)
    name = name or found.name
    size = input_size or found.input_size
    if name.startswith("rtmdet"):
        if keypoint_set is not None:
            raise InputError(f"{name} is a detector; it takes no keypoint set ('{keypoint_set}')")
        detector = build_model(name, input_size=size)
        load_state_dict(detector, state, weights)
        return detector.eval(), ""
    if keypoint_set is None:
        keypoint_set = keypoint_set_of(found.keypoints, str(weights))
    count = len(get_keypoint_set(keypoint_set))
    if found.keypoints not in (None, count):
        raise InputError(f"{weights}: has {found.keypoints} keypoints, but {keypoint_set} has {count}")
    if size is None:
        raise InputError(
            f"{weights}: is a heatmap network, whose weights do not tell its input size; give --input-size"
        )
    head = HeadOptions("heatmap", raw=True) if found.head == "heatmap" else None
    network = build_model(
        name, keypoint_set=keypoint_set, input_size=size, head=head, split_ratio=found.split_ratio
    )
    load_state_dict(network, state, weights)
    return network.eval(), keypoint_set

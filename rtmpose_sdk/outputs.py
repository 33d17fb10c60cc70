"""Which outputs of a network does its decoder read? By name where they have ours, else by shape."""

from __future__ import annotations

import numpy as np

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import CardError
from rtmpose_sdk.runtimes import Runtime, TensorSpec

_WANTED: dict[str, dict[str, int]] = {
    "simcc": {"simcc_x": 3, "simcc_y": 3},
    "simcc3d": {"simcc_x": 3, "simcc_y": 3, "simcc_z": 3},
    "heatmap": {"heatmaps": 4},
    "rtmo": {"dets": 3, "keypoints": 4},
    "boxes": {"boxes": 3, "scores": 2},
    "boxes_nms": {"boxes": 2, "scores": 1, "batch_index": 1},
    "mmdeploy_dets": {"dets": 3, "labels": 2},
    "yolox": {"yolox": 3},
}
"""Names that each decoder reads, in order, and the number of dimensions that tells them."""


def find_outputs(specs: tuple[TensorSpec, ...], card: ModelCard, origin: object) -> dict[str, int]:
    """Name → place of each output that the card's decoder reads.

    Outputs under other names are taken by their number of dimensions, in order, where that is clear.

    Raises:
        CardError: they are not there, or their sizes contradict the card; says both.
    """
    wanted = _WANTED[card.decoder]
    names = [spec.name for spec in specs]
    if set(wanted) <= set(names):
        places = {name: names.index(name) for name in wanted}
    else:
        places = {}
        for dims in dict.fromkeys(wanted.values()):
            here = [i for i, spec in enumerate(specs) if len(spec.shape) == dims]
            meant = [name for name, d in wanted.items() if d == dims]
            if len(here) != len(meant) or card.decoder in ("boxes", "boxes_nms"):
                reads = ", ".join(f"{name} of {d} dimensions" for name, d in wanted.items())
                raise CardError(
                    f"{origin}: gives {sorted(names)} ({'; '.join(map(str, specs))}), but the card's "
                    "decoder "
                    f"'{card.decoder}' reads {reads}"
                )
            places |= dict(zip(meant, here, strict=True))
    _check_sizes({name: specs[i] for name, i in places.items()}, card, origin)
    return places


def measured(runtime: Runtime, size: tuple[int, int]) -> tuple[TensorSpec, ...]:
    """The outputs with their true sizes, by a run on an empty picture: exported shapes may leave them open.

    Args:
        runtime: the opened network; it takes (N,3,h,w).
        size: (width, height) px of its input.
    """
    if all(None not in spec.shape[1:] for spec in runtime.outputs):
        return runtime.outputs
    spec = runtime.inputs[0]
    shape = (spec.shape[0] or 1, 3, size[1], size[0])
    arrays = runtime.run(np.zeros(shape, spec.dtype))
    return tuple(
        TensorSpec(each.name, each.dtype, (each.shape[0], *array.shape[1:]))
        for each, array in zip(runtime.outputs, arrays, strict=True)
    )


def _check_sizes(found: dict[str, TensorSpec], card: ModelCard, origin: object) -> None:
    """A card that contradicts its artifact would give wrong keypoints without an error."""
    if card.task != "pose":
        return
    first = found["keypoints" if card.decoder == "rtmo" else next(iter(found))]
    keypoints = first.shape[2 if card.decoder == "rtmo" else 1]
    count = len(card.keypoints())
    if keypoints not in (None, count):
        raise CardError(
            f"{origin}: gives {keypoints} keypoints ({first}), but its card says {card.keypoint_set}, "
            "which "
            f"has {count}"
        )
    if card.decoder not in ("simcc", "simcc3d"):
        return
    for name, side in zip(("simcc_x", "simcc_y"), card.input_size, strict=True):
        bins = found[name].shape[-1]
        if bins not in (None, round(side * card.simcc_split_ratio)):
            raise CardError(
                f"{origin}: {name} has {bins} bins, but its card says {side} px with "
                f"{card.simcc_split_ratio:g} bins per px, which is {round(side * card.simcc_split_ratio)}"
            )

"""Which card fits a bare network? What its shapes tell, what must be asked, whether the answers work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from rtmpose_sdk.artifacts import Model
from rtmpose_sdk.card import (
    IMAGENET_MEAN_RGB,
    IMAGENET_STD_RGB,
    POSE_DECODERS,
    ColorOrder,
    Decoder,
    ModelCard,
)
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.errors import CardError
from rtmpose_sdk.images import read_image
from rtmpose_sdk.keypoint_sets import get_keypoint_set, keypoint_set_names
from rtmpose_sdk.one_stage import OneStage
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.runtimes import Runtime, TensorSpec

NORMALIZATIONS = {
    "imagenet": (IMAGENET_MEAN_RGB, IMAGENET_STD_RGB),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "unit": ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "half": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
}
"""Mean and std as RGB, in 0-255 units: ImageNet's, levels as they are, to 0...1, to -1...1."""
_CLEARLY = 1.15
"""Another answer must give so many times the confidence before it is proposed."""
_SURE = 0.3
_WIDEST = 10.0
"""Logarithm of strides that no box has: e^10 times 8 px."""


@dataclass
class Answers:
    """What is known about a network so far; None where it is not.

    Attributes:
        decoder: how outputs are read.
        size: (width, height) px.
        keypoints: a keypoint set's name, or the file of one.
        color: "rgb" or "bgr".
        normalize: a key of `NORMALIZATIONS`, or mean and std in the network's colour order.
        split_ratio: SimCC bins per px.
        udp: heatmap cells are numbered from the outermost pixel centres.
        takes_image: uint8 (N,h,w,3) BGR goes in.
        more: other fields of the card.
    """

    decoder: str | None = None
    size: tuple[int, int] | None = None
    keypoints: str | None = None
    color: str | None = None
    normalize: str | tuple[tuple[float, ...], tuple[float, ...]] | None = None
    split_ratio: float | None = None
    udp: bool | None = None
    takes_image: bool = False
    more: dict[str, Any] = field(default_factory=dict)


class Question(NamedTuple):
    """Something the file does not tell."""

    option: str
    text: str
    choices: tuple[str, ...] = ()


def look(runtime: Runtime, given: Answers) -> Answers:
    """Fill in what the network's inputs and outputs tell; what was given stands.

    Raises:
        CardError: an input or outputs that no decoder of ours takes, or that contradict what was given.
    """
    spec = runtime.inputs[0]
    found = replace(given)
    if len(runtime.inputs) != 1 or len(spec.shape) != 4:
        raise CardError(
            f"{runtime.path}: takes {', '.join(map(str, runtime.inputs))}; expected one picture"
        )
    if spec.dtype == "uint8" and spec.shape[3] in (3, None):
        found.takes_image, (height, width) = True, spec.shape[1:3]
    elif spec.dtype == "float32" and spec.shape[1] in (3, None):
        height, width = spec.shape[2:]
    else:
        raise CardError(f"{runtime.path}: takes {spec}; expected float32 (N,3,h,w), or uint8 (N,h,w,3) BGR")
    if width is not None and height is not None:
        if given.size not in (None, (width, height)):
            raise CardError(f"{runtime.path}: takes {width}x{height} px, but {given.size} was given")
        found.size = (width, height)
    found.decoder = given.decoder or _decoder(runtime.outputs, found.size)
    if found.decoder in ("simcc", "simcc3d") and found.size is not None and found.split_ratio is None:
        wide = [s for s in runtime.outputs if len(s.shape) == 3]
        ratios = {b / side for s, side in zip(wide, found.size, strict=False) if (b := s.shape[2])}
        if len(ratios) == 1:
            found.split_ratio = ratios.pop()
    if found.decoder in POSE_DECODERS and found.keypoints is None:
        found.keypoints = _keypoints(runtime.outputs, found.decoder)
    return found


def questions(answers: Answers) -> list[Question]:
    """What must still be said before there can be a card."""
    pose = answers.decoder in POSE_DECODERS
    decoders = ("simcc", "simcc3d", "heatmap", "rtmo", "yolox", "mmdeploy_dets", "boxes")
    asked = [
        (answers.decoder, Question("--decoder", "How are its outputs read?", decoders)),
        (answers.size, Question("--size", "Input size, WIDTHxHEIGHT px?")),
        (answers.keypoints or not pose, Question("--keypoints", "Keypoint set?", keypoint_set_names())),
        (
            answers.color or answers.takes_image,
            Question("--color", "Order of its channels?", ("rgb", "bgr")),
        ),
        (
            answers.normalize or answers.takes_image,
            Question("--normalize", "Normalisation?", tuple(NORMALIZATIONS)),
        ),
        (
            answers.split_ratio or answers.decoder not in ("simcc", "simcc3d"),
            Question("--split-ratio", "SimCC bins per px?"),
        ),
        (
            answers.udp is not None or answers.decoder != "heatmap",
            Question("--udp", "Heatmap cells by UDP?", ("yes", "no")),
        ),
    ]
    return [question for known, question in asked if not known]


def build(answers: Answers, name: str) -> ModelCard:
    """The card of the answers.

    Raises:
        CardError, InputError: answers that cannot be.
    """
    pose = answers.decoder in POSE_DECODERS
    keypoints = get_keypoint_set(answers.keypoints) if pose and answers.keypoints else None
    mean, std = _levels(answers)
    assert answers.size is not None
    color = "bgr" if answers.takes_image else answers.color
    return ModelCard(
        name=name,
        task="pose" if pose else "detect",
        input_size=answers.size,
        decoder=cast(Decoder, answers.decoder),  # both are checked by the card
        color_order=cast(ColorOrder, color),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        input_layout="nhwc" if answers.takes_image else "nchw",
        input_dtype="uint8" if answers.takes_image else "float32",
        keypoint_set=keypoints.name if keypoints else "",
        keypoint_definition=keypoints.definition()
        if keypoints and keypoints.name not in keypoint_set_names()
        else {},
        simcc_split_ratio=answers.split_ratio or 2.0,
        heatmap_udp=bool(answers.udp),
        **answers.more,
    )


def _levels(answers: Answers) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std in the network's colour order."""
    if not isinstance(answers.normalize, str):
        return answers.normalize or NORMALIZATIONS["none"]
    mean, std = NORMALIZATIONS[answers.normalize]
    return (mean, std) if answers.color == "rgb" else (mean[::-1], std[::-1])


class Trial(NamedTuple):
    """What a card gives on a picture: mean confidence of the keypoints, or score of the best box."""

    confidence: float
    found: int


def try_card(runtime: Runtime, card: ModelCard, picture: Path | None = None) -> Trial:
    """Run the network by its card on a picture with one person; None takes the bundled one.

    Raises:
        CardError, EngineError, InputError: it cannot be run so.
    """
    image = read_image(picture or Path(str(resources.files("rtmpose_sdk").joinpath("data/astronaut.jpg"))))
    model = Model(runtime, card)
    if card.task == "detect":
        boxes = Detector(model, score_threshold=0.01)(image)
        if card.decoder == "yolox":
            _check_raw(runtime, card)
        return Trial(float(boxes.scores.max(initial=0)), int((boxes.scores > _SURE).sum()))
    if card.decoder == "rtmo":
        poses = OneStage(model, score_threshold=0.01)(image)
        return Trial(float(poses.box_scores.max(initial=0)), int((poses.box_scores > _SURE).sum()))
    height, width = image.shape[:2]
    poses = Predictor(model)(image, np.array([[0, 0, width, height]], np.float32))
    return Trial(float(poses.confidences.mean()), int((poses.confidences > _SURE).sum()))


def better(runtime: Runtime, answers: Answers, name: str, picture: Path | None) -> Iterator[str]:
    """Other colours and normalisations that the network seems to like clearly more, as sentences."""
    if answers.takes_image:
        return
    mine = try_card(runtime, build(answers, name), picture).confidence
    for color in ("rgb", "bgr"):
        for normalize in NORMALIZATIONS:
            if (color, normalize) == (answers.color, answers.normalize):
                continue
            other = try_card(
                runtime, build(replace(answers, color=color, normalize=normalize), name), picture
            ).confidence
            if other > mine * _CLEARLY and other > _SURE:
                yield (
                    f"with --color {color} --normalize {normalize} it would be {other:.2f} instead of "
                    f"{mine:.2f}"
                )


def _check_raw(runtime: Runtime, card: ModelCard) -> None:
    """Sizes in px, where YOLOX's head has logarithms, would become boxes as large as the picture.

    Raises:
        CardError: the boxes are decoded already.
    """
    spec, (width, height) = runtime.inputs[0], card.input_size
    shape = (1, height, width, 3) if card.takes_image else (1, 3, height, width)
    head = next(out for out in runtime.run(np.zeros(shape, spec.dtype)) if out.ndim == 3)
    if head[..., 2:4].max() > _WIDEST:
        raise CardError(
            f"{runtime.path}: its boxes are decoded already, in px, which is no raw head of YOLOX "
            "(--decoder yolox). Export it without that step (YOLOX: without --decode_in_inference), or "
            "with NMS, and give --decoder mmdeploy_dets (dets, labels), or boxes (boxes in xyxy px, scores)"
        )


def _decoder(outputs: tuple[TensorSpec, ...], size: tuple[int, int] | None) -> str | None:
    """By names, number of dimensions and YOLOX's number of cells; None where several are possible."""
    names = {spec.name for spec in outputs}
    if {"boxes", "scores", "batch_index"} <= names:
        return "boxes_nms"
    if {"boxes", "scores"} <= names:
        return "boxes"
    dims = sorted(len(spec.shape) for spec in outputs)
    if dims.count(4) == 1 and 3 not in dims:  # arg-max of the maps may stand beside them
        return "heatmap"
    by_dims = {(3, 3): "simcc", (3, 3, 3): "simcc3d", (2, 3): "mmdeploy_dets", (3, 4): "rtmo"}
    if tuple(dims) in by_dims:
        return by_dims[tuple(dims)]
    if dims == [3] and size is not None and (outputs[0].shape[2] or 0) > 5:
        cells = sum((size[0] // stride) * (size[1] // stride) for stride in ModelCard.strides)
        return "yolox" if outputs[0].shape[1] == cells else None
    return None


def _keypoints(outputs: tuple[TensorSpec, ...], decoder: str) -> str | None:
    """The set with as many keypoints, where there is only one."""
    if decoder == "rtmo":
        count = next((s.shape[2] for s in outputs if len(s.shape) == 4), None)
    else:
        count = next((s.shape[1] for s in outputs if len(s.shape) in (3, 4)), None)
    fitting = [n for n in keypoint_set_names() if len(get_keypoint_set(n)) == count]
    return fitting[0] if len(fitting) == 1 else None

"""What comes back: boxes from a detector, poses from the pipeline. Empty is legal everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.keypoint_sets import KeypointSet, get_keypoint_set

Floats = NDArray[np.float32]
Index = int | np.integer[Any] | slice | NDArray[np.bool_] | NDArray[np.integer[Any]] | list[int]


def _check(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if not isinstance(array, np.ndarray):
        raise InputError(f"{name} is {type(array).__name__}; expected an array {shape}")
    if array.shape != shape:
        raise InputError(f"{name} has shape {array.shape}; expected {shape}")


def _set_floats(result: Detections | PoseResult, **shapes: tuple[int, ...]) -> None:
    """Check a result's arrays; the caller's numbers become float32."""
    for name, shape in shapes.items():
        array = getattr(result, name)
        _check(name, array, shape)
        if array.dtype != np.float32:
            try:
                object.__setattr__(result, name, array.astype(np.float32))  # it is frozen
            except (TypeError, ValueError):
                raise InputError(f"{name} is of {array.dtype}; expected numbers, float32") from None


def _said(result: Detections | PoseResult) -> str:
    """How many persons, in which picture."""
    count = f"{len(result)} person{'' if len(result) == 1 else 's'}"
    return f"{count}, picture {'x'.join(map(str, result.image_size))}"


def _refuse_name(index: object) -> None:
    if isinstance(index, str):
        raise InputError(
            f"result[{index!r}]: persons are picked by number, slice or mask; a keypoint is "
            f"result.keypoints[:, result.keypoint_set.names.index({index!r})], (N,2) px"
        )


def _rows(index: Index) -> Any:
    """An index that keeps the first axis: 3 → slice(3, 4)."""
    if isinstance(index, int | np.integer):
        return slice(index, None if index == -1 else index + 1)
    return index


@dataclass(frozen=True, eq=False)
class Detections:
    """Persons found in a picture.

    Attributes:
        boxes: (N,4) float32 xyxy px of the picture.
        scores: (N,) float32, 0...1.
        image_size: (width, height) of the picture in px.
    """

    boxes: Floats
    scores: Floats
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        _set_floats(self, boxes=(len(self.boxes), 4), scores=(len(self.boxes),))

    def __repr__(self) -> str:
        return f"<Detections: {_said(self)}>"

    @classmethod
    def empty(cls, image_size: tuple[int, int]) -> Detections:
        """No person in a picture of `image_size` (width, height)."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), image_size)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Index) -> Detections:
        if isinstance(index, int | np.integer) and not -len(self) <= index < len(self):
            raise IndexError(f"detection {index} of {len(self)}")
        rows = _rows(index)
        return Detections(self.boxes[rows], self.scores[rows], self.image_size)

    def __iter__(self) -> Iterator[Detections]:
        return (self[i] for i in range(len(self)))


@dataclass(frozen=True, eq=False)
class PoseResult:
    """Poses of N persons with K keypoints each, in one picture.

    Attributes:
        boxes: (N,4) float32 xyxy px, as they were given to the pose network (before padding).
        box_scores: (N,) float32, 0...1.
        keypoints: (N,K,2) float32 px of the picture; may lie outside of it.
        keypoint_scores: (N,K) float32, smaller of the two SimCC peaks, unbounded.
        confidences: (N,K) float32, 0...1: set thresholds on these.
        keypoint_set: names, skeleton, flip pairs, sigmas of the K keypoints.
        image_size: (width, height) of the picture in px.
        track_ids: (N,) int64, or None where nothing tracks.
        depths: (N,K) float32 m from the person's root, away from the camera positive; None where the model
            is flat.
    """

    boxes: Floats
    box_scores: Floats
    keypoints: Floats
    keypoint_scores: Floats
    confidences: Floats
    keypoint_set: KeypointSet
    image_size: tuple[int, int]
    track_ids: NDArray[np.int64] | None = None
    depths: Floats | None = None

    def __post_init__(self) -> None:
        persons, names = len(self.boxes), len(self.keypoint_set)
        _set_floats(
            self,
            boxes=(persons, 4),
            box_scores=(persons,),
            keypoints=(persons, names, 2),
            keypoint_scores=(persons, names),
            confidences=(persons, names),
        )
        if self.track_ids is not None:
            _check("track_ids", self.track_ids, (persons,))
        if self.depths is not None:
            _set_floats(self, depths=(persons, names))

    def __repr__(self) -> str:
        tracked = "" if self.track_ids is None else ", tracked"
        return f"<PoseResult: {_said(self)}, {self.keypoint_set.name}{tracked}>"

    @classmethod
    def empty(cls, keypoint_set: KeypointSet, image_size: tuple[int, int]) -> PoseResult:
        """No person in a picture of `image_size` (width, height)."""
        names = len(keypoint_set)
        return cls(
            boxes=np.empty((0, 4), np.float32),
            box_scores=np.empty(0, np.float32),
            keypoints=np.empty((0, names, 2), np.float32),
            keypoint_scores=np.empty((0, names), np.float32),
            confidences=np.empty((0, names), np.float32),
            keypoint_set=keypoint_set,
            image_size=image_size,
        )

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Index) -> PoseResult:
        if isinstance(index, int | np.integer) and not -len(self) <= index < len(self):
            raise IndexError(f"person {index} of {len(self)}")
        _refuse_name(index)
        rows = _rows(index)
        return PoseResult(
            self.boxes[rows],
            self.box_scores[rows],
            self.keypoints[rows],
            self.keypoint_scores[rows],
            self.confidences[rows],
            self.keypoint_set,
            self.image_size,
            None if self.track_ids is None else self.track_ids[rows],
            None if self.depths is None else self.depths[rows],
        )

    def __iter__(self) -> Iterator[PoseResult]:
        return (self[i] for i in range(len(self)))

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for `json.dumps`: one entry per person, keypoints by name."""
        persons = []
        for i in range(len(self)):
            person: dict[str, Any] = {
                "box": _rounded(self.boxes[i], 2),
                "box_score": round(float(self.box_scores[i]), 4),
                "keypoints": {
                    name: {
                        "x": round(float(x), 2),
                        "y": round(float(y), 2),
                        "score": round(float(score), 4),
                        "confidence": round(float(confidence), 4),
                    }
                    for name, (x, y), score, confidence in zip(
                        self.keypoint_set.names,
                        self.keypoints[i],
                        self.keypoint_scores[i],
                        self.confidences[i],
                        strict=True,
                    )
                },
            }
            if self.depths is not None:
                for name, depth in zip(self.keypoint_set.names, self.depths[i].tolist(), strict=True):
                    person["keypoints"][name]["z"] = round(depth, 4)
            if self.track_ids is not None:
                person["track_id"] = int(self.track_ids[i])
            persons.append(person)
        return {
            "image_size": list(self.image_size),
            "keypoint_set": self.keypoint_set.name,
            "persons": persons,
        }

    def to_coco(self, image_id: int | np.integer[Any], category_id: int = 1) -> list[dict[str, Any]]:
        """COCO keypoint results, one per person; its score is the mean keypoint score."""
        flat = np.concatenate([self.keypoints, self.keypoint_scores[..., None]], axis=2)
        own_id = int(image_id) if isinstance(image_id, np.integer) else image_id  # of a table: no JSON
        return [
            {
                "image_id": own_id,
                "category_id": category_id,
                "keypoints": _rounded(flat[i].reshape(-1), 3),
                "score": float(self.keypoint_scores[i].mean()),
            }
            for i in range(len(self))
        ]

    def to_openpose(self) -> dict[str, Any]:
        """OpenPose's JSON of one picture: `pose_keypoints_2d` is x, y, confidence, keypoint after keypoint.

        The keypoints are this set's in its own order. A track id is OpenPose's `person_id`, -1 without one.
        """
        flat = np.concatenate([self.keypoints, self.confidences[..., None]], axis=2)
        return {
            "version": 1.3,
            "people": [
                {
                    "person_id": [-1 if self.track_ids is None else int(self.track_ids[i])],
                    "pose_keypoints_2d": _rounded(flat[i].reshape(-1), 4),
                    "face_keypoints_2d": [],
                    "hand_left_keypoints_2d": [],
                    "hand_right_keypoints_2d": [],
                }
                for i in range(len(self))
            ],
        }

    @classmethod
    def from_dict(
        cls, content: Mapping[str, Any], keypoint_set: KeypointSet | str | Path | None = None
    ) -> PoseResult:
        """A result from what `to_dict` gave, in its precision.

        Args:
            content: the plain values.
            keypoint_set: of a set that the SDK does not know by name, or its .json file.

        Raises:
            InputError: not such values.
        """
        if keypoint_set is not None and not isinstance(keypoint_set, KeypointSet):
            keypoint_set = get_keypoint_set(keypoint_set)
        try:
            points = keypoint_set or get_keypoint_set(content["keypoint_set"])
            persons = content["persons"]
            keys = ("x", "y", "score", "confidence")
            table = np.array(
                [[[p["keypoints"][n][k] for k in keys] for n in points.names] for p in persons], np.float32
            ).reshape(len(persons), len(points), 4)
            ids = [p["track_id"] for p in persons if "track_id" in p]
            depths = [
                [p["keypoints"][n]["z"] for n in points.names]
                for p in persons
                if "z" in p["keypoints"][points.names[0]]
            ]
            return cls(
                boxes=np.array([p["box"] for p in persons], np.float32).reshape(-1, 4),
                box_scores=np.array([p["box_score"] for p in persons], np.float32),
                keypoints=np.ascontiguousarray(table[..., :2]),
                keypoint_scores=np.ascontiguousarray(table[..., 2]),
                confidences=np.ascontiguousarray(table[..., 3]),
                keypoint_set=points,
                image_size=(int(content["image_size"][0]), int(content["image_size"][1])),
                track_ids=np.array(ids, np.int64) if ids and len(ids) == len(persons) else None,
                depths=np.array(depths, np.float32) if depths else None,
            )
        except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
            raise InputError(f"not a result as PoseResult.to_dict writes it ({error!r})") from None

    def to_dataframe(self) -> Any:
        """A pandas DataFrame, one row for each person: track_id, box, then x, y, score, confidence by name.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from rtmpose_sdk.tables import to_dataframe

        return to_dataframe([self])

    def to_supervision(self) -> Any:
        """`supervision.KeyPoints` with the confidences; track ids are in its `data["track_id"]`.

        Raises:
            MissingExtraError: supervision is not installed.
        """
        from rtmpose_sdk.tables import to_supervision

        return to_supervision(self)

    def draw(self, image: NDArray[np.uint8], min_confidence: float = 0.3) -> NDArray[np.uint8]:
        """The picture (H,W,3) uint8 BGR with boxes, skeletons and keypoints on a copy of it.

        Args:
            image: the picture that this result belongs to.
            min_confidence: keypoints below it are left out.

        Raises:
            InputError: a picture of another size.
        """
        from rtmpose_sdk.drawing import draw_poses

        return draw_poses(image, self, min_confidence)


def _rounded(values: Floats, digits: int) -> list[float]:
    return [round(v, digits) for v in values.tolist()]

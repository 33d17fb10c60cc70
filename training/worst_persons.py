"""Whose keypoints does an artifact get most wrong?"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.benchmarks.scoring import read_truth
from rtmpose_sdk.coco import labelled
from rtmpose_sdk.drawing import draw_poses
from rtmpose_sdk.geometry import crop_boxes
from rtmpose_sdk.images import read_image, write_image
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.sheets import contact_sheet
from rtmpose_sdk.training.persons import Source

WORST_PERSONS = 24
_TILE = 192


def write_worst_persons(source: Source, artifact: Path, file: Path) -> int:
    """Persons with the largest mean distance between prediction (drawn) and annotation (white crosses).

    The captions are that distance, in box sizes, and the annotation's id.

    Args:
        source: validation data; its persons are those of an evaluation.
        artifact: a pose network.
        file: the picture that is written; nothing where nobody has a visible keypoint.

    Returns:
        How many persons are drawn.
    """
    found: list[tuple[float, str, NDArray[np.uint8]]] = []
    with Predictor(artifact, threads=1) as predictor:
        content = read_truth(source.annotations, predictor.keypoint_set)
        files = {row["id"]: row["file_name"] for row in content["images"]}
        rows = [a for a in content["annotations"] if labelled(a) and not a.get("iscrowd")]
        for row in sorted(rows, key=lambda r: str(r["image_id"])):
            truth = np.array(row["keypoints"], np.float32).reshape(-1, 3)
            known = truth[:, 2] > 0
            if not known.any():
                continue  # its num_keypoints says more than it has
            picture = read_image(source.images / files[row["image_id"]])
            x, y, w, h = row["bbox"]
            box = np.array([[x, y, x + w, y + h]], np.float32)
            pose = predictor(picture, box)
            error = np.linalg.norm(pose.keypoints[0, known] - truth[known, :2], axis=1).mean()
            relative = float(error / np.sqrt(w * h))
            if len(found) < WORST_PERSONS or relative > found[-1][0]:
                caption = f"{relative:.2f}  id {row['id']}"
                found.append((relative, caption, _tile(picture, box, pose, truth[known, :2])))
                found = sorted(found, key=lambda f: -f[0])[:WORST_PERSONS]
    if found:
        write_image(file, contact_sheet([tile for *_, tile in found], [text for _, text, _ in found]))
    return len(found)


def _tile(
    picture: NDArray[np.uint8], box: NDArray[np.float32], pose: PoseResult, truth: NDArray[np.float32]
) -> NDArray[np.uint8]:
    crops = crop_boxes(picture, box, (_TILE, _TILE), 1.25)
    size = (_TILE, _TILE)
    moved = PoseResult(
        (pose.boxes.reshape(1, 2, 2) - crops.origins[:, None]).reshape(1, 4) / crops.scales[0],
        pose.box_scores,
        (pose.keypoints - crops.origins[:, None]) / crops.scales[0],
        pose.keypoint_scores,
        pose.confidences,
        pose.keypoint_set,
        size,
    )
    drawn = draw_poses(crops.images[0], moved, min_confidence=0.0)
    for x, y in (truth - crops.origins[0]) / crops.scales[0]:
        cv2.drawMarker(drawn, (int(x), int(y)), (255, 255, 255), cv2.MARKER_CROSS, 7, 1, cv2.LINE_AA)
    return drawn

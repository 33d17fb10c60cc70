"""IDF1 and identity switches on made-up videos with known truth.

Run it with `python -m rtmpose_sdk.benchmarks.tracking`.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from rtmpose_sdk.benchmarks.identity import Identity, People, identity
from rtmpose_sdk.benchmarks.scenes import COCO, SCENES, Scene
from rtmpose_sdk.stream import PoseStream
from rtmpose_sdk.tracking import Tracking

SETTINGS = ((10.0, 1), (10.0, 5), (30.0, 1), (30.0, 5), (60.0, 5))
"""Frames per second, and frames from one detection to the next."""


def play(
    scene: Scene, detect_every: int, tracking: Tracking | None = None
) -> tuple[Identity, list[People], list[People]]:
    """Run a stream on a scene: figures, truth, and what was found."""
    stream = PoseStream(scene.detect, scene.pose, COCO, detect_every, tracking, None)
    truth, found = [], []
    for index in range(scene.count):
        scene.time = index / scene.fps
        result = stream(scene.picture(), scene.time)
        truth.append(scene.people(scene.time))
        ids = result.poses.track_ids
        assert ids is not None
        found.append(People(result.poses.boxes, ids))
    return identity(truth, found), truth, found


def main() -> None:
    """Print the table."""
    table = Table(
        "scene", "fps", "K", "IDF1", "switches", "misses", "ghosts", "people", "ids", "detections"
    )
    for name, make in SCENES.items():
        for fps, every in SETTINGS:
            scene = make(fps)
            figures, _, _ = play(scene, every)
            table.add_row(
                *(name, f"{fps:g}", str(every), f"{figures.idf1:.3f}", str(figures.switches)),
                *(f"{figures.misses:.1%}", f"{figures.ghosts:.1%}"),
                *(str(len(scene.paths)), str(figures.ids), f"{scene.detections / scene.count:.0%}"),
            )
    Console(width=max(Console().width, 110)).print(table)


if __name__ == "__main__":
    main()

"""What does cutting a person out of a picture cost with this OpenCV, alone and in a loop?

Run it with `python -m rtmpose_sdk.benchmarks.crop`, once for each OpenCV that is to be compared.
"""

from __future__ import annotations

import functools
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from rtmpose_sdk.benchmarks.latency import measure
from rtmpose_sdk.geometry import crop_boxes
from rtmpose_sdk.images import read_image

_SIZE = (192, 256)
_HEIGHTS = (100, 200, 300, 500)
"""Heights of a person in px; width is half of it."""


def main() -> None:
    """Print the median of each person's height."""
    cv2.setNumThreads(1)
    photo = read_image(Path(str(resources.files("rtmpose_sdk").joinpath("data/astronaut.jpg"))))
    steps = {}
    for height in _HEIGHTS:
        box = np.array([[5, 5, 5 + height / 2, 5 + height]], np.float32)
        steps[str(height)] = functools.partial(crop_boxes, photo, box, _SIZE, 1.25)
    found = measure(steps)
    table = Table(f"person's height, px (OpenCV {cv2.__version__})", "crop, p50 ms")
    for person, took in found.items():
        table.add_row(person, f"{took.p50:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()

"""The exporters as the cache calls them: a request on standard input, an artifact or one error as JSON.

`rtmpose_sdk.hub.convert` runs this module in a process of its own.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rtmpose_sdk.errors import RTMPoseError, VerificationError

LARGEST_SHIFT = 0.5
"""px of the network input; a conversion that moves more of them is refused."""


def convert(request: dict[str, Any]) -> None:
    """Export a checkpoint to the file that the request names, verified.

    Raises:
        VerificationError: the artifact does not give what the network gives.
        CheckpointError, InputError, OutputError: see `open_subject` and `export`.
    """
    from rtmpose_sdk.exporters.crops import verification_images
    from rtmpose_sdk.exporters.export import export
    from rtmpose_sdk.exporters.open_subject import open_subject
    from rtmpose_sdk.zoo import Found

    weights = Path(request["weights"])
    subject = open_subject(
        Found(weights),
        keypoints=request["keypoint_set"] or None,
        input_size=_size(request),
        license_name=request["license"],
        accuracy=request["accuracy"],
    )
    if request["source"]:
        subject = replace(subject, card=replace(subject.card, weights_source=request["source"]))
    crops = verification_images(subject.card, None, None, 16)
    found = export(subject, Path(request["out"]), crops)
    # What differs, but not by a px, is kept as `verified: false`; opening it warns every time.
    if found is None or found.not_finite or not found.p99_shift <= LARGEST_SHIFT:
        raise VerificationError(
            f"{weights}: its ONNX file does not give what the PyTorch model gives; export it with "
            "rtmpose-export for a closer look"
        )


def _size(request: dict[str, Any]) -> tuple[int, int] | None:
    width, height = request.get("input_size") or (None, None)
    return None if width is None or height is None else (width, height)


def main() -> int:
    """Exit code of the conversion."""
    try:
        convert(json.loads(sys.stdin.read()))
    except RTMPoseError as error:
        kind = next(k.__name__ for k in type(error).__mro__ if k.__module__ == "rtmpose_sdk.errors")
        sys.stdout.write("\n" + json.dumps({"error": kind, "message": str(error)}) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

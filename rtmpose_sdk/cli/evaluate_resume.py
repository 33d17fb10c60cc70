"""`rtmpose eval --resume`: what do the results depend on?"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from rtmpose_sdk.pipeline import Pipeline


def settings_of(
    pipeline: Pipeline, annotations: Path, images: Path, flip_test: bool, detection_threshold: float
) -> dict[str, Any]:
    """What the results depend on, as JSON has it: cards, too, wherever they come from."""
    from rtmpose_sdk.profile import hashes

    networks = {"pose": pipeline.top_down(), "detector": pipeline.detector}
    return {
        "annotations": hashes(annotations),
        "images": str(images.resolve()),
        "flip_test": flip_test,
        "detection_threshold": detection_threshold if pipeline.detector else None,
        **{
            role: [
                hashes(net.runtime.path),
                hashlib.sha256(net.card.to_json().encode()).hexdigest(),
                net.runtime.engine,
                net.runtime.precision,
            ]
            if net
            else None
            for role, net in networks.items()
        },
    }

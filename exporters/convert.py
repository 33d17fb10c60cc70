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


def convert(request: dict[str, Any]) -> None:
    """Export a checkpoint to the file that the request names, verified.

    Raises:
        VerificationError: the artifact does not give what the network gives.
        CheckpointError, InputError, OutputError: see `open_network` and `export`.
    """
    from rtmpose_sdk.exporters.checkpoint_to_onnx import describe_weights, export, new_card, with_accuracy
    from rtmpose_sdk.exporters.crops import verification_images
    from rtmpose_sdk.exporters.network import open_network

    weights = Path(request["weights"])
    network, keypoint_set = open_network(weights, keypoint_set=request["keypoint_set"] or None)
    heatmaps = network.task == "pose" and network.head_options.gives_heatmaps
    card = new_card(network.name, network.input_size, keypoint_set, heatmaps=heatmaps)
    card = with_accuracy(describe_weights(card, weights, request["license"], ""), request["accuracy"])
    if request["source"]:
        card = replace(card, weights_source=request["source"])
    found = export(network, card, Path(request["out"]), verification_images(card, None, None, 16))
    if not found.verified:
        raise VerificationError(
            f"{weights}: its ONNX file does not give what the PyTorch model gives (largest shift "
            f"{found.pixel_difference:.2f} px); export it with rtmpose-export for a closer look"
        )


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

"""Which version of ONNX's operators does a graph have, and which is ours?"""

from __future__ import annotations

import onnx
from onnx import version_converter

from rtmpose_sdk.errors import EngineError

OPSET = 18
"""The lowest that torch's exporter writes without converting; every engine of ours reads it."""


def operator_set(model: onnx.ModelProto) -> int:
    """Version of ONNX's own operators in a graph; 0 if it has none."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)


def in_set(model: onnx.ModelProto, name: str, version: int = OPSET) -> onnx.ModelProto:
    """The graph in another operator set: that of our own exports, if no other is named.

    Args:
        model: the graph.
        name: of its file, for errors.
        version: of ONNX's own operators.

    Raises:
        EngineError: it cannot be converted.
    """
    try:
        return version_converter.convert_version(model, version)
    except Exception as error:  # noqa: BLE001 - onnx raises RuntimeError and kinds of its own
        why = " ".join(str(error).split())[:300]
        raise EngineError(
            f"{name}: its operator set {operator_set(model)} cannot be converted to {version}: {why}"
        ) from None

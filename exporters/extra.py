"""Is the extra `export` installed?"""

from __future__ import annotations

from rtmpose_sdk.errors import MissingExtraError


def check_extra(user: str) -> None:
    """Raise where what the exporters need is not there.

    Args:
        user: who asks, for the message.

    Raises:
        MissingExtraError: a package of the extra `export` is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxslim  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "export", user) from None

"""The errors and the warning of the SDK. A leaf module: every room may import it, it imports nothing.

A message says what was given, what was expected, and what to do next.
"""

from __future__ import annotations


class RTMPoseError(Exception):
    """Root of every error that the SDK raises on purpose."""


class InputError(RTMPoseError, ValueError):
    """An argument, array, box or picture is not what the call takes."""


class ImageError(InputError):
    """A file or an array is not a picture that can be used."""


class SourceError(InputError):
    """A video, camera or stream cannot be opened, or breaks."""


class CardError(RTMPoseError, ValueError):
    """A model card is missing, damaged, of a later version, or contradicts the artifact."""


class ModelNotFoundError(RTMPoseError, LookupError):
    """Neither a known model name nor an existing file."""


class ModelFileError(RTMPoseError):
    """A model file exists but cannot be opened as what it should be."""


class CheckpointError(ModelFileError):
    """A PyTorch checkpoint cannot be read, is unsafe, or does not fit the network."""


class DataError(InputError):
    """Training data that cannot be learned from."""


class TrainingError(RTMPoseError):
    """A training run that cannot go on."""


class MissingExtraError(RTMPoseError, ImportError):
    """A part of the SDK needs a package that is not installed."""

    def __init__(self, package: str, extra: str, why: str) -> None:
        super().__init__(
            f"{why} needs the package '{package}', which is not installed. "
            f"Install it with: pip install 'rtmpose-sdk[{extra}]'"
        )
        self.package = package
        self.extra = extra


class DeviceError(RTMPoseError):
    """The device, or the precision on it, that was asked for cannot be had."""


class EngineError(RTMPoseError):
    """An engine failed, or gave numbers that cannot be right (NaN, infinity)."""


class VerificationError(RTMPoseError):
    """An exported artifact does not give what the PyTorch model gives."""


class OutputError(RTMPoseError, OSError):
    """A result cannot be written."""


class DownloadError(RTMPoseError, OSError):
    """A file could not be fetched, or is not what it should be."""


class OfflineError(DownloadError):
    """A file is not in the cache, and no connection may be opened."""


class ArchiveError(ModelFileError):
    """An archive is damaged, holds no model, or would write where it must not."""


class RTMPoseWarning(UserWarning):
    """Something goes on, but not as one would expect: `warnings.filterwarnings` takes it by this name."""

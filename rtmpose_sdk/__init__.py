"""RTMPose on real devices: export, run, measure. Loads numpy and OpenCV, no engine and no torch."""

from rtmpose_sdk import _checkout as _checkout  # first: it tells Python where the rest is
from rtmpose_sdk._version import __version__
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.cascade import Cascade
from rtmpose_sdk.conversion import convert_keypoints, part_of
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.errors import RTMPoseError, RTMPoseWarning
from rtmpose_sdk.frame import FrameResult
from rtmpose_sdk.images import read_image
from rtmpose_sdk.keypoint_sets import KeypointSet, get_keypoint_set
from rtmpose_sdk.one_stage import OneStage
from rtmpose_sdk.pipeline import Pipeline
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.results import Detections, PoseResult
from rtmpose_sdk.smoothing import Smoothing
from rtmpose_sdk.sources import open_source
from rtmpose_sdk.stream import PoseStream
from rtmpose_sdk.tracking import Tracking

__all__ = [
    "Cascade",
    "Detections",
    "Detector",
    "FrameResult",
    "KeypointSet",
    "ModelCard",
    "OneStage",
    "Pipeline",
    "PoseResult",
    "PoseStream",
    "Predictor",
    "RTMPoseError",
    "RTMPoseWarning",
    "Smoothing",
    "Tracking",
    "__version__",
    "convert_keypoints",
    "get_keypoint_set",
    "open_source",
    "part_of",
    "read_image",
]

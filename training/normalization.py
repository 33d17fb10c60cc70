"""What the published RTMPose and RTMDet take for a normalised picture, as OpenCV orders channels."""

from rtmpose_sdk.card import IMAGENET_MEAN_RGB, IMAGENET_STD_RGB

MEAN_BGR, STD_BGR = IMAGENET_MEAN_RGB[::-1], IMAGENET_STD_RGB[::-1]

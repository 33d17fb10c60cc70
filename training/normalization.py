"""What the published RTMPose and RTMDet take for a normalised picture, in 0-255 units."""

MEAN_BGR = (103.53, 116.28, 123.675)
STD_BGR = (57.375, 57.12, 58.395)

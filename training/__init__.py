"""The paper's training recipe, for pose and for the detector. Needs the extra `train`."""

"""Checkpoint → artifact → proof that the artifact gives the same keypoints."""

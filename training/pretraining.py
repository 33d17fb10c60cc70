"""What is trained before a network that begins with random weights?"""

from __future__ import annotations

from dataclasses import replace

from rtmpose_sdk.models.build import HeadOptions
from rtmpose_sdk.training.config import RunConfig


def pretraining(config: RunConfig) -> RunConfig:
    """The configuration of the heatmap pre-training; RTMW's backbone is RTMPose's of the same size."""
    return replace(
        config,
        model=config.model.replace("rtmw-", "rtmpose-"),
        head="heatmap",
        kernel_size=HeadOptions.kernel_size,
        gau=True,
        light=True,
        heatmap_weight=0.0,
        epochs=config.pretrain_epochs,
        weak_epochs=0,
        val_annotations="",
        input_size=config.pretrain_size,
        pretrain_epochs=0,
    )

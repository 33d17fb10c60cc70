"""What would stop a run later? Found before anything is written or any process is started."""

from __future__ import annotations

from pathlib import Path

import torch

from rtmpose_sdk.keypoint_sets import KeypointSet, keypoint_set_with
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.devices import check_device
from rtmpose_sdk.training.fitness import check_data
from rtmpose_sdk.training.initialize import what_fits
from rtmpose_sdk.training.persons import read_keypoint_set, read_persons
from rtmpose_sdk.training.pictures import read_pictures
from rtmpose_sdk.training.pretraining import pretraining
from rtmpose_sdk.training.progress import Progress
from rtmpose_sdk.training.sides import mirror_pairs
from rtmpose_sdk.training.tasks import CANVASES, build_network
from rtmpose_sdk.training.teacher import check_teacher


def check_run(config: RunConfig, folder: Path, progress: Progress) -> KeypointSet | None:
    """Look at device, network and data, each time that a run begins or goes on.

    Returns:
        The keypoints of a pose network's data.

    Raises:
        DeviceError, InputError, ModelNotFoundError: the device or the network cannot be had.
        DataError, MissingExtraError: see `check_data`.
    """
    check_device(config.device, config.precision, config.devices)
    keypoint_set = read_keypoint_set(config.sources) if config.task == "pose" else None
    with torch.device("meta"):  # without memory and random numbers
        build_network(config, keypoint_set)
        if config.pretrain_epochs:
            build_network(pretraining(config), keypoint_set)
    if keypoint_set is not None and keypoint_set_with(keypoint_set.names) is None:
        progress.say(mirror_pairs(keypoint_set))
    check_data(config, keypoint_set, (folder / CANVASES).is_file(), progress)
    return keypoint_set


def check_beginning(config: RunConfig, keypoint_set: KeypointSet | None) -> None:
    """What a run only needs where it begins; mended, the same command must find no folder in its way.

    Args:
        config: the run.
        keypoint_set: what `check_run` gave.

    Raises:
        DataError: nobody, or nothing, to learn from.
        InputError, ModelNotFoundError: a teacher that cannot be one.
        CheckpointError: `init` does not fit.
    """
    if keypoint_set is None:
        read_pictures(config.sources)
    else:
        read_persons(config.sources, len(keypoint_set), labelled_only=not config.teacher)
        if config.teacher:
            check_teacher(config.teacher, keypoint_set)
    if config.init:
        with torch.device("meta"):
            first = build_network(pretraining(config) if config.pretrain_epochs else config, keypoint_set)
        what_fits(first, Path(config.init))

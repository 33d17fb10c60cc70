"""One run from its configuration to an exported artifact: what `rtmpose train` does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from rtmpose_sdk.errors import OutputError, TrainingError
from rtmpose_sdk.models import PoseModel
from rtmpose_sdk.models.build import HeadOptions, default_input_size
from rtmpose_sdk.runtimes import allowed_cores
from rtmpose_sdk.training.artifact import WEIGHTS, export_artifact, note
from rtmpose_sdk.training.auxiliary import AUXILIARY
from rtmpose_sdk.training.canvases import mark_file
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.depthwise import speed_up
from rtmpose_sdk.training.devices import check_device
from rtmpose_sdk.training.fitness import check_data
from rtmpose_sdk.training.initialize import ARTIFACT, channels_last, initialize, load_what_fits
from rtmpose_sdk.training.loop import LAST, run_training
from rtmpose_sdk.training.optimizer import default_rate
from rtmpose_sdk.training.persons import Source, read_keypoint_set
from rtmpose_sdk.training.progress import Progress
from rtmpose_sdk.training.report import write_report
from rtmpose_sdk.training.settle import settle
from rtmpose_sdk.training.state import save_weights
from rtmpose_sdk.training.tasks import (
    CANVASES,
    LABELS,
    build_network,
    build_schedule,
    detector_task,
    pose_task,
)

__all__ = ["RunConfig", "Source", "default_input_size", "resume", "start"]

_PATIENCE = timedelta(days=1)
"""How long processes wait for the first one, which alone asks a teacher, cuts crops and evaluates."""
_PRETRAINING = "pretraining"


def start(config: RunConfig, folder: Path, progress: Progress) -> Path:
    """Begin a run in a new folder; see `resume` for what comes back and what is raised.

    Raises:
        TrainingError: there is something in the folder already.
        OutputError: it is none, or cannot be made.
    """
    if config.rate is None:  # frozen, so that a resumed run does not follow another version's default
        config = replace(config, rate=default_rate(config.task, config.batch))
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; expected a folder for the run")
    if not _is_worker() and folder.exists() and any(folder.iterdir()):
        raise TrainingError(
            f"{folder}: there is something in it already; resume it (rtmpose train --resume {folder}), or "
            "choose another --out"
        )
    _check(config, folder, progress)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a folder for the run ({error.strerror})") from None
    config.save(folder)
    return _run(config, folder, progress)


def resume(folder: Path, progress: Progress) -> Path:
    """Begin, or go on with, the run in a folder, and export what it gave.

    Returns:
        The artifact, `<model>.onnx` in the folder; report.md lies beside it.

    Raises:
        TrainingError: not a run, or the loss is not finite any more.
        DataError, InputError, ImageError: data that cannot be learned from, or a network that cannot be.
        CheckpointError: `init` does not fit.
        DeviceError: the device cannot be had.
        KeyboardInterrupt: stopped by a signal; everything is saved.
    """
    config = RunConfig.load(folder)
    _check(config, folder, progress)
    return _run(config, folder, progress)


def _check(config: RunConfig, folder: Path, progress: Progress) -> None:
    """Whatever would stop the run later, found before anything is written or any process is started."""
    if _is_worker():
        return
    check_device(config.device, config.precision)
    keypoint_set = read_keypoint_set(config.sources) if config.task == "pose" else None
    with torch.device("meta"):  # without memory and random numbers
        build_network(config, keypoint_set)
        if config.pretrain_epochs:
            build_network(pretraining(config), keypoint_set)
    check_data(config, keypoint_set, (folder / CANVASES).is_file(), progress)


def _run(config: RunConfig, folder: Path, progress: Progress) -> Path:
    fabric = _fabric(config)
    if not fabric.is_global_zero:
        progress = _Silent()
    torch.manual_seed(config.seed)
    if config.pretrain_epochs:
        config = _pretrained(config, folder, fabric, progress)
    return _train(config, folder, fabric, progress)


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


def _pretrained(config: RunConfig, folder: Path, fabric: Fabric, progress: Progress) -> RunConfig:
    """Heatmap pre-training in a folder of its own; gives the configuration of what follows."""
    inner, first = folder / _PRETRAINING, pretraining(config)
    if not (inner / WEIGHTS).is_file():
        progress.say(f"pre-training of the backbone with heatmaps, {config.pretrain_epochs:g} epochs")
        inner.mkdir(exist_ok=True)
        first.save(inner)
        _train(first, inner, fabric, progress, exported=False)
        if fabric.is_global_zero and (inner / LABELS).is_file():
            shutil.copyfile(inner / LABELS, folder / LABELS)
        fabric.barrier()
    return replace(config, init=str(inner / WEIGHTS), backbone_only=True)


def _train(
    config: RunConfig, folder: Path, fabric: Fabric, progress: Progress, exported: bool = True
) -> Path:
    keypoint_set = read_keypoint_set(config.sources) if config.task == "pose" else None
    network = build_network(config, keypoint_set)
    initialize(network, config.seed)
    if config.init and not (folder / LAST).is_file():
        loaded = load_what_fits(network, Path(config.init), config.backbone_only)
        progress.say(f"{config.init}: {loaded}")
    channels_last(network)
    speed_up(network)
    network.backbone.freeze(config.freeze)
    if isinstance(network, PoseModel):
        assert keypoint_set is not None
        task, count = pose_task(config, folder, network, keypoint_set, fabric, progress)
    else:
        task, count = detector_task(config, network)
    if config.init.endswith(ARTIFACT) and not (folder / LAST).is_file():
        network.to(fabric.device)
        settle(task, fabric.device)
    schedule = build_schedule(config, count)
    progress.say(
        f"{config.model}, {count} {'persons' if config.task == 'pose' else 'pictures'}, {schedule.steps} "
        f"steps of {config.batch} on {config.devices} x {config.device}, {config.precision}"
    )
    trained = run_training(
        task, schedule, folder, fabric, lambda done, figures: progress.step(done, schedule.steps, figures)
    )
    fabric.barrier()
    artifact = folder / f"{config.model}.onnx"
    if fabric.is_global_zero:
        save_weights(trained, folder / WEIGHTS, leave_out=AUXILIARY, note=note(config, keypoint_set))
        if exported:
            progress.say("exporting")
            export_artifact(config, folder, trained.cpu(), keypoint_set, artifact)
            progress.say(f"report: {write_report(folder, config, artifact)}")
        for file in (folder / CANVASES, mark_file(folder / CANVASES)):
            file.unlink(missing_ok=True)
    if not exported:  # what follows reads the weights; else the others need not wait for the export
        fabric.barrier()
    return artifact


def _fabric(config: RunConfig) -> Fabric:
    if config.device == "cpu":
        torch.set_num_threads(max(allowed_cores() // config.devices, 1))
        cv2.setNumThreads(torch.get_num_threads())
    strategy = DDPStrategy(timeout=_PATIENCE) if config.devices > 1 else "auto"
    fabric = Fabric(
        accelerator=config.device, devices=config.devices, precision=config.precision, strategy=strategy
    )
    if config.devices > 1:
        fabric.launch()
    return fabric


def _is_worker() -> bool:
    """True in the processes that the first one starts."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0


class _Silent:
    """Processes beside the first say nothing."""

    def say(self, text: str) -> None:
        pass

    def track(self, what: str, items: Iterable[Any]) -> Iterable[Any]:
        return items

    def step(self, done: int, total: int, figures: dict[str, float]) -> None:
        pass

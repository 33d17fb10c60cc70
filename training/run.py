"""One run from its configuration to an exported artifact: what `rtmpose train` does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import nn

from rtmpose_sdk.errors import OutputError, TrainingError
from rtmpose_sdk.keypoint_sets import KeypointSet, keypoint_set_with
from rtmpose_sdk.models import DetectModel, PoseModel, read_checkpoint
from rtmpose_sdk.models.build import HeadOptions, default_input_size
from rtmpose_sdk.runtimes import allowed_cores
from rtmpose_sdk.training.artifact import WEIGHTS, export_artifact, note
from rtmpose_sdk.training.auxiliary import AUXILIARY
from rtmpose_sdk.training.canvases import mark_file
from rtmpose_sdk.training.check import mirror_pairs
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.depthwise import speed_up
from rtmpose_sdk.training.devices import check_device
from rtmpose_sdk.training.fitness import check_data
from rtmpose_sdk.training.initialize import (
    ARTIFACT,
    channels_last,
    initialize,
    load_what_fits,
    what_fits,
)
from rtmpose_sdk.training.lock import locked
from rtmpose_sdk.training.loop import LAST, run_training
from rtmpose_sdk.training.optimizer import default_rate
from rtmpose_sdk.training.persons import Source, read_keypoint_set, read_persons
from rtmpose_sdk.training.pictures import read_pictures
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
    weak_steps,
)
from rtmpose_sdk.training.teacher import check_teacher

__all__ = ["RunConfig", "Source", "default_input_size", "resume", "start"]

_PATIENCE = timedelta(days=1)
"""How long processes wait for the first one, which alone asks a teacher, cuts crops and evaluates."""
_PRETRAINING = "pretraining"
_FEW_STEPS = 500
"""Fewer learn keypoints of one's own badly: see the table of docs/training.md, Few pictures."""


def start(config: RunConfig, folder: Path, progress: Progress) -> Path:
    """Begin a run in a new folder; see `resume` for what comes back and what is raised.

    Raises:
        TrainingError: there is something in the folder already, or another process trains there.
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
    _check_beginning(config, _check(config, folder, progress))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a folder for the run ({error.strerror})") from None
    with _alone(folder):
        config.save(folder)
        return _run(config, folder, progress)


def resume(folder: Path, progress: Progress) -> Path:
    """Begin, or go on with, the run in a folder, and export what it gave.

    Returns:
        The artifact, `<model>.onnx` in the folder; report.md lies beside it.

    Raises:
        TrainingError: not a run, another process's, or the loss is not finite any more.
        DataError, InputError, ImageError: data that cannot be learned from, or a network that cannot be.
        CheckpointError: `init` does not fit.
        DeviceError: the device cannot be had.
        KeyboardInterrupt: stopped by a signal; everything is saved.
    """
    config = RunConfig.load(folder)
    with _alone(folder):
        _check(config, folder, progress)
        return _run(config, folder, progress)


def _alone(folder: Path) -> AbstractContextManager[None]:
    """The run's folder is the first process's, and so its workers'."""
    return nullcontext() if _is_worker() else locked(folder)


def _check(config: RunConfig, folder: Path, progress: Progress) -> KeypointSet | None:
    """Whatever would stop the run later, found before anything is written or any process is started.

    Returns:
        The keypoints of a pose network's data.
    """
    if _is_worker():
        return None
    check_device(config.device, config.precision)
    keypoint_set = read_keypoint_set(config.sources) if config.task == "pose" else None
    with torch.device("meta"):  # without memory and random numbers
        build_network(config, keypoint_set)
        if config.pretrain_epochs:
            build_network(pretraining(config), keypoint_set)
    if keypoint_set is not None and keypoint_set_with(keypoint_set.names) is None:
        progress.say(mirror_pairs(keypoint_set))
    check_data(config, keypoint_set, (folder / CANVASES).is_file(), progress)
    return keypoint_set


def _check_beginning(config: RunConfig, keypoint_set: KeypointSet | None) -> None:
    """What a run only needs where it begins; mended, the same command must find no folder in its way."""
    if _is_worker():
        return
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


def _run(config: RunConfig, folder: Path, progress: Progress) -> Path:
    fabric = _fabric(config)
    if not fabric.is_global_zero:
        progress = _Silent()
    torch.manual_seed(config.seed)
    if config.pretrain_epochs and not (folder / WEIGHTS).is_file():
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
    done = (folder / WEIGHTS).is_file()
    if done:  # only the export is left; the data may have been mended for it
        network.load_state_dict(read_checkpoint(folder / WEIGHTS), strict=False)
        network.eval()
    elif config.init and not (folder / LAST).is_file():
        loaded = load_what_fits(network, Path(config.init), config.backbone_only)
        progress.say(f"{config.init}: {loaded}")
    channels_last(network)
    speed_up(network)
    trained = network if done else _learned(config, folder, network, keypoint_set, fabric, progress)
    artifact = folder / f"{config.model}.onnx"
    if fabric.is_global_zero:
        if not done:
            save_weights(trained, folder / WEIGHTS, leave_out=AUXILIARY, note=note(config, keypoint_set))
        if exported:
            progress.say("exporting")
            export_artifact(config, folder, trained.cpu(), keypoint_set, artifact)
            progress.say(f"report: {write_report(folder, config, artifact)}")
            chosen = "--boxes full --pose" if config.task == "pose" else "--detector"
            progress.say(f"try it: rtmpose predict PICTURE {chosen} {artifact}")
        for file in (folder / CANVASES, mark_file(folder / CANVASES)):
            file.unlink(missing_ok=True)
    if not exported:  # what follows reads the weights; else the others need not wait for the export
        fabric.barrier()
    return artifact


def _learned(
    config: RunConfig,
    folder: Path,
    network: PoseModel | DetectModel,
    keypoint_set: KeypointSet | None,
    fabric: Fabric,
    progress: Progress,
) -> nn.Module:
    """The network to ship, after all steps."""
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
        f"steps of {config.batch} on {config.devices} x {config.device}, {config.precision}; the last "
        f"{weak_steps(config, count)} with weak augmentation"
    )
    if schedule.steps < _FEW_STEPS and not config.light and not (folder / LAST).is_file():
        more = "; --heatmap-weight 2 helps, too" if _may_learn_heatmaps(config) else ""
        progress.say(
            f"{schedule.steps} steps are few to learn something new in: give more --epochs, or a smaller "
            f"--batch and a --rate, whose default falls with it{more} (docs/training.md, Few pictures)"
        )
    name = Path(config.val_annotations).name
    trained = run_training(
        task,
        schedule,
        folder,
        fabric,
        lambda done, figures: progress.step(done, schedule.steps, figures),
        lambda done, figures: progress.say(f"step {done}: {_in_short(figures)} on {name}"),
    )
    fabric.barrier()
    return trained


def _in_short(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {figures[name]:.3f}" for name in ("AP", "AP50") if name in figures)


def _may_learn_heatmaps(config: RunConfig) -> bool:
    return config.task == "pose" and config.head != "heatmap" and not config.heatmap_weight


def _fabric(config: RunConfig) -> Fabric:
    if config.device == "cpu":
        torch.set_num_threads(max(allowed_cores() // config.devices, 1))
        cv2.setNumThreads(torch.get_num_threads())
    strategy: DDPStrategy | str = "auto"
    if config.devices > 1:
        # Fabric takes NCCL for GPUs, which torch has on Linux only.
        backend = None if torch.distributed.is_nccl_available() else "gloo"
        strategy = DDPStrategy(process_group_backend=backend, timeout=_PATIENCE)
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

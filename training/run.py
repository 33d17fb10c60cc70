"""One run from its configuration to an exported artifact: what `rtmpose train` does."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn

from rtmpose_sdk.errors import OutputError, TrainingError
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.models import DetectModel, PoseModel, read_checkpoint
from rtmpose_sdk.models.build import default_input_size
from rtmpose_sdk.runs import LAST, WEIGHTS
from rtmpose_sdk.training.artifact import export_artifact, note
from rtmpose_sdk.training.auxiliary import AUXILIARY
from rtmpose_sdk.training.canvases import mark_file
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.depthwise import speed_up
from rtmpose_sdk.training.devices import enough_memory
from rtmpose_sdk.training.initialize import ARTIFACT, channels_last, initialize, load_what_fits
from rtmpose_sdk.training.lock import locked
from rtmpose_sdk.training.loop import Schedule, Task, run_training
from rtmpose_sdk.training.optimizer import default_rate
from rtmpose_sdk.training.persons import Source, read_keypoint_set
from rtmpose_sdk.training.pretraining import pretraining
from rtmpose_sdk.training.processes import Silent, ending_together, is_worker, start_processes
from rtmpose_sdk.training.progress import Progress
from rtmpose_sdk.training.report import write_report
from rtmpose_sdk.training.requirements import check_beginning, check_run
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

__all__ = ["RunConfig", "Source", "default_input_size", "resume", "start"]

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
    if not is_worker():
        if folder.exists() and any(folder.iterdir()):
            raise TrainingError(
                f"{folder}: there is something in it already; resume it (rtmpose train --resume {folder}), "
                "or choose another --out"
            )
        check_beginning(config, check_run(config, folder, progress))
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
        DeviceError: the device cannot be had, or its memory is full.
        KeyboardInterrupt: stopped by a signal; everything is saved.
    """
    config = RunConfig.load(folder)
    with _alone(folder):
        if not is_worker():
            check_run(config, folder, progress)
        return _run(config, folder, progress)


def _alone(folder: Path) -> AbstractContextManager[None]:
    """The run's folder is the first process's, and so its workers'."""
    return nullcontext() if is_worker() else locked(folder)


def _run(config: RunConfig, folder: Path, progress: Progress) -> Path:
    """All of it, by as many processes as there are devices."""
    fabric = start_processes(config)
    with ending_together(fabric), enough_memory(config, folder):
        return _stages(config, folder, fabric, progress if fabric.is_global_zero else Silent())


def _stages(config: RunConfig, folder: Path, fabric: Fabric, progress: Progress) -> Path:
    """Pre-training where the configuration has one, training, export."""
    torch.manual_seed(config.seed)
    keypoint_set = read_keypoint_set(config.sources) if config.task == "pose" else None
    if config.pretrain_epochs and not (folder / WEIGHTS).is_file():
        config = _pretrained(config, folder, keypoint_set, fabric, progress)
    network = _trained(config, folder, keypoint_set, fabric, progress)
    artifact = folder / f"{config.model}{ARTIFACT}"
    if fabric.is_global_zero:
        _export(config, folder, network, keypoint_set, artifact, progress)
    return artifact  # the other processes need not wait for the export


def _pretrained(
    config: RunConfig, folder: Path, keypoint_set: KeypointSet | None, fabric: Fabric, progress: Progress
) -> RunConfig:
    """Heatmap pre-training in a folder of its own; gives the configuration of what follows."""
    inner, first = folder / _PRETRAINING, pretraining(config)
    if not (inner / WEIGHTS).is_file():
        progress.say(f"pre-training of the backbone with heatmaps, {config.pretrain_epochs:g} epochs")
        inner.mkdir(exist_ok=True)
        first.save(inner)
        _trained(first, inner, keypoint_set, fabric, progress)
        if fabric.is_global_zero:
            if (inner / LABELS).is_file():
                shutil.copyfile(inner / LABELS, folder / LABELS)
            _remove_canvases(inner)
        fabric.barrier()  # what follows reads the weights
    return replace(config, init=str(inner / WEIGHTS), backbone_only=True)


def _trained(
    config: RunConfig, folder: Path, keypoint_set: KeypointSet | None, fabric: Fabric, progress: Progress
) -> nn.Module:
    """The network after all steps, whose weights lie in the folder; it may have been trained before."""
    network = build_network(config, keypoint_set)
    if (folder / WEIGHTS).is_file():  # only the export is left; the data may have been mended for it
        network.load_state_dict(read_checkpoint(folder / WEIGHTS), strict=False)
        return network.eval()
    initialize(network, config.seed)
    if config.init and not (folder / LAST).is_file():
        loaded = load_what_fits(network, Path(config.init), config.backbone_only)
        progress.say(f"{config.init}: {loaded}")
    channels_last(network)
    speed_up(network)
    save = functools.partial(save_weights, leave_out=AUXILIARY, note=note(config, keypoint_set))
    trained = _learned(config, folder, network, keypoint_set, fabric, progress, save)
    if fabric.is_global_zero:
        save(trained, folder / WEIGHTS)
    return trained


def _learned(
    config: RunConfig,
    folder: Path,
    network: PoseModel | DetectModel,
    keypoint_set: KeypointSet | None,
    fabric: Fabric,
    progress: Progress,
    save: Callable[[nn.Module, Path], None],
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
    _announce(config, schedule, count, (folder / LAST).is_file(), progress)
    trained = _loop(config, folder, task, schedule, fabric, progress, save)
    fabric.barrier()
    return trained


def _loop(
    config: RunConfig,
    folder: Path,
    task: Task,
    schedule: Schedule,
    fabric: Fabric,
    progress: Progress,
    save: Callable[[nn.Module, Path], None],
) -> nn.Module:
    """All steps, shown."""
    name = Path(config.val_annotations).name
    return run_training(
        task,
        schedule,
        folder,
        fabric,
        lambda done, figures: progress.step(done, schedule.steps, figures),
        lambda done, figures: progress.say(f"step {done}: {_in_short(figures)} on {name}"),
        save,
    )


def _announce(config: RunConfig, schedule: Schedule, count: int, resumed: bool, progress: Progress) -> None:
    """How long the run is, and whether that is enough."""
    progress.say(
        f"{config.model}, {count} {'persons' if config.task == 'pose' else 'pictures'}, {schedule.steps} "
        f"steps of {config.batch} on {config.devices} x {config.device}, {config.precision}; the last "
        f"{weak_steps(config, count)} with weak augmentation"
    )
    if schedule.steps < _FEW_STEPS and not config.light and not resumed:
        may_learn_heatmaps = config.task == "pose" and config.head != "heatmap"
        more = "; --heatmap-weight 2 helps, too" if may_learn_heatmaps and not config.heatmap_weight else ""
        progress.say(
            f"{schedule.steps} steps are few to learn something new in: give more --epochs, or a smaller "
            f"--batch and a --rate, whose default falls with it{more} (docs/training.md, Few pictures)"
        )


def _export(
    config: RunConfig,
    folder: Path,
    network: nn.Module,
    keypoint_set: KeypointSet | None,
    artifact: Path,
    progress: Progress,
) -> None:
    """The artifact, its report, and what is not needed any more removed."""
    progress.say("exporting")
    accuracy = export_artifact(config, folder, network.cpu(), keypoint_set, artifact)
    if accuracy:
        progress.say(f"{artifact}: {_in_short(accuracy)} on {Path(config.val_annotations).name}")
    progress.say(f"report: {write_report(folder, config, artifact, accuracy)}")
    chosen = "--boxes full --pose" if config.task == "pose" else "--detector"
    progress.say(f"try it: rtmpose predict PICTURE {chosen} {artifact}")
    _remove_canvases(folder)


def _remove_canvases(folder: Path) -> None:
    for file in (folder / CANVASES, mark_file(folder / CANVASES)):
        file.unlink(missing_ok=True)


def _in_short(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {figures[name]:.3f}" for name in ("AP", "AP50") if name in figures)

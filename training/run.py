"""One run from its configuration to an exported artifact: what `rtmpose train` does."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import torch
from lightning_fabric import Fabric
from torch import nn

from rtmpose_sdk.artifacts import read_card
from rtmpose_sdk.benchmarks.accuracy import evaluate_detector, evaluate_pipeline
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.errors import DeviceError, TrainingError
from rtmpose_sdk.exporters.checkpoint_to_onnx import describe_weights, export, new_card, with_accuracy
from rtmpose_sdk.exporters.crops import verification_images
from rtmpose_sdk.exporters.onnx import build_onnx, replace_card, save_onnx
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.models import DetectModel, PoseModel, build_model
from rtmpose_sdk.models.build import SPLIT_RATIO, default_input_size
from rtmpose_sdk.pipeline import Pipeline
from rtmpose_sdk.runtimes import allowed_cores, open_runtime
from rtmpose_sdk.training.auxiliary import AUXILIARY, WithHeatmaps
from rtmpose_sdk.training.canvases import Canvases, canvas_bytes, cut_canvases
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.detector import DetectorTask
from rtmpose_sdk.training.detector_augment import DetectorAugmentation
from rtmpose_sdk.training.initialize import initialize, load_what_fits
from rtmpose_sdk.training.loop import LAST, Schedule, Task, run_training, save_weights
from rtmpose_sdk.training.optimizer import default_rate
from rtmpose_sdk.training.persons import Persons, Source, read_keypoint_set, read_persons
from rtmpose_sdk.training.pictures import read_pictures
from rtmpose_sdk.training.pose import PoseLoss, PoseTask
from rtmpose_sdk.training.pose_augment import WEAK, PoseAugmentation
from rtmpose_sdk.training.report import write_report
from rtmpose_sdk.training.teacher import LogitsTeacher, has_bins, label

__all__ = ["RunConfig", "Source", "default_input_size", "resume", "start"]

PADDING = 1.25
WEIGHTS = "weights.pth"
_CANVASES, _LABELS, _PRETRAINING = "canvases.u8", "labels.npz", "pretraining"
_DEVICE_MEMORY_PART = 0.5
"""Of a GPU's free memory, which canvases may take."""
_LEAST_SCORE = 0.01
"""Of a box that counts for a detector's AP."""


class Progress(Protocol):
    """Where a run shows what it does."""

    def say(self, text: str) -> None:
        """One line."""

    def track(self, what: str, items: Iterable[Any]) -> Iterable[Any]:
        """A bar over items."""

    def step(self, done: int, total: int, figures: dict[str, float]) -> None:
        """So many steps of all are done."""


def start(config: RunConfig, folder: Path, progress: Progress) -> Path:
    """Begin a run in a new folder; see `resume` for what comes back and what is raised.

    Raises:
        TrainingError: there is something in the folder already.
    """
    if not _is_worker() and folder.exists() and any(folder.iterdir()):
        raise TrainingError(
            f"{folder}: there is something in it already; resume it (rtmpose train --resume {folder}), or "
            "choose another --out"
        )
    folder.mkdir(parents=True, exist_ok=True)
    config.save(folder)
    return resume(folder, progress)


def resume(folder: Path, progress: Progress) -> Path:
    """Begin, or go on with, the run in a folder, and export what it gave.

    Returns:
        The artifact, `<model>.onnx` in the folder; report.md lies beside it.

    Raises:
        TrainingError: not a run, or the loss is not finite any more.
        DataError, InputError, ImageError: data that cannot be learned from.
        CheckpointError: `init` does not fit.
        DeviceError: the device cannot be had.
        KeyboardInterrupt: stopped by a signal; everything is saved.
    """
    config = RunConfig.load(folder)
    fabric = _fabric(config)
    if not fabric.is_global_zero:
        progress = _Silent()
    torch.manual_seed(config.seed)
    if config.pretrain_epochs:
        config = _pretrained(config, folder, fabric, progress)
    return _train(config, folder, fabric, progress)


def _pretrained(config: RunConfig, folder: Path, fabric: Fabric, progress: Progress) -> RunConfig:
    """Heatmap pre-training in a folder of its own; gives the configuration of what follows."""
    inner = folder / _PRETRAINING
    first = replace(
        config,
        head="heatmap",
        light=True,
        heatmap_weight=0.0,
        epochs=config.pretrain_epochs,
        weak_epochs=0,
        val_annotations="",
        input_size=config.pretrain_size,
        pretrain_epochs=0,
    )
    if not (inner / WEIGHTS).is_file():
        progress.say(f"pre-training of the backbone with heatmaps, {config.pretrain_epochs:g} epochs")
        inner.mkdir(exist_ok=True)
        first.save(inner)
        _train(first, inner, fabric, progress, exported=False)
    return replace(config, init=str(inner / WEIGHTS), backbone_only=True)


def _train(
    config: RunConfig, folder: Path, fabric: Fabric, progress: Progress, exported: bool = True
) -> Path:
    keypoint_set = read_keypoint_set(config.sources) if config.task == "pose" else None
    network = _network(config, keypoint_set)
    initialize(network, config.seed)
    if config.init and not (folder / LAST).is_file():
        loaded = load_what_fits(network, Path(config.init), config.backbone_only)
        progress.say(f"{config.init}: {loaded}")
    network.to(memory_format=torch.channels_last)
    network.backbone.freeze(config.freeze)
    if isinstance(network, PoseModel):
        assert keypoint_set is not None
        task, count = _pose_task(config, folder, network, keypoint_set, fabric, progress)
    else:
        task, count = _detector_task(config, network)
    schedule = _schedule(config, count)
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
        save_weights(trained, folder / WEIGHTS, leave_out=AUXILIARY)
        if exported:
            progress.say("exporting")
            _export(config, folder, trained.cpu(), keypoint_set, artifact)
            progress.say(f"report: {write_report(folder, config, artifact)}")
        (folder / _CANVASES).unlink(missing_ok=True)
    fabric.barrier()
    return artifact


def _fabric(config: RunConfig) -> Fabric:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "device 'cuda' was asked for, but torch sees no GPU; install the torch build for CUDA, or take "
            "--device cpu"
        )
    if config.device == "cpu":
        torch.set_num_threads(max(allowed_cores() // config.devices, 1))
        cv2.setNumThreads(torch.get_num_threads())
    strategy = "ddp" if config.devices > 1 else "auto"
    fabric = Fabric(
        accelerator=config.device, devices=config.devices, precision=config.precision, strategy=strategy
    )
    if config.devices > 1:
        fabric.launch()
    return fabric


def _is_worker() -> bool:
    """True in the processes that the first one starts."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0


def _network(config: RunConfig, keypoint_set: KeypointSet | None) -> PoseModel | DetectModel:
    if keypoint_set is None:
        return build_model(config.model, input_size=config.input_size)
    if config.heatmap_weight:
        return WithHeatmaps(config.model, len(keypoint_set), config.input_size, config.head_options)
    plain = config.head_options == type(config.head_options)()
    return build_model(
        config.model,
        keypoint_set=len(keypoint_set),
        input_size=config.input_size,
        head=None if plain else config.head_options,
    )


def _schedule(config: RunConfig, count: int) -> Schedule:
    steps = max(round(config.epochs * count / config.batch), 1)
    return Schedule(
        steps=steps,
        rate=default_rate(config.batch) if config.rate is None else config.rate,
        warmup=min(config.warmup, steps // 10),
        weight_decay=config.weight_decay,
        ema_decay=config.ema_decay,
        clip_norm=config.clip_norm,
        evaluate_every=max(round(config.evaluate_epochs * count / config.batch), 1),
        save_every=config.save_steps,
        tensorboard=config.tensorboard,
    )


def _pose_task(
    config: RunConfig,
    folder: Path,
    network: PoseModel,
    keypoint_set: KeypointSet,
    fabric: Fabric,
    progress: Progress,
) -> tuple[Task, int]:
    canvases = _canvases(config, folder, keypoint_set, fabric, progress)
    schedule = _schedule(config, len(canvases))
    teacher = None
    if config.teacher and config.head != "heatmap" and has_bins(config.teacher, config.input_size):
        teacher = LogitsTeacher(config.teacher, keypoint_set, config.input_size)
    strong = PoseAugmentation(
        scale=config.scale,
        rotation=config.rotation,
        shift=config.shift,
        half_body=config.half_body,
        cutout=config.cutout,
    )
    weak = replace(
        strong, shift_probability=0.0, cutout=min(WEAK.cutout, config.cutout), rotation=config.rotation / 2
    )
    on_device = None
    if fabric.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(fabric.device)
        fits = canvases.images.nbytes < free * _DEVICE_MEMORY_PART
        on_device = fabric.device if fits else None
        progress.say(
            f"{canvases.images.nbytes / 2**30:.1f} GiB of crops are "
            + ("kept and warped on the GPU" if fits else "too many for the GPU; warped on the CPU")
        )
    task = PoseTask(
        network,
        canvases,
        keypoint_set,
        config.batch,
        schedule.steps,
        round(config.weak_epochs * len(canvases) / config.batch),
        PoseLoss(
            "heatmap" if config.head == "heatmap" else "simcc",
            1 / config.temperature,
            SPLIT_RATIO,
            config.reduction,
            config.heatmap_weight,
            teacher,
        ),
        config.seed,
        strong,
        weak,
        on_device,
        _scorer(config, keypoint_set),
    )
    return task, len(canvases)


def _canvases(
    config: RunConfig, folder: Path, keypoint_set: KeypointSet, fabric: Fabric, progress: Progress
) -> Canvases:
    """Cut by the first process, read by all."""
    persons: Persons | None = None
    if not config.teacher:
        persons = read_persons(config.sources, len(keypoint_set))
    elif fabric.is_global_zero and not (folder / _LABELS).is_file():
        everybody = read_persons(config.sources, len(keypoint_set), labelled_only=False)
        label(
            everybody,
            config.teacher,
            keypoint_set,
            config.teacher_confidence,
            config.teacher_everything,
            track=lambda items: progress.track("teacher", items),
        ).save(folder / _LABELS)
    fabric.barrier()
    persons = persons or Persons.load(folder / _LABELS)
    size = canvas_bytes(len(persons), config.input_size)
    file = folder / _CANVASES

    def cut() -> Canvases:
        return cut_canvases(
            persons, config.input_size, PADDING, file, lambda items: progress.track("crops", items)
        )

    if fabric.is_global_zero:
        if not file.is_file():
            progress.say(f"cutting {len(persons)} persons out of their pictures ({size / 2**30:.1f} GiB)")
        cut()
    fabric.barrier()
    return cut()


def _detector_task(config: RunConfig, network: DetectModel) -> tuple[Task, int]:
    pictures = read_pictures(config.sources)
    schedule = _schedule(config, len(pictures))
    task = DetectorTask(
        network,
        pictures,
        config.input_size,
        config.batch,
        schedule.steps,
        round(config.weak_epochs * len(pictures) / config.batch),
        config.seed,
        DetectorAugmentation(config.mosaic, config.mixup, config.scale),
        score=_scorer(config, None),
    )
    return task, len(pictures)


def _card(config: RunConfig, keypoint_set: KeypointSet | None) -> ModelCard:
    card = new_card(
        config.model, config.input_size, keypoint_set or "", heatmaps=config.head_options.gives_heatmaps
    )
    if config.task == "pose":
        card = replace(card, simcc_beta=1 / config.temperature, bbox_padding=PADDING)
    return card


def _scorer(config: RunConfig, keypoint_set: KeypointSet | None) -> Callable[[nn.Module], dict[str, float]]:
    """Exports a network and measures the artifact as `rtmpose eval` does; nothing without data."""
    if not config.val_annotations:
        return lambda network: {}
    card = _card(config, keypoint_set)

    def score(network: nn.Module) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            artifact = Path(folder) / f"{config.model}.onnx"
            # The exporter takes a network on the CPU; the average is not in use while it is measured.
            device = next(network.parameters()).device
            save_onnx(build_onnx(network.cpu(), card), card, artifact)
            network.to(device)
            return measure(config, artifact)

    return score


def measure(config: RunConfig, artifact: Path) -> dict[str, float]:
    """COCO's figures of an artifact on the validation data; keypoints with ground-truth boxes."""
    annotations, images = Path(config.val_annotations), Path(config.val_images)
    threads = torch.get_num_threads()
    if config.task == "pose":
        with Pipeline(artifact, None, threads=threads) as pipeline:
            return evaluate_pipeline(pipeline, annotations, images).figures
    detector = Detector(artifact, threads=threads, score_threshold=_LEAST_SCORE)
    try:
        return evaluate_detector(detector, annotations, images).figures
    finally:
        detector.close()


def _export(
    config: RunConfig, folder: Path, network: nn.Module, keypoint_set: KeypointSet | None, artifact: Path
) -> None:
    """The verified artifact with its card."""
    card = describe_weights(_card(config, keypoint_set), folder / WEIGHTS, config.license, config.notes)
    source = Path(config.val_images) if config.val_images else config.sources[0].images
    annotations = Path(config.val_annotations or config.annotations[0])
    images = verification_images(card, source, annotations if config.task == "pose" else None, 64)
    found = export(network, card, artifact, images, config.storage)
    if not found.verified:
        raise TrainingError(
            f"{artifact}: does not give what the PyTorch network gives: {found.as_dict()}; the weights are "
            f"in {folder / WEIGHTS}"
        )
    if config.val_annotations:
        figures = measure(config, artifact)
        kind = "ground-truth boxes" if config.task == "pose" else "person boxes"
        name = Path(config.val_annotations).stem
        accuracy = {f"{name} {figure} ({kind})": round(v, 4) for figure, v in figures.items()}
        with open_runtime(artifact) as runtime:
            written = read_card(runtime)
        replace_card(artifact, with_accuracy(written, accuracy))


class _Silent:
    """Processes beside the first say nothing."""

    def say(self, text: str) -> None:
        pass

    def track(self, what: str, items: Iterable[Any]) -> Iterable[Any]:
        return items

    def step(self, done: int, total: int, figures: dict[str, float]) -> None:
        pass

"""From a configuration to a network, its data and its schedule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from lightning_fabric import Fabric

from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.models import DetectModel, PoseModel, build_model
from rtmpose_sdk.models.build import SPLIT_RATIO
from rtmpose_sdk.training.artifact import PADDING, scorer
from rtmpose_sdk.training.auxiliary import WithHeatmaps
from rtmpose_sdk.training.canvases import Canvases, canvas_bytes, cut_canvases
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.detector import DetectorTask
from rtmpose_sdk.training.detector_augment import WEAK as WEAK_DETECTOR
from rtmpose_sdk.training.detector_augment import DetectorAugmentation
from rtmpose_sdk.training.imitation import ImitatedTeacher, imitable
from rtmpose_sdk.training.loop import Schedule, Task
from rtmpose_sdk.training.optimizer import default_rate
from rtmpose_sdk.training.persons import Persons, read_persons
from rtmpose_sdk.training.pictures import read_pictures
from rtmpose_sdk.training.pose import PoseLoss, PoseTask
from rtmpose_sdk.training.pose_augment import WEAK, PoseAugmentation
from rtmpose_sdk.training.progress import Progress
from rtmpose_sdk.training.teacher import label

CANVASES, LABELS = "canvases.u8", "labels.npz"
_DEVICE_MEMORY_PART = 0.5
"""Of a GPU's free memory, which canvases may take."""


def build_network(config: RunConfig, keypoint_set: KeypointSet | None) -> PoseModel | DetectModel:
    """The network; a keypoint set is None for a detector.

    Raises:
        InputError, ModelNotFoundError: see `build_model`.
    """
    if keypoint_set is None:
        return build_model(config.model, input_size=config.input_size)
    plain = config.head_options == type(config.head_options)()
    network = build_model(
        config.model,
        keypoint_set=len(keypoint_set),
        input_size=config.input_size,
        head=None if plain else config.head_options,
    )
    if config.heatmap_weight:
        return WithHeatmaps(config.model, len(keypoint_set), config.input_size, config.head_options)
    return network


def build_schedule(config: RunConfig, count: int) -> Schedule:
    """Epochs of `count` samples as steps."""
    steps = max(round(config.epochs * count / config.batch), 1)
    return Schedule(
        steps=steps,
        rate=default_rate(config.task, config.batch) if config.rate is None else config.rate,
        warmup=min(config.warmup, steps // 10),
        weight_decay=config.weight_decay,
        ema_decay=config.ema_decay,
        clip_norm=config.clip_norm,
        evaluate_every=max(round(config.evaluate_epochs * count / config.batch), 1),
        save_every=config.save_steps,
        tensorboard=config.tensorboard,
        optimizer=config.optimizer,
    )


def weak_steps(config: RunConfig, count: int) -> int:
    """How many of the last steps, of epochs of `count` samples, have weak augmentation."""
    return min(round(config.weak_epochs * count / config.batch), build_schedule(config, count).steps)


def pose_task(
    config: RunConfig,
    folder: Path,
    network: PoseModel,
    keypoint_set: KeypointSet,
    fabric: Fabric,
    progress: Progress,
) -> tuple[Task, int]:
    """A pose network's task and its number of persons; a teacher labels them first."""
    canvases = _canvases(config, folder, keypoint_set, fabric, progress)
    schedule = build_schedule(config, len(canvases))
    teacher = None
    if config.teacher and config.head != "heatmap":
        if imitable(config.teacher, config.input_size, SPLIT_RATIO):
            teacher = ImitatedTeacher(
                config.teacher, keypoint_set, config.input_size, SPLIT_RATIO, torch.get_num_threads()
            )
            progress.say(f"{config.teacher}: gives labels, and is imitated on each crop")
        else:
            width, height = config.input_size
            progress.say(
                f"{config.teacher}: gives labels only; it could be imitated if it gave heatmaps, or SimCC "
                f"of {SPLIT_RATIO:g} bins per px, of {width}x{height}"
            )
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
        fits = canvases.images.nbytes < _free_memory(fabric.device) * _DEVICE_MEMORY_PART
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
        weak_steps(config, len(canvases)),
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
        scorer(config, keypoint_set),
    )
    return task, len(canvases)


def _free_memory(device: torch.device) -> int:
    """Bytes of a GPU; with what torch has kept of an earlier stage."""
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info(device)[0]


def _canvases(
    config: RunConfig, folder: Path, keypoint_set: KeypointSet, fabric: Fabric, progress: Progress
) -> Canvases:
    """Cut by the first process, read by all."""
    persons: Persons | None = None
    if not config.teacher:
        persons = read_persons(config.sources, len(keypoint_set))
    elif fabric.is_global_zero and not (folder / LABELS).is_file():
        everybody = read_persons(config.sources, len(keypoint_set), labelled_only=False)
        label(
            everybody,
            config.teacher,
            keypoint_set,
            config.teacher_confidence,
            config.teacher_everything,
            track=lambda items: progress.track("teacher", items),
        ).save(folder / LABELS)
    fabric.barrier()
    persons = persons or Persons.load(folder / LABELS)
    size = canvas_bytes(len(persons), config.input_size)
    file = folder / CANVASES

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


def detector_task(config: RunConfig, network: DetectModel) -> tuple[Task, int]:
    """A detector's task and its number of pictures."""
    pictures = read_pictures(config.sources)
    schedule = build_schedule(config, len(pictures))
    task = DetectorTask(
        network,
        pictures,
        config.input_size,
        config.batch,
        schedule.steps,
        weak_steps(config, len(pictures)),
        config.seed,
        DetectorAugmentation(config.mosaic, config.mixup, config.scale),
        replace(WEAK_DETECTOR, scale=config.scale),
        score=scorer(config, None),
    )
    return task, len(pictures)

"""`rtmpose train`: the paper's recipe, from annotations to an exported artifact."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from rtmpose_sdk.cli.options import Storage, parse_size, refuse_given
from rtmpose_sdk.cli.train_choices import Device, Head, Optimizer, Precision, Reduction, Task
from rtmpose_sdk.cli.train_run import finish, training_room
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.zoo import find_checkpoint

WEIGHT_DECAY = 0.05
"""Of RTMDet and of RTMPose m, l, x; RTMPose t and s have none (paper, section 4.1)."""
POSE, DETECTOR, RUN = "Pose", "Detector", "Where and how it runs"

_WEIGHTS, _STATE = "weights.pth", "last.pt"
"""What `rtmpose_sdk.training` leaves in a run's folder; that room is imported late."""
_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
_DEFAULTS: dict[Task, dict[str, Any]] = {
    Task.POSE: {"model": "rtmpose-t", "epochs": 210.0, "weak_epochs": 30.0, "batch": 64},
    Task.DETECTOR: {"model": "rtmdet-nano", "epochs": 300.0, "weak_epochs": 20.0, "batch": 16},
}
_POSE_ONLY = (
    *(
        "pretrain_epochs",
        "pretrain_size",
        "teacher",
        "teacher_confidence",
        "teacher_everything",
        "rotation",
        "shift",
    ),
    *("half_body", "cutout", "head", "kernel_size", "temperature", "no_gau", "reduction", "heatmap_weight"),
)
_DETECTOR_ONLY = ("mosaic", "mixup")


def train(
    context: typer.Context,
    task: Annotated[Task | None, typer.Argument(help="What is trained.")] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="COCO-format annotations (json) to learn from; repeatable."),
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of each file's pictures, in order; default: images/ beside the file."),
    ] = None,
    val_data: Annotated[
        Path | None, typer.Option(help="Annotations that the best checkpoint is chosen on.")
    ] = None,
    val_images: Annotated[
        Path | None, typer.Option(help="Their pictures; default: images/ beside the file.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The network; default: rtmpose-t, rtmdet-nano.")] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Checkpoint to begin with: a file (.pth, .onnx), a run's folder or a published name. What "
            "does not fit is listed."
        ),
    ] = None,
    freeze: Annotated[
        int,
        typer.Option(
            min=0,
            max=5,
            help="Parts of the backbone that stay as in --init: 1 the stem, 2 also stage 1.",
        ),
    ] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; default: runs/<model>-<time>.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with an interrupted run: its folder, and nothing else.")
    ] = None,
    input_size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT px, multiples of 32; default: the model's.")
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(min=0, help="Of the whole run; default: pose 210, detector 300.")
    ] = None,
    weak_epochs: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="The last ones, with weak augmentation; default: pose 30 of 210, detector 20 of 300, and "
            "the same part of a shorter run.",
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Samples of a step, of all devices; default: pose 64, detector 16."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Learning rate; default: 4e-3 per batch of 1024 (pose), 256 (detector)."),
    ] = None,
    optimizer: Annotated[
        Optimizer,
        typer.Option(help="The paper's is adamw; muon learns more in few steps."),
    ] = Optimizer.ADAMW,
    warmup: Annotated[
        int, typer.Option(min=0, help="Steps of the warm-up; at most a tenth of the run.")
    ] = 1000,
    weight_decay: Annotated[
        float | None, typer.Option(help="Default: 0 for RTMPose t and s, else 0.05 (the paper's).")
    ] = None,
    ema: Annotated[float, typer.Option(min=0, max=1, help="Decay of the averaged weights.")] = 0.9998,
    clip_norm: Annotated[float, typer.Option(help="Gradients are shortened to this norm.")] = 35.0,
    scale: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Augmentation: range of the scale; default: pose 0.6 1.4, detector 0.5 2."),
    ] = None,
    pretrain_epochs: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Heatmap pre-training before; default: as many as --epochs, none with --init.",
            rich_help_panel=POSE,
        ),
    ] = None,
    pretrain_size: Annotated[
        str, typer.Option(help="Input of the pre-training.", rich_help_panel=POSE)
    ] = "96x128",
    teacher: Annotated[
        str | None,
        typer.Option(
            help="A stronger pose model of the same keypoints: labels what is not labelled; is imitated on "
            "each crop where it gives SimCC or heatmaps of the same input size.",
            rich_help_panel=POSE,
        ),
    ] = None,
    teacher_confidence: Annotated[
        float,
        typer.Option(min=0, max=1, help="Least of a teacher's keypoint.", rich_help_panel=POSE),
    ] = 0.3,
    teacher_everything: Annotated[
        bool,
        typer.Option(
            "--teacher-everything",
            help="It also replaces the labels that there are, where it is sure.",
            rich_help_panel=POSE,
        ),
    ] = False,
    rotation: Annotated[
        float,
        typer.Option(help="Augmentation: degrees; half in the weak stage.", rich_help_panel=POSE),
    ] = 80.0,
    shift: Annotated[
        float, typer.Option(help="Augmentation: parts of the box.", rich_help_panel=POSE)
    ] = 0.16,
    half_body: Annotated[
        float, typer.Option(min=0, max=1, help="Augmentation: probability.", rich_help_panel=POSE)
    ] = 0.3,
    cutout: Annotated[
        float, typer.Option(min=0, max=1, help="Augmentation: probability.", rich_help_panel=POSE)
    ] = 1.0,
    head: Annotated[
        Head, typer.Option(help="Ablation: heads of Table 1.", rich_help_panel=POSE)
    ] = Head.RTMPOSE,
    kernel_size: Annotated[
        int, typer.Option(help="Ablation: of the last convolution (Table 2).", rich_help_panel=POSE)
    ] = 7,
    temperature: Annotated[
        float, typer.Option(help="Ablation: tau (Table 3).", rich_help_panel=POSE)
    ] = 0.1,
    no_gau: Annotated[
        bool, typer.Option("--no-gau", help="Ablation: no attention.", rich_help_panel=POSE)
    ] = False,
    reduction: Annotated[
        Reduction,
        typer.Option(
            help="SimCC loss over bins; mean is the published one, slow in short runs.",
            rich_help_panel=POSE,
        ),
    ] = Reduction.SUM,
    heatmap_weight: Annotated[
        float,
        typer.Option(
            min=0,
            help="Of a heatmap loss beside SimCC's, from a head that is dropped at the end: short runs "
            "come much further. 2 is a good value; the paper has none.",
            rich_help_panel=POSE,
        ),
    ] = 0.0,
    mosaic: Annotated[
        float, typer.Option(min=0, max=1, help="Augmentation: probability.", rich_help_panel=DETECTOR)
    ] = 1.0,
    mixup: Annotated[
        float, typer.Option(min=0, max=1, help="Augmentation: probability.", rich_help_panel=DETECTOR)
    ] = 0.5,
    device: Annotated[Device, typer.Option(help="What trains.", rich_help_panel=RUN)] = Device.CPU,
    devices: Annotated[
        int,
        typer.Option(
            min=1,
            help="GPUs; on a CPU processes that share its cores, faster than one with all of them.",
            rich_help_panel=RUN,
        ),
    ] = 1,
    precision: Annotated[
        Precision, typer.Option(help="Arithmetic of training.", rich_help_panel=RUN)
    ] = Precision.FP32,
    evaluate_epochs: Annotated[
        float, typer.Option(help="Epochs between evaluations.", rich_help_panel=RUN)
    ] = 10.0,
    save_steps: Annotated[
        int,
        typer.Option(min=1, help="Steps between saves; a killed run resumes there.", rich_help_panel=RUN),
    ] = 200,
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", help="Events for TensorBoard beside log.csv.", rich_help_panel=RUN),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of everything drawn.", rich_help_panel=RUN)] = 0,
    storage: Annotated[
        Storage, typer.Option(help="How the artifact stores its weights.", rich_help_panel=RUN)
    ] = Storage.FP32,
    license_name: Annotated[
        str, typer.Option("--license", help="Of the weights, SPDX.", rich_help_panel=RUN)
    ] = "unknown",
    notes: Annotated[
        str, typer.Option(help="A sentence for the artifact's card.", rich_help_panel=RUN)
    ] = "",
) -> None:
    """Train RTMPose or RTMDet on COCO-format annotations, and export what comes out.

    A new run needs `pose` or `detector` and --data; an interrupted one only --resume.
    """
    if resume is not None:
        others = [name for name in context.params if name not in ("resume", "offline")]
        refuse_given(context, others, "--resume takes it from the run's folder; leave it out")
        finish(lambda run, shown: run.resume(resume, shown), resume)
        return
    if task is None or not data:
        raise InputError(
            "expected: rtmpose train pose --data ANNOTATIONS.json, or rtmpose train detector --data ..., "
            "or rtmpose train --resume RUN; see rtmpose train --help"
        )
    strange = _DETECTOR_ONLY if task is Task.POSE else _POSE_ONLY
    refuse_given(context, strange, f"not for training a {task.value} model")
    if heatmap_weight and head is Head.HEATMAP:
        raise InputError("--heatmap-weight is for SimCC heads; --head heatmap learns from nothing else")
    if freeze and not init:
        raise InputError("--freeze keeps what --init brings; random weights are not worth keeping")
    if not teacher:
        refuse_given(
            context,
            ["teacher_everything", "teacher_confidence"],
            "said of a teacher; name one with --teacher",
        )
    training = training_room()
    defaults = _DEFAULTS[task]
    name = model or defaults["model"]
    if name.startswith("rtmdet") != (task is Task.DETECTOR):
        raise InputError(f"--model {name} cannot be trained as a {task.value} model")
    length = defaults["epochs"] if epochs is None else epochs
    if pretrain_epochs is None:
        pretrain_epochs = 0.0 if init or head is Head.HEATMAP else length
    config = training.RunConfig(
        task=task.value,
        model=name,
        **_sources(training, data, images or [], val_data, val_images),
        init=_checkpoint(init),
        freeze=freeze,
        input_size=parse_size(input_size) if input_size else training.default_input_size(name),
        epochs=length,
        weak_epochs=min(_weak_epochs(defaults, length) if weak_epochs is None else weak_epochs, length),
        batch=batch or defaults["batch"],
        rate=rate,
        optimizer=optimizer.value,
        warmup=warmup,
        weight_decay=_weight_decay(name) if weight_decay is None else weight_decay,
        ema_decay=ema,
        clip_norm=clip_norm,
        scale=scale or ((0.6, 1.4) if task is Task.POSE else (0.5, 2.0)),
        pretrain_epochs=pretrain_epochs if task is Task.POSE else 0.0,
        pretrain_size=parse_size(pretrain_size),
        teacher=_resolved(teacher),
        teacher_confidence=teacher_confidence,
        teacher_everything=teacher_everything,
        rotation=rotation,
        shift=shift,
        half_body=half_body,
        cutout=cutout,
        head=head.value,
        kernel_size=kernel_size,
        temperature=temperature,
        gau=not no_gau,
        reduction=reduction.value,
        heatmap_weight=heatmap_weight,
        mosaic=mosaic,
        mixup=mixup,
        device=device.value,
        devices=devices,
        precision=_PRECISIONS[precision.value],
        evaluate_epochs=evaluate_epochs,
        save_steps=save_steps,
        tensorboard=tensorboard,
        seed=seed,
        storage=storage.value,
        license=license_name,
        notes=notes,
    )
    folder = out or Path("runs") / f"{name}-{_stamp(devices)}"
    finish(lambda run, shown: run.start(config, folder, shown), folder)


def _stamp(devices: int) -> str:
    """The time; the processes that this one starts must come to the same folder."""
    now = time.strftime("%Y%m%d-%H%M%S")
    return now if devices == 1 else os.environ.setdefault("RTMPOSE_RUN", now)


def _weak_epochs(defaults: dict[str, Any], length: float) -> float:
    """As many as the paper's, or its part of a shorter run."""
    part: float = min(length / defaults["epochs"], 1.0)
    return part * float(defaults["weak_epochs"])


def _weight_decay(model: str) -> float:
    return 0.0 if model in ("rtmpose-t", "rtmpose-s") else WEIGHT_DECAY


def _sources(
    training: ModuleType,
    data: list[Path],
    images: list[Path],
    val_data: Path | None,
    val_images: Path | None,
) -> dict[str, Any]:
    """Files and folders as a configuration has them."""
    if images and len(images) != len(data):
        raise InputError(
            f"{len(data)} times --data and {len(images)} times --images; expected a folder for each file, "
            "or none where the pictures are in images/ beside it"
        )
    if val_images and not val_data:
        raise InputError("--val-images needs --val-data, the annotations of those pictures")
    folders: list[Path | None] = [*images] or [None] * len(data)
    sources = [training.Source.of(a.resolve(), i) for a, i in zip(data, folders, strict=True)]
    val = training.Source.of(val_data.resolve(), val_images) if val_data else None
    return {
        "annotations": tuple(str(s.annotations) for s in sources),
        "images": tuple(str(s.images.resolve()) for s in sources),
        "val_annotations": str(val.annotations) if val else "",
        "val_images": str(val.images.resolve()) if val else "",
    }


def _checkpoint(init: str | None) -> str:
    """A file by its whole path; of a run's folder, the weights that it gave.

    Raises:
        InputError: a run's state, or a folder without weights.
    """
    if not init:
        return ""
    path = Path(init)
    if path.name == _STATE and path.is_file():
        raise InputError(
            f"--init {init}: is the state of a run; go on with it (rtmpose train --resume {path.parent}), "
            f"or begin with its {_WEIGHTS} or best.pth"
        )
    if path.is_dir():
        if not (path / _WEIGHTS).is_file():
            raise InputError(
                f"--init {init}: is a folder without {_WEIGHTS}; expected a checkpoint file, or the folder "
                "of a run that came to its end"
            )
        path = path / _WEIGHTS
    return str(find_checkpoint(str(path) if path.is_file() else init).path.resolve())


def _resolved(teacher: str | None) -> str:
    """A file or folder by its whole path, so that a run can be resumed from elsewhere; a name as it is."""
    if not teacher:
        return ""
    return str(Path(teacher).resolve()) if Path(teacher).exists() else teacher

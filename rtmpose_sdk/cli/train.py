"""`rtmpose train`: the paper's recipe, from annotations to an exported artifact."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from rtmpose_sdk.cli.options import Storage, refuse_given
from rtmpose_sdk.cli.train_choices import (
    DETECTOR,
    POSE,
    RUN,
    Device,
    Head,
    Optimizer,
    Precision,
    Reduction,
    Task,
)
from rtmpose_sdk.cli.train_config import check_together, config_of
from rtmpose_sdk.cli.train_run import finish
from rtmpose_sdk.errors import InputError


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
        float | None, typer.Option(help="Of the whole run; default: pose 210, detector 300.")
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
    ema_decay: Annotated[
        float, typer.Option("--ema", min=0, max=1, help="Decay of the averaged weights.")
    ] = 0.9998,
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
    device: Annotated[
        Device, typer.Option(help="What trains; CUDA_VISIBLE_DEVICES says which GPU.", rich_help_panel=RUN)
    ] = Device.CPU,
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
    license: Annotated[
        str, typer.Option("--license", help="Of the weights, SPDX.", rich_help_panel=RUN)
    ] = "unknown",
    notes: Annotated[
        str, typer.Option(help="A sentence for the artifact's card.", rich_help_panel=RUN)
    ] = "",
) -> None:
    """Train RTMPose or RTMDet on COCO-format annotations, and export what comes out.

    A new run needs `pose` or `detector` and --data; an interrupted one only --resume.
    """
    given = dict(locals())  # said once: `RunConfig` has the same names
    if resume is not None:
        others = [name for name in context.params if name not in ("resume", "offline")]
        refuse_given(
            context,
            others,
            "--resume takes it from the run's folder; leave it out, or begin another run, with --init",
        )
        finish(lambda run, shown: run.resume(resume, shown), resume)
        return
    if task is None or not data:
        raise InputError(
            "expected: rtmpose train pose --data ANNOTATIONS.json, or rtmpose train detector --data ..., "
            "or rtmpose train --resume RUN; see rtmpose train --help"
        )
    check_together(context, given)
    config = config_of(given)
    folder = out or Path("runs") / f"{config.model}-{_stamp(devices)}"
    finish(lambda run, shown: run.start(config, folder, shown), folder)


def _stamp(devices: int) -> str:
    """The time; the processes that this one starts must come to the same folder."""
    now = time.strftime("%Y%m%d-%H%M%S")
    return now if devices == 1 else os.environ.setdefault("RTMPOSE_RUN", now)

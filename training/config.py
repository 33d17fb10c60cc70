"""Everything that a run was asked for; kept in its folder, so that it can be resumed."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rtmpose_sdk.errors import TrainingError
from rtmpose_sdk.images import write_bytes
from rtmpose_sdk.models.build import HeadKind, HeadOptions
from rtmpose_sdk.runs import CONFIG
from rtmpose_sdk.training.optimizer import OptimizerName
from rtmpose_sdk.training.persons import Source
from rtmpose_sdk.training.ranges import check_numbers
from rtmpose_sdk.training.simcc_loss import Reduction

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class RunConfig:
    """One training run.

    Raises:
        InputError: a number that no run can have.

    Attributes:
        task: what is trained.
        model: the network's name.
        annotations, images: the training data, file by file.
        val_annotations, val_images: what the best checkpoint is chosen on; "" is nothing.
        init: checkpoint that training begins with; "" is random weights.
        backbone_only: of `init`, the backbone alone.
        freeze: stages of the backbone that stay as they are, see `CSPNeXt.freeze`.
        input_size: (width, height) px.
        epochs, weak_epochs: of the whole run, and of its end with weak augmentation.
        batch: samples of a step, of all processes together.
        rate: the flat learning rate; None is 4e-3 per batch of 1024 (pose) or 256 (detector).
        optimizer: see `build_optimizer`.
        warmup: steps of the warm-up; at most a tenth of the run.
        weight_decay, ema_decay, clip_norm: see `Schedule`.
        head, kernel_size, gau, light: see `HeadOptions`.
        temperature: tau of the SimCC loss (paper, eq. 5).
        reduction: of the SimCC loss over bins, see `soft_cross`.
        heatmap_weight: of a heatmap loss beside SimCC's, see `WithHeatmaps`; 0 is none.
        pretrain_epochs, pretrain_size: heatmap pre-training of the backbone before; 0 is none.
        teacher, teacher_confidence, teacher_everything: a stronger pose model, see `teacher.label`; ""
            is none.
        scale: range of the augmentation.
        rotation, shift, half_body, cutout: pose augmentation of the strong stage.
        mosaic, mixup: detector augmentation of the strong stage, probabilities.
        device, devices, precision: where and how it runs.
        seed: of everything that is drawn.
        evaluate_epochs, save_steps: how often.
        tensorboard: write its events beside the CSV files.
        storage: weights of the artifact, fp32 or fp16.
        license, notes: for the artifact's card.
    """

    task: Literal["pose", "detector"]
    model: str
    annotations: tuple[str, ...]
    images: tuple[str, ...]
    val_annotations: str = ""
    val_images: str = ""
    init: str = ""
    backbone_only: bool = False
    freeze: int = 0
    input_size: tuple[int, int] = (192, 256)
    epochs: float = 210
    weak_epochs: float = 30
    batch: int = 64
    rate: float | None = None
    optimizer: OptimizerName = "adamw"
    warmup: int = 1000
    weight_decay: float = 0.0
    ema_decay: float = 0.9998
    clip_norm: float = 35.0
    head: HeadKind = "rtmpose"
    kernel_size: int = 7
    gau: bool = True
    light: bool = False
    temperature: float = 0.1
    reduction: Reduction = "sum"
    heatmap_weight: float = 0.0
    pretrain_epochs: float = 0
    pretrain_size: tuple[int, int] = (96, 128)
    teacher: str = ""
    teacher_confidence: float = 0.3
    teacher_everything: bool = False
    scale: tuple[float, float] = (0.6, 1.4)
    rotation: float = 80.0
    shift: float = 0.16
    half_body: float = 0.3
    cutout: float = 1.0
    mosaic: float = 1.0
    mixup: float = 0.5
    device: str = "cpu"
    devices: int = 1
    precision: Precision = "32-true"
    seed: int = 0
    evaluate_epochs: float = 10
    save_steps: int = 200
    tensorboard: bool = False
    storage: Literal["fp32", "fp16"] = "fp32"
    license: str = "unknown"
    notes: str = ""

    def __post_init__(self) -> None:
        check_numbers(self)

    @property
    def sources(self) -> list[Source]:
        """The training data."""
        return [Source.of(Path(a), Path(i)) for a, i in zip(self.annotations, self.images, strict=True)]

    @property
    def head_options(self) -> HeadOptions:
        """The pose network's head."""
        return HeadOptions(self.head, self.kernel_size, self.gau, self.light)

    def save(self, folder: Path) -> None:
        """Write it into a run's folder."""
        write_bytes(folder / CONFIG, json.dumps(dataclasses.asdict(self), indent=1).encode())

    @classmethod
    def load(cls, folder: Path) -> RunConfig:
        """Read it from a run's folder.

        Raises:
            TrainingError: not a run, or of another version of the SDK.
        """
        file = folder / CONFIG
        if not file.is_file():
            raise TrainingError(f"{folder}: not a training run; there is no {CONFIG} in it")
        try:
            raw: dict[str, Any] = json.loads(file.read_text("utf-8"))
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
            return cls(**values)
        except (TypeError, ValueError, AttributeError) as error:
            raise TrainingError(
                f"{file}: cannot be read ({error}); it was written by another version, or by hand"
            ) from None

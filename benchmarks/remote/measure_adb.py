"""ncnn on an Android device: the model and a native program there, its times here.

Only the network is measured: what stands around it is Python, which a phone does not run.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shlex
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.benchmarks.baseline import REPORT_VERSION
from rtmpose_sdk.benchmarks.remote.adb import FOLDER, Adb
from rtmpose_sdk.benchmarks.remote.android import android_record, ask
from rtmpose_sdk.benchmarks.remote.arguments import Asked
from rtmpose_sdk.benchmarks.remote.native_program import check_abi, check_program
from rtmpose_sdk.benchmarks.remote.report_adb import adb_report, judged
from rtmpose_sdk.benchmarks.remote.scripts import remove, run_in
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.crop_mmdeploy import crop_boxes_mmdeploy
from rtmpose_sdk.decode_simcc import decode_simcc
from rtmpose_sdk.errors import DeviceError, EngineError, InputError, RTMPoseWarning
from rtmpose_sdk.geometry import Crops, check_boxes, crop_boxes
from rtmpose_sdk.images import read_image
from rtmpose_sdk.normalize import Normalizer
from rtmpose_sdk.zoo import find_model

_INPUT = "input.f32"
_SERVED = frozenset(
    {
        *("pose", "image", "box", "precision", "threads", "warm_up", "runs"),
        *("engine", "batch", "persons", "offline"),  # where they ask for what there is
    }
)
_SECONDS_A_RUN = 20
"""No phone takes as long for one: a device is given up after this time for each."""


class Subject(NamedTuple):
    """A model: its files, its card, the crop that it is given, the name of its folder on the device."""

    path: Path
    weights: Path
    card: ModelCard
    crop: Crops
    folder: str


def measure_over_adb(device: str, asked: Asked) -> dict[str, Any]:
    """Every model x precision x threads on the device, one after the other.

    After Ctrl-C: those that were measured whole.

    Args:
        device: "adb" or "adb:SERIAL".
        asked: this command line.

    Returns:
        What `--json` writes, of that device.

    Raises:
        InputError: options that a phone cannot serve, no program, a model that is not ncnn's.
        DeviceError: see `Adb`; the program is not for this device, or failed there.
        EngineError: outputs that are no numbers.
        KeyboardInterrupt: before anything was measured.
    """
    _check_options(asked)
    values = asked.values
    program = check_program(values["native"])
    adb = Adb(device)
    said = ask(adb)
    check_abi(program, adb.serial, said.get("abi", ""))
    picture = _picture(values)
    models = {pose: _subject(pose, picture, str(i)) for i, pose in enumerate(dict.fromkeys(values["pose"]))}
    # Not interleaved, as a process holds one network: each begins with its own warm-up.
    wishes = itertools.product(values["pose"], values["precision"] or (None,), values["threads"] or (1,))
    reports, versions = [], set()
    with tempfile.TemporaryDirectory(prefix="rtmpose-bench-") as local, _folder_there(adb) as folder:
        adb.push([program], folder)
        adb.shell(f"chmod 755 {folder}/{program.name}")
        for model in models.values():
            _send(adb, model, folder, Path(local))
        try:
            for pose, precision, threads in wishes:
                model, files = models[pose], (models[pose].path, models[pose].weights)
                found = _run(adb, folder, program.name, model, precision, threads, values, Path(local))
                versions.add(found["ncnn"])
                reports.append(adb_report(model.card, files, found, adb.serial, picture[0], values))
        except KeyboardInterrupt:
            if not reports:
                raise
    return {
        "rtmpose_bench": REPORT_VERSION,
        "machine": android_record(said, ", ".join(versions)),
        "peak memory MB": max(report.pop("memory") for report in reports),
        **judged(reports),
        "reports": reports,
    }


def _check_options(asked: Asked) -> None:
    values = asked.values
    refused = {
        "--engine": [e for e in values["engine"] if e != "ncnn"],
        "--batch": [b for b in values["batch"] if b != 1],
        "--persons": [p for p in values["persons"] if p != 1],
    }
    given = [name for name, value in refused.items() if value]
    given += [o.flag for o in asked.options if o.name not in _SERVED and o.values]
    if given:
        raise InputError(
            f"{', '.join(given)} cannot be had with --device adb, which times one person's network by "
            "ncnn; leave it out"
        )


@contextlib.contextmanager
def _folder_there(adb: Adb) -> Iterator[str]:
    """A fresh folder on the device, removed at the end, with a program that still runs in it."""
    folder = adb.shell(f"mktemp -d {FOLDER}/rtmpose-bench.XXXXXXXX").strip()
    if not folder.startswith(f"{FOLDER}/rtmpose-bench."):
        raise DeviceError(f"adb:{adb.serial}: no folder can be made in {FOLDER} ({folder or 'no answer'})")
    try:
        yield folder
    finally:
        try:
            adb.shell(remove(folder))
        except DeviceError as error:
            warnings.warn(
                f"{folder} could not be removed ({error}); remove it by hand", RTMPoseWarning, stacklevel=2
            )


def _picture(values: Mapping[str, Any]) -> tuple[str, NDArray[np.uint8], NDArray[np.float32]]:
    """Its name and size, the picture, the person's box."""
    path = Path(values["image"] or str(resources.files("rtmpose_sdk").joinpath("data/astronaut.jpg")))
    image = read_image(path)
    height, width = image.shape[:2]
    boxes = check_boxes([values["box"] or [0, 0, width, height]], (width, height))
    return f"{path.name} {width}x{height}", image, boxes


def _subject(
    pose: str, picture: tuple[str, NDArray[np.uint8], NDArray[np.float32]], folder: str
) -> Subject:
    """What is measured; all that can be wrong with it is found before anything is sent."""
    path = find_model(pose)
    if path.suffix != ".param":
        raise InputError(
            f"{pose}: --device adb runs ncnn models (.param with .bin); make one: "
            "rtmpose-export --out NAME.param"
        )
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise InputError(f"{path}: {weights.name} is missing beside it; copy both files")
    card = artifact_card(path)
    if card.task != "pose" or card.decoder != "simcc":
        raise InputError(f"{pose}: {card.task} with decoder {card.decoder}; expected pose with simcc")
    crop = crop_boxes_mmdeploy if card.crop == "mmdeploy" else crop_boxes
    return Subject(path, weights, card, crop(*picture[1:], card.input_size, card.bbox_padding), folder)


def _send(adb: Adb, model: Subject, folder: str, local: Path) -> None:
    """Push a model and the person's crop, normalised as its card says."""
    Normalizer(model.card)(model.crop.images).astype(np.float32).tofile(local / _INPUT)
    adb.shell(f"mkdir {folder}/{model.folder}")
    adb.push([model.path, model.weights, local / _INPUT], f"{folder}/{model.folder}")


def _run(
    adb: Adb,
    folder: str,
    program: str,
    model: Subject,
    precision: str | None,
    threads: int,
    values: Mapping[str, Any],
    local: Path,
) -> dict[str, Any]:
    """The program's report, with the outputs' keypoints."""
    there = f"{folder}/{model.folder}"
    words = [f"./{program}", "--model", f"{there}/{model.path.name}"]
    words += ["--input", f"{there}/{_INPUT}", "--out", there]
    words += ["--threads", str(threads), "--warm-up", str(values["warm_up"]), "--runs", str(values["runs"])]
    words += ["--precision", precision] if precision else []
    limit = 60 + _SECONDS_A_RUN * (values["warm_up"] + values["runs"])
    adb.shell(run_in(folder, shlex.join(words)), limit)
    adb.pull(f"{there}/report.json", local / "report.json")
    found: dict[str, Any] = json.loads((local / "report.json").read_text("utf-8"))
    outputs = {}
    for output in found["outputs"]:
        adb.pull(f"{there}/{output['name']}.f32", local / "output.f32")
        outputs[output["name"]] = np.fromfile(local / "output.f32", np.float32).reshape(1, *output["shape"])
    if not all(np.isfinite(array).all() for array in outputs.values()):
        raise EngineError(
            f"adb:{adb.serial}: {model.path.name} in {found['precision']} gives NaN or infinity there; "
            "export it again with this SDK, or choose a higher --precision"
        )
    card = model.card
    decoded = decode_simcc(outputs["simcc_x"], outputs["simcc_y"], card.simcc_split_ratio, card.simcc_beta)
    found["keypoints"] = model.crop.to_picture(decoded.keypoints)[0].round(2).tolist()
    return found

"""Exports for OpenVINO and torch, run on the real engines and compared with PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from rtmpose_sdk import Detector, Predictor
from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.crops import verification_images
from rtmpose_sdk.exporters.export import export
from rtmpose_sdk.exporters.network import open_network
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.settings import ExportSettings
from rtmpose_sdk.exporters.subject import Subject, subject_from_artifact
from rtmpose_sdk.exporters.verify import verify
from rtmpose_sdk.runtimes import open_runtime
from rtmpose_sdk.zoo import find_model

pytest.importorskip("openvino")


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def subject(own_checkpoint: Path, once: Once) -> Subject:
    network, keypoint_set = open_network(own_checkpoint)
    subject = Subject(new_card(network.name, network.input_size, keypoint_set), network)
    made = once("engines-graph", lambda folder: onnx.save(subject.graph, str(folder / "t.onnx")))
    vars(subject)["graph"] = onnx.load(str(made / "t.onnx"))  # as the cached property does
    return subject


@pytest.fixture(scope="module")
def crops(subject: Subject, coco: dict) -> np.ndarray:
    return verification_images(subject.card, coco["folder"], coco["file"], 64)


@pytest.mark.parametrize(
    ("backend", "precision", "suffix", "files"),
    [
        ("openvino", "fp32", ".xml", {"m.xml", "m.bin"}),
        ("openvino", None, ".xml", {"m.xml", "m.bin"}),
        ("torch", None, ".pt2", {"m.pt2"}),
    ],
)
def test_engines_give_the_keypoints_of_pytorch(
    subject: Subject,
    crops: np.ndarray,
    tmp_path: Path,
    backend: str,
    precision: str | None,
    suffix: str,
    files: set[str],
) -> None:
    found = export(subject, tmp_path / f"m{suffix}", crops, settings=ExportSettings(backend, precision))
    assert found is not None
    assert found.verified, found
    assert found.p99_shift <= (0.5 if precision == "fp32" else 1.0)
    assert found.not_finite == 0
    assert {p.name for p in tmp_path.iterdir()} == files  # nothing half-written beside it
    card = artifact_card(tmp_path / f"m{suffix}")
    assert card.verification["verified"] is True
    assert card.verification["engine"].startswith(backend)
    assert card.precision == (precision or ("fp16" if backend == "openvino" else "fp32"))
    assert card.keypoint_set == "coco17"


def test_only_weights_are_stored_as_fp16_for_openvino(tmp_path: Path) -> None:
    """Its own compression rounds biases and other small tensors, too. These weights are fp16 already."""
    subject = subject_from_artifact(find_model("rtmpose-t-own"))
    windows = verification_images(subject.card, None, None, 16)
    found = export(subject, tmp_path / "t.xml", windows, settings=ExportSettings("openvino"))
    assert found is not None
    assert max(found.largest_difference.values()) < 2e-5
    assert (tmp_path / "t.bin").stat().st_size < 6.7e6


def test_fp16_weights_halve_the_file(subject: Subject, crops: np.ndarray, tmp_path: Path) -> None:
    for precision in ("fp32", "fp16"):
        export(
            subject,
            tmp_path / f"{precision}.xml",
            crops[:2],
            settings=ExportSettings("openvino", precision),
        )
    sizes = [(tmp_path / f"{precision}.bin").stat().st_size for precision in ("fp16", "fp32")]
    assert sizes[0] < 0.51 * sizes[1]


def test_an_openmmlab_folder_is_exported_for_another_engine(
    detector_folder: Path, coco: dict, tmp_path: Path
) -> None:
    subject = subject_from_artifact(detector_folder)
    pictures = verification_images(subject.card, coco["folder"], None, 12)
    found = export(subject, tmp_path / "d.xml", pictures, settings=ExportSettings("openvino", "fp32"))
    assert found is not None
    assert found.verified, found
    with Detector(tmp_path / "d.xml", threads=1) as detector:
        assert detector.card.decoder == "mmdeploy_dets"
        assert detector.runtime.engine.startswith("openvino")


def test_an_nms_in_the_graph_may_choose_among_equal_boxes(detector_folder: Path, tmp_path: Path) -> None:
    """Two boxes of nearly one score changed places in its weights' fp16: p99 was 27 px, and it failed."""
    subject = subject_from_artifact(detector_folder)
    windows = verification_images(subject.card, None, None, 16)
    found = export(subject, tmp_path / "d.xml", windows, settings=ExportSettings("openvino"))
    assert found is not None
    assert found.verified, found
    assert 0 < found.median_shift < 0.5
    with subject.reference() as reference, open_runtime(tmp_path / "d.xml") as runtime:
        wrong = verify(
            lambda images: reference(np.ascontiguousarray(images[..., ::-1])),
            runtime,
            subject.card,
            windows,
            precision="fp16-storage",
        )
    assert not wrong.verified


def test_what_cannot_be_exported_from(subject: Subject, tmp_path: Path, detector_folder: Path) -> None:
    crops = np.zeros((2, 256, 192, 3), np.uint8)
    export(subject, tmp_path / "m.xml", crops, settings=ExportSettings("openvino"))
    with pytest.raises(InputError, match=r"fp16 \.xml; expected a checkpoint"):
        subject_from_artifact(tmp_path / "m.xml")
    with pytest.raises(InputError, match="--backend torch needs the PyTorch network"):
        export(
            subject_from_artifact(detector_folder),
            tmp_path / "d.pt2",
            crops,
            settings=ExportSettings("torch"),
        )
    with pytest.raises(InputError, match="--backend torch has no int8; expected one of fp32"):
        export(subject, tmp_path / "m.pt2", crops, settings=ExportSettings("torch", "int8"))
    with pytest.raises(InputError, match="int8 needs crops to calibrate with"):
        export(subject, tmp_path / "m.onnx", crops, settings=ExportSettings("onnx", "int8"))
    with pytest.raises(InputError, match="2 were given; expected 32 or more"):
        export(
            subject, tmp_path / "m.onnx", crops, settings=ExportSettings("onnx", "int8", calibration=crops)
        )
    weights = (tmp_path / "m.bin").read_bytes()
    with pytest.raises(InputError, match=r"would replace those of m\.xml, which are in m\.bin"):
        export(subject, tmp_path / "m.param", crops, settings=ExportSettings("ncnn"))
    assert (tmp_path / "m.bin").read_bytes() == weights
    assert {p.name for p in tmp_path.iterdir()} == {"m.xml", "m.bin"}


def test_a_wrong_artifact_is_kept_marked_and_warned_about(
    subject: Subject, crops: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export whose graph lost its colour order: the gate has to see it on any engine."""
    wrong = onnx.ModelProto()
    wrong.CopyFrom(subject.graph)
    (first,) = (w for w in wrong.graph.initializer if len(w.dims) == 4 and w.dims[1:] == [3, 3, 3])
    swapped = numpy_helper.to_array(first)[:, ::-1].copy()
    first.CopyFrom(numpy_helper.from_array(swapped, first.name))
    monkeypatch.setattr(Subject, "graph", wrong)
    settings = ExportSettings("openvino", "fp32")
    found = export(replace(subject), tmp_path / "m.xml", crops[:8], settings=settings)
    assert found is not None
    assert not found.verified
    with pytest.warns(UserWarning, match="did not pass the check"):
        Predictor(tmp_path / "m.xml", threads=1)


def test_torch_programs_run_in_bf16_and_refuse_what_they_cannot(
    subject: Subject, crops: np.ndarray, tmp_path: Path
) -> None:
    from rtmpose_sdk.errors import DeviceError, ModelFileError

    file = tmp_path / "m.pt2"
    export(subject, file, None, settings=ExportSettings("torch"))
    assert artifact_card(file).verification == {}
    with open_runtime(file, threads=1) as full, open_runtime(file, threads=1, precision="bf16") as half:
        assert [str(s) for s in full.outputs] == [
            "simcc_x: float32 (N,17,384)",
            "simcc_y: float32 (N,17,512)",
        ]
        assert full.threads == 1
        a, b = full.run(crops[:4]), half.run(crops[:4])
        assert a[0].dtype == b[0].dtype == np.float32
        difference = np.abs(a[0] - b[0]).max() / np.abs(a[0]).max()
        assert 1e-4 < difference < 0.1  # another arithmetic, and not by much
    with pytest.raises(DeviceError, match="autocast on a CPU"):
        open_runtime(file, precision="fp16")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="'cuda:0' is not there"):
            open_runtime(file, device="cuda")
    cut = tmp_path / "cut.pt2"
    cut.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ModelFileError, match="cannot open it as an exported program"):
        open_runtime(cut)
    foreign = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(foreign, str(cut))
    with pytest.raises(ModelFileError, match="not one of rtmpose-export"):
        open_runtime(cut)


def test_an_engine_without_its_gpu_is_verified_by_its_graph(
    subject: Subject, crops: np.ndarray, tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    from rtmpose_sdk.errors import DeviceError

    settings = ExportSettings("tensorrt", targets=("sm86",), batch=(1, 2, 4))
    found = export(subject, tmp_path / "m.engine", crops, settings=settings)
    assert found is not None
    assert found.verified, found
    assert found.precision == "fp16"
    assert found.p99_shift <= 1
    card = artifact_card(tmp_path / "m.engine")  # read beside the file: no GPU is needed for it
    assert card.precision == "fp16"
    assert {p.name for p in tmp_path.iterdir()} == {"m.engine", "m.engine.card.json"}
    if not torch.cuda.is_available():
        assert found.what == card.verification["what"] == "graph"
        with pytest.raises(DeviceError):
            open_runtime(tmp_path / "m.engine", device="cuda")


def test_fp16_onnx_is_verified_in_fp16_arithmetic(
    subject: Subject, crops: np.ndarray, tmp_path: Path
) -> None:
    found = export(subject, tmp_path / "m.onnx", crops, settings=ExportSettings("onnx", "fp16"))
    assert found is not None
    assert found.verified
    assert found.what == "graph"
    assert max(found.largest_difference.values()) > 1e-4  # fp32 arithmetic would be nearer
    kinds = {t.data_type for t in onnx.load(tmp_path / "m.onnx").graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds
    with Predictor(tmp_path / "m.onnx", threads=1) as predictor:
        assert predictor.card.precision == "fp16"

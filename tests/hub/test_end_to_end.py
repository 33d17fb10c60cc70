"""From an empty cache to keypoints, by name, through a server in the published layout; then offline."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hub_helpers import sdk_files, simcc, tiny_network, zipped
from typer.testing import CliRunner, Result

from rtmpose_sdk import Detector, Pipeline
from rtmpose_sdk.artifacts import artifact_card, open_model
from rtmpose_sdk.cli.main import app
from rtmpose_sdk.errors import (
    ArchiveError,
    CardError,
    CheckpointError,
    DownloadError,
    InputError,
    ModelFileError,
    ModelNotFoundError,
    OfflineError,
)
from rtmpose_sdk.hub.table import find_published, published_models
from rtmpose_sdk.zoo import find_checkpoint

BIN = Path(sys.executable).parent
BASE = "https://download.openmmlab.com"
ROWS = published_models()
ARCHIVES = [r for r in ROWS if r.files[0].kind == "zip" and r.decoder == "simcc"]


def publish(server, url: str, content: bytes) -> None:
    server.files[url.removeprefix(BASE)] = content


def rtmpose(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    done = subprocess.run(
        [BIN / "rtmpose", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=300,
        check=False,
        env={**os.environ, "COLUMNS": "200", **environment},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize("row", ARCHIVES, ids=lambda row: row.name)
def test_every_archive_runs_by_name_then_offline(
    row, server, home: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of tiny networks with each model's keypoints and size: where a peak is, a keypoint is."""
    size, count = row.input_size, len(row.card().keypoints())
    network = tiny_network(simcc(count, size, (100, 120)), size)
    publish(server, row.files[0].url, zipped(sdk_files(network, size, pth=row.files[-1].name)))
    for offline in ("", "1"):
        monkeypatch.setenv("RTMPOSE_OFFLINE", offline)
        with Pipeline(row.name, None, threads=1) as pipeline:
            result = pipeline(photo, "full")
            card = pipeline.predictor.card
        assert result.keypoint_set.name == row.keypoint_set
        # Bin 100, 120 → px 50, 60 of the input, of a box of 512 * 1.25 px around the middle. MMDeploy's own
        # crop is cut in whole px and counts a box's last one: a px of the crop is a few of the picture.
        scale = 1.25 * max(512 / size[0], 512 / size[1])
        expected = 256 + (np.array([50, 60]) - np.array(size) / 2) * scale
        np.testing.assert_allclose(result.keypoints[0], np.tile(expected, (count, 1)), atol=scale)
        assert result.draw(photo, 0).shape == photo.shape
    assert len(server.requests) == 1
    assert (card.license, card.weights_source) == ("Apache-2.0", row.files[-1].name)
    assert all(k.startswith("published ") for k in card.accuracy)
    assert len(card.accuracy) == len(row.accuracy)


def test_predict_by_name_then_offline(server, home: Path, photo_path: Path, tmp_path: Path) -> None:
    row = find_published("rtmpose-s-halpe26")
    network = tiny_network(simcc(26, (192, 256)), (192, 256))
    publish(server, row.files[0].url, zipped(sdk_files(network, (192, 256))))
    arguments = ("predict", photo_path, "--pose", "rtmpose-s-halpe26", "--detection-threshold", 0.5)
    first = rtmpose(*arguments, "--out", "a", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    second = rtmpose(*arguments, "--out", "b", "--offline", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert len(server.requests) == 1
    one, two = (json.loads((tmp_path / d / "results.json").read_text()) for d in "ab")
    assert one == two
    assert one[0]["keypoint_set"] == "halpe26"
    empty = rtmpose(*arguments, "--offline", cwd=tmp_path, RTMPOSE_HOME=str(tmp_path / "empty"))
    assert empty.returncode == 1
    assert "rtmpose models download rtmpose-s-halpe26-256x192" in empty.stderr
    assert len(server.requests) == 1


def test_presets_bring_both_models(server, home: Path, photo: np.ndarray) -> None:
    pose, detector = find_published("rtmpose-s"), find_published("yolox-tiny")
    network = tiny_network(simcc(17, (192, 256)), (192, 256))
    publish(server, pose.files[0].url, zipped(sdk_files(network, (192, 256))))
    dets = {
        "dets": np.array([[[40, 60, 200, 400, 0.9], [0, 0, 9, 9, 0.1]]], np.float32),
        "labels": np.zeros((1, 2), np.int64),
    }
    publish(server, detector.files[0].url, zipped(detector_files(tiny_network(dets, (416, 416)))))
    with Pipeline("lightweight", threads=1) as pipeline:
        result = pipeline(photo)
        assert pipeline.detector.card.mean == (0, 0, 0)
        assert pipeline.detector.card.color_order == "bgr"
    assert len(result) == 1
    np.testing.assert_allclose(result.boxes[0], np.array([40, 60, 200, 400]) * 512 / 416, atol=0.01)


def detector_files(network: bytes) -> dict[str, bytes]:
    """A YOLOX of MMDeploy: 416x416, levels as they are."""
    files = sdk_files(network, (416, 416))
    deploy = json.loads(files["deploy.json"])
    deploy["task"] = "Detector"
    pipeline = json.loads(files["pipeline.json"])
    tasks = pipeline["pipeline"]["tasks"]
    tasks[0]["transforms"] = [
        {"type": "LoadImageFromFile"},
        {"type": "Resize", "keep_ratio": True, "size": [416, 416]},
        {"type": "Pad", "size": [416, 416], "pad_val": {"img": [114.0, 114.0, 114.0]}},
        {"type": "Normalize", "mean": [0, 0, 0], "std": [1, 1, 1], "to_rgb": False},
    ]
    tasks[2] |= {
        "module": "mmdet",
        "component": "ResizeBBox",
        "params": {"score_thr": 0.01, "nms": {"type": "nms", "iou_threshold": 0.65}},
    }
    return {
        "end2end.onnx": network,
        "deploy.json": json.dumps(deploy).encode(),
        "pipeline.json": json.dumps(pipeline).encode(),
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [("rtmpose-m-hand", (256, 256)), ("rtmw-l-wholebody-384x288", (192, 256))],
)
def test_archives_that_contradict_their_networks(
    server, home: Path, photo: np.ndarray, name: str, said: tuple[int, int]
) -> None:
    """As published: the hand's crop says 192x256, its decoder not; RTMW-l's says it throughout."""
    row = find_published(name)
    width, height = row.input_size
    network = tiny_network(simcc(len(row.card().keypoints()), row.input_size), row.input_size)
    publish(server, row.files[0].url, zipped(sdk_files(network, said, affine=[192, 256])))
    with pytest.warns(
        UserWarning,
        match=rf"says 192x256.*postprocess says {said[0]}x{said[1]}; the network takes {width}x{height}",
    ):
        pipeline = Pipeline(row.name, None, threads=1)
    assert pipeline.predictor.card.input_size == row.input_size
    assert len(pipeline(photo, "full")) == 1


def test_another_model_under_a_published_name(server, home: Path) -> None:
    row = find_published("rtmpose-m-halpe26")
    network = tiny_network(simcc(17, (192, 256)), (192, 256))
    publish(server, row.files[0].url, zipped(sdk_files(network, (192, 256))))
    with pytest.raises(CardError, match=r"keypoint set is coco17, but the table .* says halpe26"):
        Pipeline(row.name, None)


def test_rtmlibs_archives_and_addresses(server, home: Path, photo: np.ndarray, tmp_path: Path) -> None:
    """rtmlib takes an address or a zip that holds end2end.onnx; a bare one needs a card."""
    row = find_published("rtmpose-t")
    network = tiny_network(simcc(17, (192, 256)), (192, 256))
    publish(server, row.files[0].url, zipped(sdk_files(network, (192, 256))))
    with Pipeline(row.files[0].url, None, threads=1) as by_address:
        assert len(by_address(photo, "full")) == 1
    (tmp_path / "mine.zip").write_bytes(zipped({"end2end.onnx": network}, inside=""))
    with pytest.raises(CardError, match=r"end2end\.onnx: has no model card.*rtmpose card new"):
        Pipeline(tmp_path / "mine.zip", None)
    (tmp_path / "mine.zip").write_bytes(zipped(sdk_files(network, (192, 256)), inside=""))
    with Pipeline(tmp_path / "mine.zip", None, threads=1) as by_file:
        assert len(by_file(photo, "full")) == 1


@pytest.mark.parametrize("row", [r for r in ROWS if r.files[0].kind == "zip"], ids=lambda row: row.name)
def test_a_network_in_rtmlibs_cache_has_the_published_card(row, home: Path, tmp_path: Path) -> None:
    """rtmlib keeps an archive's network under the archive's name, and nothing else of it."""
    nobody = np.zeros((1, 4, 5), np.float32)
    outputs = {
        "simcc": {},
        "rtmo": {"dets": nobody, "keypoints": np.zeros((1, 4, 17, 3), np.float32)},
        "mmdeploy_dets": {"dets": nobody, "labels": np.zeros((1, 4), np.int64)},
    }[row.decoder] or simcc(len(row.card().keypoints()), row.input_size)
    file = tmp_path / row.files[0].name.replace(".zip", ".onnx")
    file.write_bytes(tiny_network(outputs, row.input_size))
    runtime, card = open_model(file, row.task)
    runtime.close()
    assert card == row.card()


def test_a_published_file_is_known_by_its_name_and_its_address(
    server, home: Path, pose_archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = find_published("rtmpose-t")
    publish(server, row.files[0].url, pose_archive)
    (tmp_path / row.files[0].name).write_bytes(pose_archive)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    stem = row.files[0].name.removesuffix(".zip")
    sources = (row.name, stem, row.files[0].name, row.files[0].url, f"~/{row.files[0].name}")
    cards = []
    for source in sources:
        runtime, card = open_model(source, "pose")
        runtime.close()
        cards.append(card)
    assert cards == cards[:1] * len(sources)
    assert cards[0].license == "Apache-2.0"
    with pytest.raises(InputError, match="is a pose model"):
        Detector(row.files[0].url)
    with pytest.raises(InputError, match=r"there is no file rtmpose-t\.onnx in .*published as zip, pth"):
        Pipeline("rtmpose-t.onnx", None)


def test_a_folder_that_hides_a_published_model(home: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rtmpose-m").mkdir()
    with pytest.raises(ModelFileError, match=r"hides the published rtmpose-m; .* rtmpose-m-coco17-256x192"):
        Pipeline("rtmpose-m", None)
    with pytest.raises(ModelFileError, match=r"deploy\.json is missing"):
        Pipeline(tmp_path / "rtmpose-m", None)


def test_the_published_hash_holds_for_an_address_and_is_missed_in_a_file(
    server, home: Path, own_checkpoint: Path, tmp_path: Path
) -> None:
    file = find_published("rtmpose-t").files[1]
    publish(server, file.url, b"\x80" + bytes(99))
    with pytest.raises(DownloadError, match=f"published file's begins with {file.sha256_prefix}"):
        Pipeline(file.url, None)
    mine = tmp_path / file.name
    mine.write_bytes(own_checkpoint.read_bytes())
    with pytest.warns(UserWarning, match=rf"begins with {file.sha256_prefix}, but is another one"):
        card = artifact_card(mine)
    assert (card.license, card.accuracy) == ("unknown", {})


def test_models_in_the_wrong_place_are_not_even_fetched(server, home: Path) -> None:
    with pytest.raises(InputError, match="is a detector"):
        Pipeline("yolox-tiny", None)
    with pytest.raises(InputError, match="is a pose model"):
        Detector("rtmpose-m")
    assert server.requests == []


def test_hands_are_not_persons(server, home: Path) -> None:
    row = find_published("rtmpose-m-hand")
    network = tiny_network(simcc(21, (256, 256)), (256, 256))
    publish(server, row.files[0].url, zipped(sdk_files(network, (256, 256))))
    with pytest.warns(UserWarning, match=r"boxes of one hand each.*rtmdet-nano-hand"):
        Pipeline(row.name).close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Pipeline(row.name, None).close()


def test_download_verify_clean(server, home: Path, pose_archive: bytes, tmp_path: Path) -> None:
    row = find_published("rtmpose-t")
    publish(server, row.files[0].url, pose_archive)
    got = rtmpose("models", "download", "rtmpose-t", "--to", "usb", cwd=tmp_path)
    assert got.returncode == 0, got.stderr
    usb = {"RTMPOSE_HOME": str(tmp_path / "usb"), "RTMPOSE_OFFLINE": "1"}
    folder = Path(got.stdout.split(": ")[1].strip())
    assert (tmp_path / folder / "end2end.onnx").is_file()

    def models(*words: str) -> Result:
        return CliRunner().invoke(app, ["models", *words], env={"COLUMNS": "200", **usb})

    assert "1 files" in models("verify").stdout
    listed = models("list", "--cached").stdout
    assert "rtmpose-t-coco17-256x192" in listed
    assert "1 published models" in listed
    file = tmp_path / "usb" / "files" / row.files[0].name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    bad = models("verify")
    assert bad.exit_code == 1
    assert "WRONG" in bad.stdout
    (tmp_path / "usb" / "files" / "x.zip.part").write_bytes(b"half")
    assert "x.zip.part" in models("clean").stdout
    assert file.exists()
    assert models("clean", "rtmpose-t").exit_code == 0
    assert not file.exists()
    again = rtmpose("models", "clean", "rtmpose-t", cwd=tmp_path, **usb)
    assert again.returncode != 0
    assert "rtmpose-t: not in" in again.stderr
    assert not list((tmp_path / "usb" / "unpacked").iterdir())


def test_broken_archives_by_name(server, home: Path, pose_archive: bytes) -> None:
    row = find_published("rtmpose-t")
    publish(server, row.files[0].url, pose_archive[: len(pose_archive) // 2])
    with pytest.raises(DownloadError, match="expected a zip archive; it may be cut off"):
        Pipeline("rtmpose-t", None)
    publish(server, row.files[0].url, zipped({"../evil": b"x"}, inside=""))
    with pytest.raises(ArchiveError, match="would land outside"):
        Pipeline("rtmpose-t", None)


def own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, **row: object) -> str:
    """A model of the user's own, by name; its address is at OpenMMLab's for the sake of the test server."""
    url = f"{BASE}/own/net.pth"
    entry = {
        "name": "my-net",
        "network": "my-net",
        "task": "pose",
        "input_size": [192, 256],
        "keypoint_set": "coco17",
        "decoder": "simcc",
        "files": [{"kind": "pth", "url": url, "sha256_prefix": hashlib.sha256(content).hexdigest()}],
        **row,
    }
    (tmp_path / "models.json").write_text(json.dumps({"version": 1, "models": [entry]}))
    monkeypatch.setenv("RTMPOSE_MODELS", str(tmp_path / "models.json"))
    return url


def test_a_checkpoint_by_name_is_converted_once(
    server, home: Path, own_checkpoint: Path, photo: np.ndarray, tmp_path: Path, monkeypatch
) -> None:
    content = own_checkpoint.read_bytes()
    publish(server, own_table(tmp_path, monkeypatch, content), content)
    with Pipeline("my-net", None, threads=1) as pipeline:
        found = pipeline(photo, "full")
        card = pipeline.predictor.card
    nose = found.keypoints[0, found.keypoint_set.names.index("nose")]
    np.testing.assert_allclose(nose, [222, 112], atol=20)  # read off the picture
    assert card.verification["verified"] is True
    assert card.weights_sha256 == hashlib.sha256(content).hexdigest()
    (artifact,) = (home / "converted").iterdir()
    made = artifact.stat().st_mtime_ns
    monkeypatch.setenv("RTMPOSE_OFFLINE", "1")
    Pipeline("my-net", None, threads=1).close()
    Pipeline(home / "files" / "net.pth", None, threads=1).close()  # the same file by its path
    assert artifact.stat().st_mtime_ns == made
    assert len(server.requests) == 1


def test_a_checkpoint_by_name_is_begun_with_and_exported(
    server, home: Path, own_checkpoint: Path, tmp_path: Path, monkeypatch
) -> None:
    from rtmpose_sdk.exporters.cli import app as export_app

    content = own_checkpoint.read_bytes()
    publish(server, own_table(tmp_path, monkeypatch, content, license="CC0-1.0"), content)
    mine = tmp_path / "net.pth"
    mine.write_bytes(content)
    for name in ("my-net", "my-net.pth", f"{BASE}/own/net.pth", mine):
        found = find_checkpoint(name)
        assert found.path.read_bytes() == content
        assert found.published.name == "my-net"
    out = tmp_path / "out.onnx"
    done = CliRunner().invoke(export_app, ["--weights", "my-net", "--out", str(out), "--no-verify"])
    assert done.exit_code == 0, done.output
    card = artifact_card(out)
    assert (card.license, card.keypoint_set, card.weights_source) == ("CC0-1.0", "coco17", "net.pth")
    assert len(server.requests) == 1
    assert find_checkpoint("rtmpose-t-own").path.name == "rtmpose-t-own.onnx"
    with pytest.raises(ModelNotFoundError, match="Did you mean my-net"):
        find_checkpoint("my-nett.pth")
    monkeypatch.setenv("RTMPOSE_OFFLINE", "1")
    with pytest.raises(OfflineError, match=r"rtmpose models download rtmpose-t\S*\.pth"):
        find_checkpoint("rtmpose-t")


def test_checkpoints_that_cannot_be_used(server, home: Path, tmp_path: Path, monkeypatch) -> None:
    import pickle

    import torch

    code = tmp_path / "code.pth"
    with code.open("wb") as stream:
        pickle.dump({"state_dict": Evil()}, stream)
    other = tmp_path / "resnet.pth"
    torch.save(
        {"state_dict": {"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.weight": torch.zeros(9, 9)}}, other
    )
    for path, message in (
        (code, r"refused, because loading it would run code|cannot be read safely"),
        (other, r"resnet\.pth: not an RTMPose.*conv1\.weight"),
    ):
        with pytest.raises(CheckpointError, match=message):
            Pipeline(path, None)
    assert not list((home / "converted").iterdir())
    assert not (tmp_path / "hacked").exists()


class Evil:
    def __reduce__(self) -> tuple:
        import os

        return os.system, ("touch hacked",)


def test_without_torch_a_checkpoint_says_what_to_install(
    home: Path, own_checkpoint: Path, monkeypatch
) -> None:
    from rtmpose_sdk.errors import MissingExtraError
    from rtmpose_sdk.hub import convert

    monkeypatch.setattr(convert.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match=r"rtmpose-t-own\.pth is a PyTorch checkpoint.*rtmpose-sdk\[export\]"
    ):
        Pipeline(own_checkpoint, None)


def test_an_offline_error_names_the_command(home: Path, monkeypatch) -> None:
    monkeypatch.setenv("RTMPOSE_OFFLINE", "1")
    with pytest.raises(OfflineError, match="rtmpose models download rtmw-l-wholebody-384x288"):
        Pipeline(pose="rtmw-l-wholebody-384x288")

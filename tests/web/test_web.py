"""The page of examples/web in headless Chromium, against Python; the server that `rtmpose web` starts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import onnx
import pytest

from rtmpose_sdk import Pipeline
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.end2end_export import export_end2end, read_part
from rtmpose_sdk.web import HEADERS, MODEL_ADDRESS, make_server

SOURCE = Path(__file__).parents[2] / "examples" / "web"
needs_browser = pytest.mark.skipif(
    "RTMPOSE_TEST_WEB" not in os.environ, reason="needs node, npm and Chromium: make test-web"
)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "page" / "assets").mkdir(parents=True)
    (tmp_path / "page" / "index.html").write_text("<h1>page</h1>")
    (tmp_path / "page" / "assets" / "a.mjs").write_text("1")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "p.onnx").write_bytes(b"model")
    with make_server(tmp_path / "page", tmp_path / "p.onnx", "localhost", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_server_isolates_the_page_and_serves_the_model(address: str) -> None:
    for path, content, kind in (
        ("/", b"<h1>page</h1>", "text/html"),
        ("/assets/a.mjs", b"1", "text/javascript"),
        (MODEL_ADDRESS, b"model", "application/octet-stream"),
    ):
        with urllib.request.urlopen(address + path) as answer:
            assert answer.read() == content
            assert answer.headers.get_content_type() == kind
            for name, value in HEADERS.items():
                assert answer.headers[name] == value
    for path in ("/../secret", "/%2e%2e/secret", "/assets/", "/none"):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(address + path)
        assert error.value.code == 404


def test_a_browser_that_goes_away_is_no_error(
    address: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "page" / "big").open("wb") as file:
        file.truncate(50_000_000)
    threads = threading.active_count()
    with socket.create_connection(("localhost", int(address.rsplit(":", 1)[1]))) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # ends in a reset
        client.sendall(b"GET /big HTTP/1.0\r\n\r\n")
        client.recv(1000)
    with urllib.request.urlopen(address) as answer:
        assert answer.status == 200
    end = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < end:  # the thread that served it
        time.sleep(0.05)
    assert capfd.readouterr().err == ""


def test_the_command_looks_for_the_page_first(tmp_path: Path) -> None:
    command = [Path(sys.executable).parent / "rtmpose", "web", "--pose", "nothing", "--page", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the built page is not here" in " ".join(done.stderr.split())


def test_the_command_serves_the_chosen_model_and_ends_on_ctrl_c(tmp_path: Path, started: Callable) -> None:
    (tmp_path / "index.html").write_text("<h1>page</h1>")
    command = [Path(sys.executable).parent / "rtmpose", "web", "--page", tmp_path, "--port", "0"]
    plain = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = started(command, stdout=subprocess.PIPE, text=True, env=plain)
    address = process.stdout.readline().split()[0]
    with urllib.request.urlopen(address) as answer:
        assert answer.read() == b"<h1>page</h1>"
    with urllib.request.urlopen(address.rstrip("/") + MODEL_ADDRESS) as answer:
        model = onnx.load_from_string(answer.read())
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert model.graph.output[0].name == "boxes"
    assert "rtmdet-nano-own" in str(model.metadata_props)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="npm run build"):
        make_server(tmp_path, tmp_path / "p.onnx", "localhost", 0)
    (tmp_path / "index.html").touch()
    with (
        make_server(tmp_path, tmp_path / "p.onnx", "localhost", 0) as server,
        pytest.raises(InputError, match="another --port"),
    ):
        make_server(tmp_path, tmp_path / "p.onnx", "localhost", server.server_port)
    for host in ("nowhere.invalid", "192.0.2.77", "2001:db8::77"):
        with pytest.raises(InputError, match="another --host"):
            make_server(tmp_path, tmp_path / "p.onnx", host, 0)
    command = [Path(sys.executable).parent / "rtmpose", "web", "--page", tmp_path, "--artifact", "p.onnx"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "p.onnx: no such file; make it: rtmpose-export --end2end pipeline" in done.stderr


def test_a_port_that_is_taken_is_said_before_the_export(tmp_path: Path) -> None:
    """A pose model that does not exist would be the export's error."""
    (tmp_path / "index.html").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [Path(sys.executable).parent / "rtmpose", "web", "--page", tmp_path, "--port", port]
        done = subprocess.run([*command, "--pose", "none"], capture_output=True, text=True, check=False)
    assert "cannot be listened on (Address already in use); take another --port" in done.stderr


@pytest.mark.skipif(not Path("/proc/net/if_inet6").is_file(), reason="needs IPv6")
def test_ipv6(tmp_path: Path) -> None:
    (tmp_path / "index.html").touch()
    (tmp_path / "p.onnx").touch()
    with make_server(tmp_path, tmp_path / "p.onnx", "::1", 0) as server:
        assert server.address == f"http://[::1]:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with urllib.request.urlopen(server.address) as answer:
            assert answer.status == 200
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    """What the browser did."""
    site = folder / "site"
    shutil.copytree(SOURCE, site, ignore=shutil.ignore_patterns("node_modules", "dist"))
    for step in (("npm", "install", "--ignore-scripts"), ("npm", "run", "build")):
        done = subprocess.run(step, cwd=site, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
    pose, detector = read_part("rtmpose-t-own", False), read_part("rtmdet-nano-own", False)
    export_end2end(
        "pipeline", folder / "pipeline.onnx", pose=pose, detector=detector, detection_threshold=0.3
    )
    export_end2end("pose", folder / "pose.onnx", pose=pose, detection_threshold=0.3)
    whole = (folder / "pipeline.onnx").read_bytes()
    (folder / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    odd = onnx.load(str(folder / "pipeline.onnx"))
    odd.graph.node[0].op_type = "Unknown"
    onnx.save(odd, str(folder / "odd.onnx"))
    for name, changed in (
        ("text", {"skeleton": "none"}),
        ("far", {"skeleton": "[[0, 17]]"}),
        ("more", {"keypoint_names": json.dumps([f"k{i}" for i in range(18)]), "skeleton": "[[0, 17]]"}),
    ):
        model = onnx.load(str(folder / "pipeline.onnx"))
        for entry in model.metadata_props:
            entry.value = changed.get(entry.key, entry.value)
        onnx.save(model, str(folder / f"{name}.onnx"))
    photo = cv2.imread(str(SOURCE.parents[1] / "rtmpose_sdk" / "data" / "astronaut.jpg"))
    cv2.imwrite(str(folder / "photo.png"), photo)
    cv2.imwrite(str(folder / "grey.png"), np.full((48, 64, 3), 120, np.uint8))
    (folder / "broken.png").write_bytes(
        (folder / "photo.png").read_bytes()[:5000].replace(b"IHDR", b"XXXX")
    )
    (folder / "empty.png").write_bytes(b"")
    with av.open(str(folder / "film.webm"), "w") as film:
        stream = film.add_stream("libvpx", rate=5)
        stream.width = stream.height = 480
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(cv2.resize(photo, (480, 480)), format="bgr24")
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    film_bytes = bytearray((folder / "film.webm").read_bytes())
    middle = len(film_bytes) // 2
    film_bytes[middle : middle + 5000] = bytes(i * 37 % 256 for i in range(5000))
    (folder / "damaged.webm").write_bytes(film_bytes)
    yuv = cv2.cvtColor(cv2.resize(photo, (480, 480)), cv2.COLOR_BGR2YUV_I420).tobytes()
    (folder / "camera.y4m").write_bytes(
        b"YUV4MPEG2 W480 H480 F10:1 Ip A1:1 C420jpeg\n" + (b"FRAME\n" + yuv) * 10
    )
    with make_server(site / "dist", folder / "pipeline.onnx", "localhost", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or "chromium"
        address = f"http://localhost:{server.server_port}/"
        done = subprocess.run(
            ["node", "test/drive.mjs", chromium, address, str(folder)],
            cwd=site,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        server.shutdown()
        thread.join()
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found["address"] = address
    measured = {key: found[key] for key in ("readyMs", "firstMs", "bytes", "threads", "loaded", "again")}
    print(measured)  # noqa: T201 - shown by -rP
    return found


def people(found: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    rows = found["people"]
    return np.array([row["box"] for row in rows]), np.array([row["keypoints"] for row in rows])


@needs_browser
def test_keypoints_are_pythons(report: dict[str, Any], folder: Path) -> None:
    photo = cv2.imread(str(folder / "photo.png"))
    with Pipeline() as pipeline:
        want = pipeline(photo)
    boxes, keypoints = people(report["photo"])
    assert (report["photo"]["width"], report["photo"]["height"]) == (512, 512)
    assert np.abs(boxes - want.boxes).max() < 1
    assert np.hypot(*np.moveaxis(keypoints[..., :2] - want.keypoints, -1, 0)).max() < 1
    np.testing.assert_allclose(keypoints[..., 3], want.confidences, atol=0.01)
    assert report["photoLabel"] == "Picture with the skeletons of 1 person"  # the others score below 0.5


@needs_browser
@pytest.mark.parametrize("source", ["camera", "film"])
def test_cameras_and_videos(report: dict[str, Any], folder: Path, source: str) -> None:
    frame = cv2.imread(str(folder / f"{source}-frame.png"))
    with Pipeline() as pipeline:
        want = pipeline(frame)
    boxes, keypoints = people(report[source])
    assert (report[source]["width"], report[source]["height"]) == (480, 480)
    assert np.abs(boxes - want.boxes).max() < 1
    moved = np.hypot(*np.moveaxis(keypoints[..., :2] - want.keypoints, -1, 0))
    # Our own weights have flat peaks: two places of one height, of which rounding takes either.
    tied = moved >= 1
    assert tied.sum() <= 2
    assert np.abs(keypoints[tied, 2] - want.keypoint_scores[tied]).max(initial=0) < 1e-3
    assert np.median(moved) < 0.01
    assert report["filmFirst"] > 0  # not the black before the first frame
    assert report["stopped"] == "Stopped."


@needs_browser
def test_only_the_source_that_was_chosen_last_is_on(report: dict[str, Any]) -> None:
    assert report["afterCamera"]["width"] == report["stillPhoto"] == 512
    assert report["liveTracks"] == 0


@needs_browser
def test_nobody_and_bad_input(report: dict[str, Any]) -> None:
    assert report["grey"]["people"] == []
    assert report["greyStatus"] == "Nobody was found in grey.png."
    assert "broken.png is not a picture" in report["brokenPicture"]
    assert "empty.png is not a picture" in report["emptyPicture"]
    assert "odd.onnx cannot be run" in report["oddModel"]
    assert report["afterOddModel"] == len(report["photo"]["people"])  # the model before is still there
    assert "The model is damaged" in report["cutModel"]
    assert "an end2end pose artifact" in report["poseModel"]
    assert report["afterErrors"] == len(report["photo"]["people"])
    assert "damaged.webm is damaged; it was played as far as it can be" in report["damagedFilm"]
    assert "camera" in report["refusedCamera"].lower()
    assert "cannot be run: a part of the page was not loaded; load the page again" in report["noWorker"]


@needs_browser
def test_another_skeleton_and_damaged_metadata(report: dict[str, Any]) -> None:
    assert report["text"] == (
        "The model is damaged: its metadata has no skeleton that can be read. Export it again."
    )
    assert "its skeleton has keypoints that have no names" in report["far"]
    assert report["beforeMore"] == len(report["photo"]["people"])
    assert report["sliderAfterMore"] == ""
    assert "its metadata names 18 keypoints, it gives 17" in report["more"]


@needs_browser
def test_nothing_leaves_the_device_and_it_works_offline(report: dict[str, Any]) -> None:
    assert report["requests"]
    own = (report["address"], report["elsewhere"], "blob:", "data:")
    assert all(url.startswith(own) for url in report["requests"])
    assert report["offline"] == len(report["photo"]["people"])
    assert 20e6 < report["bytes"] < 25e6  # 14.2 MB of it are the engine, 8.9 MB the model
    expected = ("ERR_INTERNET_DISCONNECTED", "Cross-Origin-Opener-Policy header has been ignored")
    assert not [text for text in report["console"] if not any(part in text for part in expected)]


@needs_browser
def test_threads_keyboard_names_and_a_small_screen(report: dict[str, Any]) -> None:
    assert "WebAssembly" in report["threads"]
    assert "does not isolate" not in report["threads"]
    assert "One thread, no camera" in report["insecure"]
    assert "does not isolate" not in report["insecure"]
    assert report["unnamed"] == []
    assert {"file", "camera", "least", "engine", "artifact"} <= set(report["focused"])
    assert report["wide"] <= 390

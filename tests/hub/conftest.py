"""A local HTTP server that misbehaves as told, and a cache of each test's own."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rtmpose_sdk.hub import download

PATH = "/mmpose/v1/projects/rtmposev1/"


class Server:
    """Files by path, and what goes wrong with each: a list of moves, one for each request.

    Moves: "ok"; ("cut", n): n bytes, then the line is dead; ("stall", n): n bytes, then silence;
    ("status", 404); ("redirect", path); ("wrong", bytes): others than the file's. After the last move all
    is well.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.moves: dict[str, list[object]] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.ranges = True
        self.slow = 0.0
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._httpd.server_address[1]}"
        self._over = threading.Event()
        threading.Thread(target=self._httpd.serve_forever, args=(0.02,), daemon=True).start()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self.requests.append((request.path, request.headers.get("Range")))
            moves = self.moves.get(request.path, [])
            move = moves.pop(0) if moves else "ok"
        data = self.files.get(request.path)
        if isinstance(move, tuple) and move[0] == "wrong":
            data = move[1]
        if data is None or (isinstance(move, tuple) and move[0] == "status"):
            request.send_response(move[1] if isinstance(move, tuple) else 404)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if isinstance(move, tuple) and move[0] == "redirect":
            request.send_response(302)
            request.send_header("Location", move[1])
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        tag = f'"{hashlib.sha256(data).hexdigest()[:8]}"'
        start = 0
        asked = request.headers.get("Range")
        if self.ranges and asked and request.headers.get("If-Range") == tag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            request.send_response(200)
        request.send_header("ETag", tag)
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        body = data[start:]
        stop = move[1] if isinstance(move, tuple) and move[0] in ("cut", "stall") else len(body)
        for begin in range(0, stop, 1 << 16):
            request.wfile.write(body[begin : min(begin + (1 << 16), stop)])
            if self.slow:
                time.sleep(self.slow)
        request.wfile.flush()
        if isinstance(move, tuple) and move[0] == "stall":
            self._over.wait(20)
        if stop < len(body):
            request.close_connection = True
            request.connection.close()

    def close(self) -> None:
        self._over.set()
        self._httpd.shutdown()
        self._httpd.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Path:
    """An empty cache that knows no other server than ours."""
    folder = tmp_path / "home"
    monkeypatch.setenv("RTMPOSE_HOME", str(folder))
    monkeypatch.setenv("RTMPOSE_MIRRORS", server.url)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("RTMPOSE_TIMEOUT", "0.5")
    for name in ("RTMPOSE_OFFLINE", "RTMPOSE_SHARED", "RTMPOSE_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "_PAUSE", 0.01)
    monkeypatch.setattr(
        download, "addresses", lambda url: [server.url + url.removeprefix("https://download.openmmlab.com")]
    )
    return folder


def tiny_network(outputs: dict[str, np.ndarray], size: tuple[int, int]) -> bytes:
    """An ONNX file (1,3,h,w) that always gives the same outputs."""
    width, height = size
    nodes = [helper.make_node("ReduceSum", ["input"], ["sum"], keepdims=0)]
    nodes.append(helper.make_node("Mul", ["sum", "nought"], ["nothing"]))
    tensors = [numpy_helper.from_array(np.float32(0), "nought")]
    infos = []
    for name, values in outputs.items():
        tensors.append(numpy_helper.from_array(values, f"{name}.value"))
        kind = TensorProto.FLOAT if values.dtype == np.float32 else TensorProto.INT64
        if values.dtype == np.float32:
            nodes.append(helper.make_node("Add", [f"{name}.value", "nothing"], [name]))
        else:
            nodes.append(helper.make_node("Identity", [f"{name}.value"], [name]))
        infos.append(helper.make_tensor_value_info(name, kind, values.shape))
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, height, width])
    graph = helper.make_graph(nodes, "tiny", [entry], infos, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def simcc(keypoints: int, size: tuple[int, int], peak: tuple[int, int] = (100, 120)) -> dict[str, np.ndarray]:
    """SimCC outputs whose peaks all lie at bins `peak`."""
    x = np.zeros((1, keypoints, 2 * size[0]), np.float32)
    y = np.zeros((1, keypoints, 2 * size[1]), np.float32)
    x[..., peak[0]], y[..., peak[1]] = 1.5, 1.2
    return {"simcc_x": x, "simcc_y": y}


def sdk_files(network: bytes, size: tuple[int, int], pth: str = "", affine: object = None) -> dict[str, bytes]:
    """An MMDeploy SDK folder of a pose network, as name → content."""
    transforms = [
        {"type": "LoadImageFromFile"},
        {"type": "TopDownGetBboxCenterScale", "padding": 1.25, "image_size": affine or list(size)},
        {"type": "TopDownAffine", "image_size": affine or list(size)},
        {
            "type": "Normalize",
            "mean": [123.675, 116.28, 103.53],
            "std": [58.395, 57.12, 57.375],
            "to_rgb": True,
        },
        {"type": "ImageToTensor", "keys": ["img"]},
        {
            "type": "Collect",
            "keys": ["img"],
            "meta_keys": ["img_shape", "pad_shape", "ori_shape", "img_norm_cfg"]
            + ["scale_factor", "bbox_score", "center", "scale"],
        },
    ]
    params = {
        "flip_test": False,
        "type": "SimCCLabel",
        "input_size": list(size),
        "sigma": [4.9, 5.66],
        "simcc_split_ratio": 2.0,
        "normalize": False,
        "use_dark": False,
        "export_postprocess": False,
    }
    tasks = [
        {
            "type": "Task",
            "module": "Transform",
            "name": "Preprocess",
            "input": ["img"],
            "output": ["prep_output"],
            "transforms": transforms,
        },
        {
            "name": "topdownposeestimator",
            "type": "Task",
            "module": "Net",
            "is_batched": False,
            "input": ["prep_output"],
            "output": ["infer_output"],
            "input_map": {"img": "input"},
            "output_map": {},
        },
        {
            "type": "Task",
            "module": "mmpose",
            "name": "postprocess",
            "component": "SimCCLabelDecode",
            "params": params,
            "output": ["post_output"],
            "input": ["prep_output", "infer_output"],
        },
    ]
    model = {
        "name": "topdownposeestimator",
        "net": "end2end.onnx",
        "weights": "",
        "backend": "onnxruntime",
        "precision": "FP32",
        "batch_size": 1,
        "dynamic_shape": True,
    }
    deploy = {"version": "1.0.0", "task": "PoseDetector", "models": [model], "customs": []}
    pipeline = {"pipeline": {"input": ["img"], "output": ["post_output"], "tasks": tasks}}
    files = {
        "end2end.onnx": network,
        "deploy.json": json.dumps(deploy).encode(),
        "pipeline.json": json.dumps(pipeline).encode(),
    }
    if pth:
        files["detail.json"] = json.dumps({"codebase": {"pth": pth}}).encode()
    return files


def zipped(files: dict[str, bytes], inside: str = "20230831/rtmpose_onnx/model") -> bytes:
    """An archive as OpenMMLab publishes it: the folder lies deep."""
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"{inside}/{name}" if inside else name, content)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def pose_archive() -> bytes:
    """A small published archive: body 17, 192x256, one answer to every picture."""
    return zipped(sdk_files(tiny_network(simcc(17, (192, 256)), (192, 256)), (192, 256)))

"""A local HTTP server that misbehaves as told, and a cache of each test's own."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rtmpose_sdk.hub import download

sys.path.insert(0, str(Path(__file__).parent))
from hub_helpers import sdk_files, simcc, tiny_network, zipped

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


@pytest.fixture(scope="session")
def pose_archive() -> bytes:
    """A small published archive: body 17, 192x256, one answer to every picture."""
    return zipped(sdk_files(tiny_network(simcc(17, (192, 256)), (192, 256)), (192, 256)))

"""Videos of a few small pictures, and a server for them, for tests of sources."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest


def picture(index: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """A bright square on grey, whose place tells the number."""
    image = np.full((size[1], size[0], 3), 40, np.uint8)
    image[8:24, 4 * index % 48 : 4 * index % 48 + 12] = (40, 40, 230)
    return image


def make_video(
    path: Path,
    times: list[float],
    rotation: int = 0,
    codec: str = "mpeg4",
    size: tuple[int, int] = (64, 48),
    format: str | None = None,
    **options: str,
) -> Path:
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format, options=options) as out:
        stream = out.add_stream(codec, rate=30)
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        clock = Fraction(1, 30) if codec == "mpeg2video" else Fraction(1, 1000)  # MPEG-2 has few rates
        stream.codec_context.time_base = clock
        if rotation:
            stream.set_display_rotation(rotation)
        for index, seconds in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(index, size), format="bgr24")
            frame.pts, frame.time_base = round(seconds / clock), clock
            out.mux(stream.encode(frame))
        if not times:
            out.start_encoding()
            return path
        out.mux(stream.encode(None))
    return path


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[BaseHTTPRequestHandler], None]], str]]:
    """Start an HTTP server on this machine that answers with the given function."""
    servers = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/live"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()

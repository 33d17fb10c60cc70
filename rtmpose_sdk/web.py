"""The page of examples/web, served to a browser on this machine."""

from __future__ import annotations

import functools
import http.server
from pathlib import Path
from typing import Any

from rtmpose_sdk.errors import InputError

MODEL_ADDRESS = "/model/pipeline.onnx"
HEADERS = {
    # Threads of WebAssembly need a page that shares its process with no other site's.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    # Nothing leaves the device: the page may talk to this server alone.
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'self'",
            "script-src 'self' 'wasm-unsafe-eval'",
            "worker-src 'self' blob:",
            "img-src 'self' blob: data:",
            "media-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "form-action 'none'",
        ]
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files of the page, and the model."""

    extensions_map = {  # noqa: RUF012 - the base class has it as a plain dict
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".onnx": "application/octet-stream",
        ".svg": "image/svg+xml",
    }

    def __init__(self, *arguments: Any, model: Path, **named: Any) -> None:
        self._model = model
        super().__init__(*arguments, **named)

    def translate_path(self, path: str) -> str:
        """The model has an address of its own; all else is in the page's folder."""
        plain = path.split("?", 1)[0].split("#", 1)[0]
        return str(self._model) if plain == MODEL_ADDRESS else super().translate_path(path)

    def list_directory(self, path: object) -> None:
        """No listings."""
        self.send_error(404)

    def end_headers(self) -> None:
        """Every answer is isolated."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


def make_server(page: Path, model: Path, host: str, port: int) -> http.server.ThreadingHTTPServer:
    """A server of the built page and one end2end pipeline artifact; `serve_forever` starts it.

    Args:
        page: folder that `npm run build` made.
        model: from `rtmpose-export --end2end pipeline`.
        host: name or address to listen on.
        port: 0 takes a free one; see `server_port` of the result.

    Raises:
        InputError: no such folder or file, or the port is taken.
    """
    check_page(page)
    if not model.is_file():
        raise InputError(f"{model}: no such file; make it: rtmpose-export --end2end pipeline --out {model}")
    handler = functools.partial(_Handler, model=model.resolve(), directory=str(page))
    try:
        return http.server.ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        raise InputError(
            f"{host}:{port} cannot be listened on ({error.strerror}); take another --port"
        ) from None


def check_page(page: Path) -> None:
    """Raise where the built page is not.

    Raises:
        InputError: no such folder, or no page in it.
    """
    if not (page / "index.html").is_file():
        raise InputError(
            f"{page}: the built page is not here. In a checkout, build it in examples/web "
            "(npm install --ignore-scripts && npm run build) and give --page examples/web/dist"
        )

"""The page of examples/web, served to a browser on this machine."""

from __future__ import annotations

import errno
import functools
import http.server
import socket
import sys
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


class PageServer(http.server.ThreadingHTTPServer):
    """Serves the page and the model on IPv4 or IPv6, whichever the host's address is."""

    def __init__(self, host: str, port: int, handler: Any) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), handler)
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that closes or reloads the page in the middle of a file is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def make_server(page: Path, model: Path, host: str, port: int) -> PageServer:
    """A server of the built page and one end2end pipeline artifact; `serve_forever` starts it.

    Args:
        page: folder that `npm run build` made.
        model: from `rtmpose-export --end2end pipeline`; it has to be there when it is served.
        host: name or address to listen on.
        port: 0 takes a free one; see `server_port` of the result.

    Raises:
        InputError: no such folder, or the host or the port cannot be had.
    """
    check_page(page)
    handler = functools.partial(_Handler, model=model.resolve(), directory=str(page))
    try:
        return PageServer(host, port, handler)
    except OSError as error:
        other = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
        raise InputError(
            f"{host}:{port} cannot be listened on ({error.strerror}); take another {other}"
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

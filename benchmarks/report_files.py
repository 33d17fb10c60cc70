"""The files in which a report is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtmpose_sdk.benchmarks.report_html import page, picture
from rtmpose_sdk.benchmarks.report_text import markdown
from rtmpose_sdk.images import write_bytes


@dataclass(frozen=True)
class ReportFiles:
    """What was asked for, else None: figures, tables in Markdown, a page, the plot alone."""

    json: Path | None
    markdown: Path | None
    html: Path | None
    png: Path | None

    @property
    def by_option(self) -> list[tuple[str, Path | None]]:
        """Each with its option's name."""
        return [(f"--{kind}", getattr(self, kind)) for kind in ("json", "markdown", "html", "png")]

    def write(self, content: dict[str, Any]) -> None:
        """The JSON first, so that nothing that fails later costs the figures.

        Args:
            content: see `rtmpose_sdk.benchmarks.report_content`.

        Raises:
            OutputError: one cannot be written.
            MissingExtraError: the plot needs the extra `plot`.
        """
        if self.json is not None:
            write_bytes(self.json, json.dumps(content, indent=1).encode())
        if self.markdown is not None:
            write_bytes(self.markdown, markdown(content).encode())
        if self.html is not None:
            write_bytes(self.html, page(content).encode())
        if self.png is not None:
            write_bytes(self.png, picture(content))

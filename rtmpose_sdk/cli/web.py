"""`rtmpose web`: the page of examples/web with the chosen model, on this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rtmpose_sdk.cli.options import refuse_given
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.pipeline import DEFAULT_DETECTION_THRESHOLD
from rtmpose_sdk.zoo import DEFAULT_DETECTOR, DEFAULT_POSE


def web(
    context: typer.Context,
    artifact: Annotated[
        Path | None,
        typer.Option(
            help="From rtmpose-export --end2end pipeline; default: made of --pose and --detector."
        ),
    ] = None,
    pose: Annotated[str, typer.Option(help="SimCC pose model.")] = DEFAULT_POSE,
    detector: Annotated[str, typer.Option(help="RTMDet.")] = DEFAULT_DETECTOR,
    detection_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Least score of a person box.")
    ] = DEFAULT_DETECTION_THRESHOLD,
    page: Annotated[Path, typer.Option(help="The built page.")] = Path("examples/web/dist"),
    host: Annotated[str, typer.Option(help="Listen here; cameras work on localhost and https only.")] = (
        "localhost"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
) -> None:
    """Serve the page that finds people in the browser."""
    from rtmpose_sdk.web import make_server

    if artifact is not None:
        made_of = ["pose", "detector", "detection_threshold"]
        refuse_given(context, made_of, "--artifact holds its models and its threshold; leave out one")
        if not artifact.is_file():
            raise InputError(f"{artifact}: no such file; make it: rtmpose-export --end2end pipeline")
    with (
        tempfile.TemporaryDirectory(prefix="rtmpose-web-") as folder,
        # Before the export, which takes its time: a page or a port that cannot be had is said at once.
        make_server(page, artifact or Path(folder) / "pipeline.onnx", host, port) as server,
    ):
        if artifact is None:
            from rtmpose_sdk.exporters.extra import check_extra

            check_extra("rtmpose web without --artifact")
            from rtmpose_sdk.exporters.end2end_export import export_end2end, read_part

            export_end2end(
                "pipeline",
                Path(folder) / "pipeline.onnx",
                pose=read_part(pose, False),
                detector=read_part(detector, False),
                detection_threshold=detection_threshold,
            )
        Console().print(f"{server.address} (Ctrl-C ends it)", soft_wrap=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return

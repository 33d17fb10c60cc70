"""`rtmpose-bench`: how long does a person, or a picture, take on this machine?"""

from __future__ import annotations

import contextlib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer
from rich.console import Console

from rtmpose_sdk._version import __version__
from rtmpose_sdk.benchmarks.baseline import (
    PEER,
    check_machine,
    compare,
    pairs,
    parse_percent,
    read_baseline,
    unpaired,
)
from rtmpose_sdk.benchmarks.candidates import Candidate, choices, open_candidates
from rtmpose_sdk.benchmarks.latency import MEASURED_RUNS, SPINNING, WARM_UP_RUNS, Latency, measure
from rtmpose_sdk.benchmarks.machine import beyond_peak, machine_record, peak_gflops
from rtmpose_sdk.benchmarks.remote import REMOTE_COMMAND, Asked, is_remote, measure_remote
from rtmpose_sdk.benchmarks.report_content import report_content
from rtmpose_sdk.benchmarks.report_files import ReportFiles
from rtmpose_sdk.benchmarks.report_html import ap_of
from rtmpose_sdk.benchmarks.report_text import report_lines, run_lines, table
from rtmpose_sdk.benchmarks.rounds import rounds_shown
from rtmpose_sdk.benchmarks.stages import SkippedFrames
from rtmpose_sdk.cli.offline import offers_offline
from rtmpose_sdk.cli.options import (
    DetectorOption,
    DetectorSize,
    parse_size,
    refuse_given,
    refuse_same_file,
    to_file,
)
from rtmpose_sdk.cli.paper import time_paper
from rtmpose_sdk.cli.run import run
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.geometry import check_boxes
from rtmpose_sdk.images import read_image
from rtmpose_sdk.zoo import DEFAULT_DETECTOR, DEFAULT_POSE

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
TABLE_WIDTH = 112
ALLOWED = "5%"
"""By how much a median may grow against a baseline, where nothing else is asked for."""
_MIXED = " / "
"""Between a candidate's number and its step, where all are timed together."""


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"rtmpose-sdk {__version__}")
        raise typer.Exit


@app.command()
@offers_offline
def bench(
    context: typer.Context,
    pose: Annotated[
        list[str], typer.Option(help="Pose model: a name, an ONNX file, an SDK folder; repeatable.")
    ] = [DEFAULT_POSE],  # noqa: B006 - typer reads the default and copies it
    detector: DetectorOption = None,
    detector_size: DetectorSize = None,
    device: Annotated[
        str,
        typer.Option(help=r"cpu, cuda, cuda:1, ...; ssh:\[user@]host\[:port]\[/device]; adb\[:serial]."),
    ] = "cpu",
    engine: Annotated[list[str], typer.Option(help="Engine that reads the file; repeatable.")] = [],  # noqa: B006
    precision: Annotated[list[str], typer.Option(help="fp32, fp16, bf16; repeatable.")] = [],  # noqa: B006
    threads: Annotated[
        list[int], typer.Option(min=1, help="Threads of the engines; default: all cores; repeatable.")
    ] = [],  # noqa: B006
    batch: Annotated[list[int], typer.Option(min=1, help="Most persons of one run; repeatable.")] = [],  # noqa: B006
    persons: Annotated[list[int], typer.Option(min=1, help="Persons in the picture; repeatable.")] = [1],  # noqa: B006
    image: Annotated[
        Path | None, typer.Option(help="Picture of one person; default: the bundled photograph.")
    ] = None,
    box: Annotated[
        tuple[float, float, float, float] | None, typer.Option(help="The person, x1 y1 x2 y2 px.")
    ] = None,
    peer: Annotated[
        list[str], typer.Option(help="Time rtmlib, mmdeploy, movenet=FILE, ... beside; repeatable.")
    ] = [],  # noqa: B006
    warm_up: Annotated[int, typer.Option(min=0, help="Runs before measuring.")] = WARM_UP_RUNS,
    runs: Annotated[int, typer.Option(min=1, help="Measured runs.")] = MEASURED_RUNS,
    json_file: Annotated[Path | None, to_file("--json", help="Write the figures here.")] = None,
    markdown_file: Annotated[Path | None, to_file("--markdown", help="Tables in Markdown.")] = None,
    html_file: Annotated[Path | None, to_file("--html", help="One page with a plot and tables.")] = None,
    png_file: Annotated[Path | None, to_file("--png", help="The plot of speed and accuracy.")] = None,
    baseline: Annotated[
        Path | None, typer.Option("--compare", help="An older --json of this machine.")
    ] = None,
    fail_if_slower: Annotated[
        str | None, typer.Option(help="With --compare: exit 1 where a median grew by more; default: 5%.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Compare with another machine's too.")] = False,
    paper: Annotated[
        bool, typer.Option("--paper", help="The paper's own rows (Tables 8, 10, 11) beside its figures.")
    ] = False,
    remote_command: Annotated[
        str, typer.Option(help="With --device ssh: rtmpose-bench of that machine.")
    ] = REMOTE_COMMAND,
    native: Annotated[
        Path | None, typer.Option(help="With --device adb: the program built of benchmarks/native.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Time models by the paper's protocol (A.2): 50 warm-up and 200 measured runs.

    Every combination of the lists is a candidate; all are timed together, run by run. `cpu` is the
    process's processor time, ms; `x bare` the ratio of medians to the engine's own call. Ctrl-C keeps
    what was measured so far.
    """
    files = ReportFiles(json_file, markdown_file, html_file, png_file)
    refuse_same_file(files.by_option)
    if baseline is None:
        names = ["fail_if_slower", "force"]
        refuse_given(context, names, "nothing to compare with; give an older report: --compare old.json")
    for name, kind in (("remote_command", "ssh"), ("native", "adb")):
        if device.split(":")[0] != kind:
            refuse_given(context, [name], f"for --device {kind}, and this is --device {device}")
    allowed = parse_percent(ALLOWED if fail_if_slower is None else fail_if_slower)
    old = read_baseline(baseline, files.by_option) if baseline else None
    if is_remote(device):
        if paper:
            raise InputError("--paper runs on this machine only; call rtmpose-bench --paper over there")
        typer.echo(f"measuring on {device} ...", err=True)
        content = measure_remote(Asked.of(context))
        for report in content["reports"]:
            report["setting"]["box"] = list(box) if box else None
        _hand_out(content, files, old, allowed, force)
        return
    photo = image or Path(str(resources.files("rtmpose_sdk").joinpath("data/astronaut.jpg")))
    shot = read_image(photo)
    height, width = shot.shape[:2]
    [person] = check_boxes([box] if box else [[0, 0, width, height]], (width, height))
    machine = machine_record(device)
    if paper:
        _refuse_beside_paper(context)
        time_paper(
            shot,
            person,
            detector or DEFAULT_DETECTOR,
            device,
            threads[0] if threads else 1,
            engine[0] if engine else None,
            precision[0] if precision else None,
            warm_up,
            runs,
            machine,
            files,
        )
        return
    if old is not None:
        check_machine(machine, old, force)
    with contextlib.ExitStack() as stack:
        wanted = list(choices(pose, engine, precision, threads, batch, persons))
        candidates, left_out = open_candidates(
            wanted,
            stack,
            detector,
            device,
            shot,
            person,
            peer,
            None if detector_size is None else parse_size(detector_size, square=True),
        )
        for candidate in candidates:
            candidate.setting |= {
                "picture": f"{photo.name} {width}x{height}",
                "box": list(box) if box else None,
                "warm_up": warm_up,
                "runs": runs,
            }
        if old is not None:
            pairs([{"setting": c.setting, "artifact": c.artifact} for c in candidates], old["reports"])
        if png_file is not None and not any(ap_of(c.artifact) is not None for c in candidates):
            raise InputError(
                "--png plots speed against accuracy, but no model here has an AP in its card; measure one "
                "with `rtmpose eval --write-card`, or leave out --png"
            )
        peaks = {
            n: peak_gflops(n)
            for n in {c.setting["threads"] for c in candidates if c.setting["device"] == "cpu"}
        }
        found = _time(candidates, warm_up, runs)
    if all(figures["bare engine"].runs == runs for figures in found):  # else Ctrl-C: no waiting then
        peaks = {n: max(peak, peak_gflops(n)) for n, peak in peaks.items()}
    content = report_content(machine, candidates, found, peaks, left_out)
    warnings = content["noise warning"], beyond_peak(content["reports"])
    content["noise warning"] = "; ".join(filter(None, warnings))
    _hand_out(content, files, old, allowed, force)


def _refuse_beside_paper(context: typer.Context) -> None:
    """What `--paper` would pass over.

    Raises:
        InputError: it was given.
    """
    lists = ("engine", "precision", "threads")
    several = [name for name in lists if context.params[name][1:]]
    refuse_given(
        context,
        ["peer", "batch", "png_file", "baseline", "detector_size", "pose", "persons", *several],
        "--paper chooses networks and persons by itself, and takes one engine",
    )


def _time(candidates: list[Candidate], warm_up: int, runs: int) -> list[dict[str, Latency]]:
    """Figures of each candidate's steps, all interleaved; OpenCV has the candidate's threads."""
    steps = {f"{i}{_MIXED}{name}": step for i, c in enumerate(candidates) for name, step in c.steps.items()}
    threads = {name: candidates[int(name.split(_MIXED)[0])].setting["threads"] for name in steps}
    spins = any(name.split(_MIXED)[1].startswith(PEER) for name in steps) and max(threads.values()) > 1
    with rounds_shown(warm_up + runs) as shown:
        found = measure(
            steps,
            warm_up,
            runs,
            lambda name: cv2.setNumThreads(threads[name]),
            SPINNING if spins else 0.0,
            shown,
        )
    for name, step in steps.items():
        if isinstance(step, SkippedFrames):
            cv2.setNumThreads(threads[name])
            found[name] = step.weighed(found[name])
    return [
        {name: found[f"{i}{_MIXED}{name}"] for name in candidate.steps}
        for i, candidate in enumerate(candidates)
    ]


def _print(content: dict[str, Any]) -> None:
    """A table for each candidate, and the lines that say what was run."""
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)  # a pipe has 80, which would cut figures
    for report in content["reports"]:
        console.print(table(report))
        for line in report_lines(report):
            console.print(line, markup=False, soft_wrap=True)
    for line in run_lines(content):
        console.print(line, markup=False, soft_wrap=True)
    if content["noise warning"]:
        console.print(content["noise warning"], style="yellow", soft_wrap=True)


def _hand_out(
    content: dict[str, Any], files: ReportFiles, old: dict[str, Any] | None, allowed: float, force: bool
) -> None:
    """Print, keep and compare.

    Raises:
        InputError: something of ours became slower by more than is allowed.
        RTMPoseError: see `ReportFiles.write`.
    """
    _print(content)
    files.write(content)
    if old is not None:
        _judge(content, old, allowed, force)


def _judge(content: dict[str, Any], old: dict[str, Any], allowed: float, force: bool) -> None:
    """Print what changed, and what could not be compared.

    Raises:
        InputError: something of ours became slower by more than is allowed.
    """
    changes = compare(content, old, force)
    for c in changes:
        of = ", mean a frame" if c.figure == "mean" else ""
        typer.echo(f"{c.candidate}, {c.step}{of}: {c.old:.3f} -> {c.new:.3f} ms ({c.slower:+.1%})")
    added, gone = unpaired(content["reports"], old["reports"])
    for name in added:
        typer.echo(f"{name}: not compared, the baseline has no figures of it")
    for name in gone:
        typer.echo(f"{name}: not compared, of the baseline alone")
    worse = [c for c in changes if c.slower > allowed and not c.step.startswith(PEER)]
    if worse:
        names = ", ".join(f"{c.candidate}, {c.step} ({c.slower:+.1%})" for c in worse)
        raise InputError(f"slower than the baseline by more than {allowed:.1%}: {names}")


def main() -> None:
    """Entry point of `rtmpose-bench`."""
    run(app)

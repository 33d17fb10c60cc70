"""`--device ssh:`: a real sshd on this machine, and every way in which it can fail."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtmpose_sdk import __version__
from rtmpose_sdk.benchmarks.baseline import read_baseline
from rtmpose_sdk.benchmarks.cli import app
from rtmpose_sdk.benchmarks.machine import differences, machine_record
from rtmpose_sdk.benchmarks.remote import ssh
from rtmpose_sdk.benchmarks.remote.address import parse_address
from rtmpose_sdk.benchmarks.remote.parcel import Parcel
from rtmpose_sdk.errors import InputError

from .conftest import BENCH, Server

SHORT = ("--threads", "1", "--warm-up", "1", "--runs", "3")


def bench(*words: object) -> object:
    return CliRunner().invoke(app, [str(word) for word in words])


def left(server: Server) -> list[Path]:
    """What was not removed there."""
    return list((server.folder / "tmp").glob("rtmpose-bench*"))


@pytest.mark.parametrize(
    ("text", "login", "port", "device"),
    [
        ("ssh:pi@board.local", "pi@board.local", None, "cpu"),
        ("ssh:board", "board", None, "cpu"),
        ("ssh:me@10.0.0.7:2222/cuda:1", "me@10.0.0.7", 2222, "cuda:1"),
        ("ssh:me@[fe80::1%eth0]:22", "me@fe80::1%eth0", 22, "cpu"),
    ],
)
def test_addresses(text: str, login: str, port: int | None, device: str) -> None:
    found = parse_address(text)
    assert (found.login, found.port, found.device) == (login, port, device)


@pytest.mark.parametrize(
    "text",
    [
        "ssh:",
        "ssh:a@",
        "ssh:-oProxyCommand=x",
        "ssh:-a@b",
        "ssh:a b",
        "ssh:a:0",
        "ssh:a:65536",
        "ssh:a;b",
        "ssh:a\n",
    ],
)
def test_no_addresses(text: str) -> None:
    with pytest.raises(InputError, match=r"expected ssh:\[user@\]host"):
        parse_address(text)


def test_models_of_one_name_travel_apart_with_their_files(tmp_path: Path) -> None:
    files = (
        "a/t.param",
        "a/t.bin",
        "a/t.param.card.json",
        "a/other.bin",
        "b/t.onnx",
        "b/t.bin",
        "c/sdk/pipeline.json",
    )
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    out = tmp_path / "out"
    out.mkdir()
    parcel = Parcel(out)
    assert [parcel.add(tmp_path / name) for name in ("a/t.param", "b/t.onnx", "c/sdk")] == [
        "0/a/t.param",
        "1/b/t.onnx",
        "2/c/sdk",
    ]
    assert sorted(str(f.relative_to(out)) for f in out.rglob("*") if f.is_file()) == [
        "0/a/t.bin",
        "0/a/t.param",
        "0/a/t.param.card.json",
        "1/b/t.onnx",
        "2/c/sdk/pipeline.json",
    ]


def test_the_report_is_that_machines(
    server: Server, client: Callable[..., None], tmp_path: Path, photo_path: Path
) -> None:
    report = tmp_path / "r.json"
    files = (
        "--json",
        report,
        "--html",
        tmp_path / "r.html",
        "--image",
        photo_path,
        "--box",
        100,
        20,
        400,
        500,
    )
    where = ("--device", server.device, "--remote-command", BENCH)
    done = bench(*where, *SHORT, "--persons", 1, "--persons", 2, "--detector", "rtmdet-nano-own", *files)
    assert done.exit_code == 0, done.output + str(done.exception)
    content = read_baseline(report)
    assert [r["setting"]["persons"] for r in content["reports"]] == [1, 2]
    first = content["reports"][0]
    assert first["setting"]["pose"] == "rtmpose-t (rtmpose-t-own.onnx)"
    assert (first["setting"]["runs"], first["setting"]["threads"]) == (3, 1)
    assert all(first["ms"][step]["p50"] > 0 for step in ("pipeline", "bare engine"))
    assert not differences(content["machine"], machine_record())
    assert "bare engine" in done.output
    assert (tmp_path / "r.html").stat().st_size > 1000
    assert not left(server), "its folder is left there"


@pytest.mark.parametrize(
    ("key", "known", "message"),
    [
        ("stranger", "known", "it refused the key.*ssh-copy-id"),
        ("user", "nothing-known", "does not know its key yet: connect once by hand"),
        ("user", "changed", "another machine than it was"),
    ],
)
def test_refused(server: Server, client: Callable[..., None], key: str, known: str, message: str) -> None:
    other = (server.folder / "stranger.pub").read_text()
    (server.folder / "changed").write_text(f"[127.0.0.1]:{server.port} {other}")
    client(key, known)
    done = bench("--device", server.device, *SHORT)
    assert done.exit_code == 1
    assert re.search(message, str(done.exception)), done.exception


def test_unreachable(server: Server, client: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        done = bench("--device", f"ssh:127.0.0.1:{free.getsockname()[1]}", *SHORT)
        assert "no ssh server listens" in str(done.exception)
    done = bench("--device", "ssh:nobody@nowhere.invalid", *SHORT)
    assert "is the name spelt right?" in str(done.exception)
    monkeypatch.setitem(ssh._OPTIONS, "ConnectTimeout", "1")
    with socket.socket() as silent:  # takes connections and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        done = bench("--device", f"ssh:127.0.0.1:{silent.getsockname()[1]}", *SHORT)
        assert "it did not answer within" in str(done.exception)
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert "needs OpenSSH's client" in str(bench("--device", "ssh:a", *SHORT).exception)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "pip install 'rtmpose-sdk"),
        ("echo rtmpose-sdk 9.9.9", f"has rtmpose-sdk 9.9.9, here is {__version__}"),
        ("echo 'No such option: --version' >&2; exit 2", "does not say its version"),
        ("sleep 30", "no answer within 2 s"),
    ],
)
def test_no_equal_sdk_there(
    server: Server,
    client: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
    message: str,
) -> None:
    monkeypatch.setattr(ssh, "SHORT_SECONDS", 2)
    program = tmp_path / "my bench"
    if script:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    done = bench("--device", server.device, "--remote-command", program, *SHORT)
    assert done.exit_code == 1
    assert message in str(done.exception)


def test_an_error_there_is_told_here(server: Server, client: Callable[..., None], tmp_path: Path) -> None:
    where = ("--device", f"{server.device}/cuda:9", "--remote-command", BENCH)
    done = bench(*where, *SHORT)
    assert done.exit_code == 1
    assert "rtmpose-bench failed there: device 'cuda:9'" in str(done.exception)
    assert "Traceback" not in str(done.exception)
    assert not left(server)
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    done = bench(
        "--device", server.device, "--remote-command", BENCH, *SHORT, "--pose", tmp_path / "broken.onnx"
    )
    assert "broken.onnx" in str(done.exception)


def test_files_that_are_not_there_or_not_sent_are_refused(
    server: Server, client: Callable[..., None], tmp_path: Path
) -> None:
    done = bench("--device", server.device, "--peer", f"movenet={tmp_path}")
    assert "--peer reads a file of this machine" in str(done.exception)
    done = bench("--device", server.device, "--image", tmp_path / "x.gif")
    assert "x.gif: no such file; expected a picture" in str(done.exception)


@contextlib.contextmanager
def measuring(server: Server, *more: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A long command, and its number there, while it measures; it is not left running."""
    words = ["--device", server.device, "--remote-command", BENCH, "--threads", "1", "--warm-up", "0"]
    process = subprocess.Popen(
        [BENCH, *words, "--runs", "100000", *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    there = server.folder / "tmp"
    end = time.monotonic() + 60
    number = 0
    try:
        while not [pid for pid in there.glob("*/pid") if pid.read_text()]:
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.1)
        [pid] = there.glob("*/pid")
        number = int(pid.read_text())
        while int(Path(f"/proc/{number}/stat").read_text().split()[13]) < 300:  # 3 s of processor time
            assert time.monotonic() < end
            time.sleep(0.1)
        yield process, number
    finally:  # what fails leaves nothing running
        process.kill()
        if number:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)


def test_ctrl_c_reaches_it_and_keeps_what_was_measured(
    server: Server, client: Callable[..., None], tmp_path: Path
) -> None:
    report = tmp_path / "r.json"
    with measuring(server, "--json", report) as (process, number):
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert not Path(f"/proc/{number}").exists()
    runs = json.loads(report.read_text())["reports"][0]["setting"]["runs"]
    assert 0 < runs < 100000
    assert not left(server)


def test_a_command_that_is_killed_there(server: Server, client: Callable[..., None]) -> None:
    """As the system does where the memory is full; the connection is whole then."""
    with measuring(server) as (process, number):
        os.kill(number, signal.SIGKILL)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "was ended there by signal 9; for want of memory" in stderr
    assert not left(server)


def test_a_connection_that_breaks_leaves_nothing_running(
    server: Server, client: Callable[..., None]
) -> None:
    with measuring(server) as (process, number):
        parent = number
        while "sshd" not in (words := Path(f"/proc/{parent}/cmdline").read_text()):
            parent = int(Path(f"/proc/{parent}/stat").read_text().rsplit(")", 1)[1].split()[1])
        assert "@notty" in words  # of this session, and not the server
        os.kill(parent, signal.SIGKILL)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "closed by remote host" in stderr
        assert not Path(f"/proc/{number}").exists()
    assert not left(server)


def test_a_disk_that_is_full_there(server: Server, client: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "tools" / "scp").write_text("#!/bin/sh\necho 'scp: failed to upload' >&2; exit 1\n")
    done = bench("--device", server.device, "--remote-command", BENCH, *SHORT)
    message = str(done.exception)
    assert re.search(
        r"scp: failed to upload; is it full there\? \d+\.\d MB are sent, and df -h says: \S+ ", message
    )
    assert not left(server)

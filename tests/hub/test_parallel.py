"""Eight processes at once, and a process that dies at every single step."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtmpose_sdk.hub.table import find_published

ARCHIVE = find_published("rtmpose-t").files[0].url.removeprefix("https://download.openmmlab.com")

FIND = "from rtmpose_sdk.zoo import find_model; print(find_model('rtmpose-t'))"

DYING = """
import os, shutil, signal, sys
from pathlib import Path
from rtmpose_sdk.zoo import find_model
import filelock, requests, rich.progress, rich.console  # nothing is imported after the fork

home = os.environ["RTMPOSE_HOME"]
WATCHED = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "tempfile.mkdtemp")
steps = 0
deadly = None

def watch(event, arguments):
    global steps
    if deadly is None or event not in WATCHED or home not in str(arguments[0]):
        return
    steps += 1
    if steps == deadly:
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)

def child(number):
    global deadly
    pid = os.fork()
    if pid == 0:
        deadly = number
        try:
            found = find_model("rtmpose-t")
            ok = (found / "end2end.onnx").stat().st_size > 1000 and (found / "pipeline.json").is_file()
            os._exit(0 if ok else 3)
        except BaseException as error:
            print("ERROR", type(error).__name__, error, flush=True)
            os._exit(4)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

number = 1
while True:
    shutil.rmtree(home, ignore_errors=True)
    first = child(number)
    if first == 0:
        break
    assert first == -9, first
    # Whatever is there, the next one must succeed, and leave the same as if nothing had happened.
    assert child(10**9) == 0, f"step {number}"
    finals = [p for p in Path(home, "files").iterdir() if not p.name.endswith((".part", ".part.json"))]
    assert len(finals) == 2, finals
    number += 1
print("steps", number - 1)
"""


def environment(server, home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "RTMPOSE_HOME": str(home),
        "RTMPOSE_MIRRORS": server.url,
        "NO_PROXY": "*",
        "RTMPOSE_TIMEOUT": "10",
    }


def test_eight_processes_download_once(server, tmp_path: Path, pose_archive: bytes) -> None:
    server.files[ARCHIVE] = pose_archive
    server.slow = 0.3
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FIND],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(server, tmp_path / "home"),
            cwd=tmp_path,
        )
        for _ in range(8)
    ]
    answers = [process.communicate(timeout=60) for process in processes]
    assert [p.returncode for p in processes] == [0] * 8, answers
    assert len({out for out, _ in answers}) == 1
    assert len(server.requests) == 1
    assert len(list((tmp_path / "home" / "unpacked").iterdir())) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_dying_at_any_step_leaves_a_usable_cache(server, tmp_path: Path, pose_archive: bytes) -> None:
    server.files[ARCHIVE] = pose_archive
    done = subprocess.run(
        [sys.executable, "-c", DYING],
        capture_output=True,
        text=True,
        env=environment(server, tmp_path / "home"),
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    steps = int(done.stdout.split("steps ")[1])
    assert steps > 15  # locks, the part, its notes, the record, two renames, the unpacked files

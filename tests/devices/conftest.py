"""Other machines to measure on: an ssh server of our own, a stand-in for a phone, native programs."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

SSHD = "/usr/sbin/sshd"
HERE = Path(__file__).parent
BENCH = Path(sys.executable).with_name("rtmpose-bench")


class Server(NamedTuple):
    """A running sshd, the folder of its keys, and how to reach it."""

    folder: Path
    port: int
    device: str


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Of this user, with fresh keys, on a free port; nothing of the system's configuration is read."""
    if not Path(SSHD).is_file():
        pytest.skip("needs Debian's openssh-server (sshd): make test-devices")
    if os.geteuid() == 0 and not Path("/run/sshd").is_dir():
        pytest.skip("sshd run by root needs the folder /run/sshd: make test-devices")
    folder = tmp_path_factory.mktemp("ssh")
    (folder / "tmp").mkdir()
    for name in ("host", "user", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "sshd.conf").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/user.pub\nUsePAM no\nPasswordAuthentication no\n"
        f"KbdInteractiveAuthentication no\nSubsystem sftp internal-sftp\nSetEnv TMPDIR={folder}/tmp\n"
    )
    key = (folder / "host.pub").read_text()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {key}")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "sshd.conf"], stderr=log)
    try:
        for _ in range(100):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        yield Server(folder, port, f"ssh:{getpass.getuser()}@127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def client(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets up `ssh` and `scp` of PATH: with which key, and which known hosts."""

    programs = {name: shutil.which(name) for name in ("ssh", "scp")}
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")

    def set_up(key: str = "user", known: str = "known") -> None:
        config = tmp_path / "client.conf"
        config.write_text(
            f"Host *\nIdentityFile {server.folder}/{key}\nIdentitiesOnly yes\n"
            f"UserKnownHostsFile {server.folder}/{known}\nGlobalKnownHostsFile none\n"
        )
        for name, program in programs.items():
            (tools / name).write_text(f'#!/bin/sh\nexec {program} -F {config} "$@"\n')
            (tools / name).chmod(0o755)

    set_up()
    return set_up


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in's folder; its `adb` comes first in PATH."""
    folder = tmp_path / "phone"
    (folder / "tmp").mkdir(parents=True)
    (folder / "devices").write_text("PHONE1\tdevice\n")
    (folder / "props").write_text(
        "ro.product.manufacturer=Stand-in\nro.product.model=One\nro.soc.model=QEMU\n"
        "ro.build.version.release=15\nro.product.cpu.abi=arm64-v8a\n"
    )
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "adb").symlink_to(HERE / "adb")
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("STAND_IN_DEVICE", str(folder))
    return folder


@pytest.fixture(scope="session")
def ncnn_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our own RTMPose-t for ncnn; where the shared data is absent, with fresh weights."""
    pytest.importorskip("ncnn")
    pytest.importorskip("pnnx")
    pytest.importorskip("torch")
    from rtmpose_sdk.exporters.ncnn import write_ncnn
    from rtmpose_sdk.exporters.network import open_network
    from rtmpose_sdk.exporters.new_card import new_card

    checkpoint = HERE.parents[2] / "shared/weights/rtmpose-t-own/rtmpose-t-own.pth"
    network = open_network(checkpoint)[0] if checkpoint.is_file() else _untrained()
    path = tmp_path_factory.mktemp("ncnn") / "t.param"
    write_ncnn(network, new_card("rtmpose-t", (192, 256), "coco17"), path, precision="fp16")
    return path


def _untrained() -> object:
    import torch

    from rtmpose_sdk.models import build_model

    torch.manual_seed(0)
    return build_model("rtmpose-t", keypoint_set="coco17").eval()


@pytest.fixture(scope="session")
def keypoints_here(ncnn_model: Path) -> np.ndarray:
    """(K,2) px of the bundled photograph, by the Python runtime in fp32."""
    from rtmpose_sdk import Predictor

    picture = cv2.imread(str(HERE.parents[1] / "rtmpose_sdk" / "data" / "astronaut.jpg"))
    assert picture is not None
    with Predictor(ncnn_model, threads=1) as predictor:
        return predictor(picture, [[0, 0, picture.shape[1], picture.shape[0]]]).keypoints[0]

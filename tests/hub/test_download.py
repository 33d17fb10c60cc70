"""Downloads from a server that breaks off, lies, redirects, stalls and comes back."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from rtmpose_sdk.errors import DownloadError, InputError, OfflineError, OutputError
from rtmpose_sdk.hub import cache, download
from rtmpose_sdk.hub.download import addresses, fetch
from rtmpose_sdk.hub.reasons import reason
from rtmpose_sdk.zoo import locate

# An address of our own has a hash in its cached name; OpenMMLab's keep theirs.
BASE = "https://download.openmmlab.com"
DATA = b"\x80" + bytes(range(256)) * 2000
HASH = hashlib.sha256(DATA).hexdigest()
PATH = "/m/net-12345678.pth"
CUT = 12 << 14
"""Bytes after which lines break."""


@pytest.fixture(autouse=True)
def published(server, home: Path) -> None:
    server.files[PATH] = DATA


def get(prefix: str = "") -> Path:
    return fetch(BASE + PATH, prefix, "rtmpose models download net")


def leftovers(home: Path) -> list[str]:
    return sorted(p.name for p in (home / "files").iterdir())


def test_a_file_comes_once(server, home: Path) -> None:
    path = get(HASH[:8])
    assert path == home / "files" / "net-12345678.pth"
    assert path.read_bytes() == DATA
    assert cache.read_record(path) == (HASH, len(DATA), server.url + PATH)
    assert get(HASH[:8]) == path
    assert len(server.requests) == 1
    assert leftovers(home) == ["net-12345678.pth", "net-12345678.pth.json"]


def test_a_broken_line_is_resumed(server, home: Path) -> None:
    server.moves[PATH] = [("cut", CUT), ("cut", CUT // 2)]
    assert get(HASH[:8]).read_bytes() == DATA
    assert [r for _, r in server.requests] == [None, f"bytes={CUT}-", f"bytes={CUT * 3 // 2}-"]


def test_a_later_call_goes_on_where_an_earlier_one_stopped(server, home: Path, monkeypatch) -> None:
    monkeypatch.setattr(download, "_TRIES", 1)
    server.moves[PATH] = [("cut", CUT)]
    with pytest.raises(
        DownloadError,
        match=r"(?s)could not be fetched.*the connection broke off.*Try again with: rtmpose models",
    ):
        get()
    assert leftovers(home) == ["net-12345678.pth.part", "net-12345678.pth.part.json"]
    assert get(HASH[:8]).read_bytes() == DATA
    assert server.requests[-1][1] == f"bytes={CUT}-"
    assert leftovers(home) == ["net-12345678.pth", "net-12345678.pth.json"]


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, home: Path, monkeypatch) -> None:
    monkeypatch.setattr(download, "_TRIES", 1)
    server.moves[PATH] = [("cut", CUT)]
    with pytest.raises(DownloadError):
        get()
    server.files[PATH] = other = b"\x80" + os.urandom(300_000)
    assert get().read_bytes() == other


def test_a_damaged_beginning_is_fetched_anew(server, home: Path, monkeypatch) -> None:
    monkeypatch.setattr(download, "_TRIES", 1)
    server.moves[PATH] = [("cut", CUT)]
    with pytest.raises(DownloadError):
        get(HASH[:8])
    part = home / "files" / "net-12345678.pth.part"
    part.write_bytes(bytes(CUT))
    assert get(HASH[:8]).read_bytes() == DATA


def test_a_server_without_ranges(server, home: Path) -> None:
    server.ranges = False
    server.moves[PATH] = [("cut", CUT)]
    assert get(HASH[:8]).read_bytes() == DATA


def test_stalls_errors_and_redirects_are_survived(server, home: Path) -> None:
    server.moves[PATH] = [("stall", 100_000), ("status", 500), ("redirect", "/elsewhere.pth")]
    server.files["/elsewhere.pth"] = DATA
    assert get(HASH[:8]).read_bytes() == DATA


def test_a_server_that_stays_silent(server, home: Path, monkeypatch) -> None:
    monkeypatch.setattr(download, "_TRIES", 2)
    monkeypatch.setenv("RTMPOSE_TIMEOUT", "0.2")
    server.moves[PATH] = [("stall", 0)] * 9
    with pytest.raises(DownloadError, match="the server stopped sending"):
        get()


def test_wrong_bytes_never_get_the_files_name(server, home: Path) -> None:
    server.moves[PATH] = [("wrong", b"\x80" + bytes(1000))] * 9
    with pytest.raises(DownloadError, match=f"the published file's begins with {HASH[:8]}"):
        get(HASH[:8])
    assert leftovers(home) == []
    server.moves[PATH] = [("wrong", b"<!DOCTYPE html><html>log in, please")]
    with pytest.raises(DownloadError, match="is a web page"):
        get()
    server.moves[PATH] = [("status", 404)]
    with pytest.raises(DownloadError, match="404"):
        get()
    assert len([r for r in server.requests if r]) == 3  # none of these is worth a second try
    assert leftovers(home) == []


def test_a_file_that_is_another_than_the_first_time(server, home: Path) -> None:
    path = get()
    path.unlink()
    server.files[PATH] = b"\x80" + bytes(500)
    with pytest.raises(DownloadError, match="was recorded when it first came"):
        get()
    assert not path.exists()


def test_the_next_mirror_is_tried(server, home: Path, monkeypatch) -> None:
    monkeypatch.setattr(
        download,
        "addresses",
        lambda url: [f"{server.url}/none{PATH}", f"http://127.0.0.1:9{PATH}", server.url + PATH],
    )
    assert get(HASH[:8]).read_bytes() == DATA


def test_mirrors_keep_the_published_path(monkeypatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("RTMPOSE_MIRRORS", "https://a.example/models/, http://b.example:8080")
    assert addresses(f"{BASE}/x/y.zip?v=1") == [
        "https://a.example/models/x/y.zip?v=1",
        "http://b.example:8080/x/y.zip?v=1",
        f"{BASE}/x/y.zip?v=1",
    ]


def test_a_mirror_of_other_paths_says_what_it_stands_for(monkeypatch) -> None:
    """As Hugging Face's of OpenMMLab's files, which lacks the first folders."""
    monkeypatch.undo()
    monkeypatch.setenv("RTMPOSE_MIRRORS", f"{BASE}/mmpose/v1/projects/=https://hf.example/resolve/main/")
    assert addresses(f"{BASE}/mmpose/v1/projects/rtmo/s.zip") == [
        "https://hf.example/resolve/main/rtmo/s.zip",
        f"{BASE}/mmpose/v1/projects/rtmo/s.zip",
    ]
    assert addresses(f"{BASE}/mmdetection/s.pth") == [f"{BASE}/mmdetection/s.pth"]


LONG = f"/mmpose/v1/projects/rtmposev1/onnx_sdk/{'rtmpose-m_simcc-body7_pt-body7_420e-256x192-' * 4}.pth"


@pytest.mark.parametrize(
    ("proxy", "bundle", "said"),
    [
        ("http://127.0.0.1:9", "", "the proxy that HTTPS_PROXY.* names: the connection was refused"),
        ("SERVER", "", "the proxy that .* names: Tunnel connection failed: 501"),
        ("", "", r"\[SSL"),  # a server that speaks no TLS
        ("", "/no/bundle.pem", r"/no/bundle\.pem \(REQUESTS_CA_BUNDLE\)"),
    ],
)
def test_what_stands_in_the_way_is_said(
    server, home: Path, monkeypatch, proxy: str, bundle: str, said: str
) -> None:
    """Behind an address as long as the published ones are."""
    monkeypatch.setenv("NO_PROXY", "" if proxy else "*")
    monkeypatch.setenv("HTTPS_PROXY", proxy.replace("SERVER", server.url))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    monkeypatch.setattr(download, "_TRIES", 1)
    monkeypatch.setattr(download, "addresses", lambda url: [server.url.replace("http", "https") + LONG])
    with pytest.raises(DownloadError, match=rf"\.pth: .*{said}"):
        get()


def test_a_certificate_that_is_not_trusted_is_said() -> None:
    import ssl

    import requests

    try:
        try:
            raise ssl.SSLCertVerificationError(
                1, "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"
            )
        except ssl.SSLError as error:
            raise requests.exceptions.SSLError(f"Max retries exceeded with url: {LONG}") from error
    except requests.exceptions.SSLError as error:
        said = reason(error)
    assert "not trusted here ([SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate)" in said
    assert "REQUESTS_CA_BUNDLE" in said


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse or let in whom they cannot take")
def test_a_server_that_never_answers_did_not_stop_sending(home: Path, monkeypatch) -> None:
    """A firewall that drops what it does not like: nobody takes the connection."""
    import socket

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        closed.listen(0)
        address = closed.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:  # more than are let in: the next one waits
            each.setblocking(False)
            each.connect_ex(address)
        monkeypatch.setattr(download, "_TRIES", 1)
        monkeypatch.setattr(download, "addresses", lambda url: [f"http://127.0.0.1:{address[1]}{PATH}"])
        with pytest.raises(DownloadError, match=r"\.pth: no answer"):
            get()
        for each in waiting:
            each.close()


def test_offline_opens_no_connection(server, home: Path, monkeypatch) -> None:
    import socket

    monkeypatch.setenv("RTMPOSE_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", None)
    with pytest.raises(OfflineError, match=r"fill the cache: rtmpose models download net"):
        get()
    monkeypatch.undo()
    assert server.requests == []


def test_a_file_put_there_by_hand_is_checked(server, home: Path) -> None:
    (home / "files").mkdir(parents=True)
    (home / "files" / "net-12345678.pth").write_bytes(DATA)
    assert get(HASH[:8]).read_bytes() == DATA
    (home / "files" / "net-12345678.pth.json").unlink()
    with pytest.raises(DownloadError, match="begins with 00000000"):
        get("00000000")
    assert server.requests == []


def test_a_shared_cache_is_read_and_never_written(server, home: Path, tmp_path: Path, monkeypatch) -> None:
    get()
    shutil.move(home, tmp_path / "shared")
    monkeypatch.setenv("RTMPOSE_SHARED", f"{tmp_path / 'none'}{os.pathsep}{tmp_path / 'shared'}")
    before = sorted(tmp_path.rglob("*"))
    assert get(HASH[:8]) == tmp_path / "shared" / "files" / "net-12345678.pth"
    assert sorted(tmp_path.rglob("*")) == before
    assert len(server.requests) == 1


def test_a_full_disk_leaves_the_cache_as_it_was(server, home: Path, monkeypatch) -> None:
    usage = shutil.disk_usage(home.parent)._replace(free=1000)
    with monkeypatch.context() as patch:
        patch.setattr(download.shutil, "disk_usage", lambda _: usage)
        with pytest.raises(OutputError, match=r"MB are needed and 0 MB are free.*RTMPOSE_HOME"):
            get()
    with monkeypatch.context() as patch:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(download, "_write_block", full)
        with pytest.raises(OutputError, match=r"the disk is full.*rtmpose models clean"):
            get()
    assert not [n for n in leftovers(home) if not n.endswith(".json")]
    assert get(HASH[:8]).read_bytes() == DATA


def test_a_cache_that_cannot_be_made(home: Path, monkeypatch) -> None:
    home.parent.joinpath("file").write_text("")
    monkeypatch.setenv("RTMPOSE_HOME", str(home.parent / "file" / "cache"))
    with pytest.raises(OutputError, match=r"RTMPOSE_HOME"):
        get()


@pytest.mark.parametrize("given", ["abc", "-1", "0", "nan", "inf", "1e30"])
def test_a_timeout_that_is_none(server, home: Path, monkeypatch, given: str) -> None:
    monkeypatch.setenv("RTMPOSE_TIMEOUT", given)
    with pytest.raises(InputError, match=rf"RTMPOSE_TIMEOUT={given}; expected seconds"):
        get()
    assert server.requests == []


def test_what_is_no_address(home: Path) -> None:
    with pytest.raises(InputError, match=r"http://\[::1/x\.onnx: not an address \(Invalid IPv6 URL\)"):
        locate("http://[::1/x.onnx")

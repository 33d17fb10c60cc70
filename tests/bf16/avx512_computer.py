"""A computer with AVX-512, emulated by Bochs: Debian's kernel, this Python and its OpenVINO, one job.

OpenVINO computes in bf16 wherever there is AVX-512: without bf16 instructions with those that there are,
only slower. So an emulated processor shows what this machine's own may not have.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
_INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
PYTHONPATH=/site PYTHONHOME={home} {python} -B /job/worker.py {files} 2>&1
/bin/busybox sleep 5
/bin/busybox poweroff -f
"""
_OPTIONS = "console=ttyS0 quiet mitigations=off nokaslr nowatchdog panic=1 lsm= clearcpuid=xsaves,xsavec"
"""Of the kernel. Bochs 2.7 says a wrong size of the compacted XSAVE area: Linux then does without AVX."""
_MENU = f"""DEFAULT job
LABEL job
 KERNEL /kernel
 APPEND initrd=/initrd {_OPTIONS}
"""
_MACHINE = """display_library: rfb, options="timeout=0"
cpu: model=corei7_skylake_x, count=1, ips=3500000000, reset_on_triple_fault=0
megs: 2048
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=disc.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=console.txt
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
port_e9_hack: enabled=1
clock: sync=none
panic: action=fatal
error: action=ignore
info: action=ignore
log: machine.txt
"""
_BOCHS = "bochs -q -f machine.cfg -rc go"
_CPIO = "cpio -o -H newc --quiet"
_ISO = """xorriso -as mkisofs -quiet -o disc.iso -b isolinux.bin -c boot.cat -no-emul-boot
-boot-load-size 4 -boot-info-table disc"""
_SITE = ("numpy", "numpy.libs", "openvino", "openvino_telemetry")
_OTHERS = ("intel_gpu", "intel_npu", "paddle", "tensorflow", "jax", "pytorch", "gguf", "hetero", "auto")
"""Devices and formats of OpenVINO that the job does not need."""
_STANDARD = ("test", "idlelib", "tkinter", "ensurepip", "lib2to3", "*-packages", "config-*")


def lay_out(root: Path, sdk: Path, runtimes: Path) -> None:
    """What the computer finds on its disc, but for the job: Python, OpenVINO and the SDK.

    Args:
        root: a folder that is not there yet.
        sdk, runtimes: the packages `rtmpose_sdk` and `rtmpose_sdk.runtimes`.
    """
    for name in ("bin", "proc", "sys", "dev", "tmp", "job", "site"):
        (root / name).mkdir(parents=True)
    shutil.copy(str(shutil.which("busybox")), root / "bin/busybox")
    standard = Path(sysconfig.get_path("stdlib"))
    _copy(standard, root / standard.relative_to("/"), *_STANDARD)
    installed = Path(np.__file__).resolve().parents[1]
    less = ("tests", "tools", *(f"libopenvino_{word}*" for word in _OTHERS))
    for name in _SITE:
        if (installed / name).is_dir():
            _copy(installed / name, root / "site" / name, *less)
    _copy(sdk, root / "site/rtmpose_sdk", "data")
    _copy(runtimes, root / "site/rtmpose_sdk/runtimes")
    executable = Path(sys.executable).resolve()
    binaries = [executable, *standard.glob("lib-dynload/*.so"), *(root / "site").rglob("*.so*")]
    for file in {executable, *_libraries(binaries)}:
        target = root / file.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)


def _copy(source: Path, target: Path, *but: str) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", *but), dirs_exist_ok=True)


def _libraries(binaries: Iterable[Path]) -> set[Path]:
    """The system's libraries, and the loader, that these files ask for."""
    told = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=False).stdout
    found = re.findall(r"(?:=> |^\t)(/\S+\.so\S*)", told, re.MULTILINE)
    return {Path(name) for name in found} - set(binaries)


def run(folder: Path, root: Path, kernel: Path, files: Iterable[str]) -> Iterator[str]:
    """Boot the disc with a job and yield the lines that the job says.

    Args:
        folder: for the disc's image and the computer's notes (`console.txt`: what went wrong).
        root: what `lay_out` made, with the job's files in `root`/job.
        kernel: Linux.
        files: the worker's arguments.

    Raises:
        RuntimeError: it stopped without "done".
    """
    folder.mkdir()
    init = root / "init"
    python = Path(sys.executable).resolve()
    init.write_text(_INIT.format(home=sys.base_prefix, python=python, files=" ".join(files)))
    init.chmod(0o755)
    shutil.copy(HERE / "worker.py", root / "job")
    disc = folder / "disc"
    disc.mkdir()
    with (disc / "initrd").open("wb") as packed:
        names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*"))).encode()
        subprocess.run(_CPIO.split(), cwd=root, input=names, stdout=packed, check=True)
    shutil.copy(kernel, disc / "kernel")
    for file in ("/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/modules/bios/ldlinux.c32"):
        shutil.copy(file, disc)
    (disc / "isolinux.cfg").write_text(_MENU)
    subprocess.run(_ISO.split(), cwd=folder, check=True)
    shutil.rmtree(disc)
    (folder / "machine.cfg").write_text(_MACHINE)
    (folder / "go").write_text("c\n")  # Debian's Bochs is one with a debugger, which waits
    pipe, none = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(
        _BOCHS.split(), cwd=folder, stdin=none, stdout=pipe, stderr=none, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("job: "):
                    yield line.removeprefix("job: ").strip()
                if line.strip() == "job: done":
                    return
        finally:
            process.kill()
    notes = folder / "console.txt"
    raise RuntimeError(notes.read_text(errors="replace")[-2000:] if notes.exists() else "it did not boot")

"""Which machine is this, how fast can it be at most, and how quiet is it?"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2

from rtmpose_sdk._version import __version__
from rtmpose_sdk.benchmarks.gpu import gpu_and_driver
from rtmpose_sdk.benchmarks.latency import Latency
from rtmpose_sdk.processor import instruction_sets, processor_name
from rtmpose_sdk.runtimes import allowed_cores

ENGINE_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "openvino", "ncnn", "torch", "tensorrt", "numpy")
NOISY = 0.15
"""Spread from which a run is called noisy: the p90 lies so much above the median."""
SAME = ("processor", "instruction sets", "cores", "gpu")
"""What two records of one machine have in common."""
_SIDE = 1024
_PRODUCTS = 10
"""Least number of products for a peak: on a busy machine the time may pass within one of them."""
_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_PRODUCT = """
import sys, time, numpy
side, seconds, least = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
a = numpy.random.default_rng(0).random((side, side), numpy.float32)
best, end = float("inf"), time.perf_counter() + seconds
while least > 0 or time.perf_counter() < end:
    least -= 1
    start = time.perf_counter()
    a @ a
    best = min(best, time.perf_counter() - start)
print(best)
"""

_TIMER = "perf_counter_ns; engines return when their outputs are in host memory"
_EVENTS = "; GPU events, where named, are waited for and hold the copies in and out"


def machine_record(device: str = "cpu") -> dict[str, Any]:
    """Processor, instruction sets, governor, cores, GPU, versions, and the load right now.

    Args:
        device: that is measured; with "cuda:1" the GPU is NVIDIA's second one, else the first.
    """
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    gpu, driver = gpu_and_driver(device)
    return {
        "sdk": __version__,
        "processor": processor_name(),
        "instruction sets": instruction_sets(),
        "governor": governor.read_text("utf-8").strip() if governor.is_file() else "unknown",
        "cores": allowed_cores(),
        "gpu": gpu,
        "gpu driver": driver,
        "system": platform.platform(),
        "python": platform.python_version(),
        "engines": _versions() | {"opencv": cv2.__version__},
        "load before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "timer": _TIMER + (_EVENTS if gpu else ""),
    }


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """In what two records are of different machines; empty for the same one. A driver's update is none."""
    pairs = {key: (_same(key, theirs.get(key)), _same(key, ours.get(key))) for key in SAME}
    return [f"{key}: {said(old)} / {said(new)}" for key, (old, new) in pairs.items() if old != new]


def peak_gflops(threads: int, seconds: float = 0.3) -> float:
    """10^9 operations (two for a multiply-add) per second of the fastest fp32 matrix product of numpy's.

    In a process of its own: a BLAS that is loaded has its threads already.
    """
    limits = {name: str(threads) for name in _BLAS_THREADS}
    done = subprocess.run(
        [sys.executable, "-c", _PRODUCT, str(_SIDE), str(seconds), str(_PRODUCTS)],
        env={**os.environ, **limits},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=True,
    )
    return 2 * _SIDE**3 / float(done.stdout) / 1e9


def beyond_peak(reports: Iterable[dict[str, Any]]) -> str:
    """What to say of candidates that ran faster than the matrix product; empty where none did.

    Args:
        reports: of `rtmpose-bench`.
    """
    shares = {
        report["name"]: about["GFLOP/s"] / about["peak GFLOP/s"]
        for report in reports
        for about in [report["artifact"]]
        if about.get("GFLOP/s") and about.get("peak GFLOP/s")
    }
    above = ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share > 1)
    return (
        f"noisy machine: above the matrix product's GFLOP/s ({above}), which something held back when it "
        "was timed, unless the network is of lower precision than fp32; do not trust this share"
        if above
        else ""
    )


def peak_memory() -> float | None:
    """Most resident memory of this process so far, MB; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1e6 if platform.system() == "Darwin" else 1e6 / 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def resident_memory() -> float | None:
    """Resident memory of this process now, MB; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def noise(figures: Iterable[Latency]) -> float:
    """By how much of the median the p90 lies above it, at worst."""
    return max((f.p90 / f.p50 - 1 for f in figures), default=0.0)


def said(value: Any) -> str:
    """A value of a record in words."""
    if isinstance(value, dict):
        return " ".join(f"{k} {v}" for k, v in value.items())
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _same(key: str, value: Any) -> Any:
    """Older records have the driver behind the GPU's name."""
    return value.partition(",")[0] if key == "gpu" and isinstance(value, str) else value


def _versions() -> dict[str, str]:
    found = {}
    for name in ENGINE_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

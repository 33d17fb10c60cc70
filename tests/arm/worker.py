"""Runs on the emulated ARM computer: an artifact on crops, through the SDK's own runtime.

worker.py ARTIFACT PRECISION TENSORS.npy OUTPUTS.npz; precision "" is the artifact's.
"""

from __future__ import annotations

import platform
import sys

import numpy as np

from rtmpose_sdk.errors import RTMPoseError
from rtmpose_sdk.runtimes import open_runtime


def main() -> None:
    artifact, precision, tensors, outputs = sys.argv[1:]
    try:
        with open_runtime(artifact, threads=1, precision=precision or None) as runtime:
            found = runtime.run(np.load(tensors))
            names = [spec.name for spec in runtime.outputs]
            np.savez(outputs, **dict(zip(names, found, strict=True)))
            print(platform.machine(), runtime.engine, runtime.precision)  # noqa: T201
    except RTMPoseError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()

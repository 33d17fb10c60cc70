"""Does IO binding pay? ONNX Runtime's plain call against bound and pre-allocated outputs, on the CPU.

Run it with `python -m rtmpose_sdk.benchmarks.io_binding`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from rtmpose_sdk.benchmarks.latency import measure
from rtmpose_sdk.runtimes import open_runtime
from rtmpose_sdk.zoo import DEFAULT_POSE, find_model


def main() -> None:
    """Print medians and ratios, one thread, one person."""
    with open_runtime(find_model(DEFAULT_POSE), threads=1) as runtime:
        session: Any = runtime._session  # type: ignore[attr-defined]
        name = runtime.inputs[0].name
        shape = [d or 1 for d in runtime.inputs[0].shape]
        image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
        binding = session.io_binding()
        binding.bind_cpu_input(name, image)
        outputs = []
        for spec in runtime.outputs:
            outputs.append(np.empty([d or 1 for d in spec.shape], np.float32))
            binding.bind_output(spec.name, "cpu", 0, np.float32, outputs[-1].shape, outputs[-1].ctypes.data)
        found = measure(
            {
                "plain call": lambda: session.run(None, {name: image}),
                "bound, outputs pre-allocated": lambda: session.run_with_iobinding(binding),
            }
        )
    table = Table("ONNX Runtime on the CPU", "p50 ms", "x plain")
    plain = found["plain call"].p50
    for step, took in found.items():
        table.add_row(step, f"{took.p50:.3f}", f"{took.p50 / plain:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()

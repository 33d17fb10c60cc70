"""The TensorRT runtime against stand-ins for CUDA and for the engine that compute with numpy.

There is no GPU where these tests run. What needs none (headers, versions, real refusals) is tested on real
files in test_tensorrt_rtx.py.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fake_cuda import FakeCuda, _installed
from fake_tensorrt import FakeTensorRt, check, engine_file, images
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtmpose_sdk.errors import EngineError, InputError
from rtmpose_sdk.runtimes import open_runtime
from rtmpose_sdk.runtimes.tensorrt import MAX_GRAPHS, TensorRtRuntime


def test_it_says_what_it_is(runtime: TensorRtRuntime) -> None:
    assert runtime.engine == "tensorrt 10.13.3.9"
    assert str(runtime.device) == "cuda:0"
    assert runtime.threads == 1
    assert "cuda:0, 1 threads, as in the graph: image" in repr(runtime)
    assert runtime.batches == (1, 2, 12)
    assert runtime.records
    assert [str(spec) for spec in runtime.inputs] == ["image: uint8 (N,4,3,3)"]
    assert [str(spec) for spec in runtime.outputs] == [
        "simcc_x: float32 (N,2,6)",
        "simcc_y: float32 (N,2,9)",
    ]
    assert runtime.metadata == {"engine": "rtmpose-t fp16", "gpu": "GeForce GTX 1660 Ti (sm75)"}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.integers(1, 12), max_size=30))
def test_any_order_of_batches(runtime: TensorRtRuntime, batches: list[int]) -> None:
    kept = []
    for seed, batch in enumerate(batches):
        outputs = check(runtime, batch, seed)
        kept.append((outputs, [output.copy() for output in outputs]))
    for outputs, copies in kept:  # later runs wrote into memory of their own
        for output, copy in zip(outputs, copies, strict=True):
            np.testing.assert_array_equal(output, copy)
    assert len(runtime._recorded) <= MAX_GRAPHS


def test_the_second_run_of_a_shape_is_recorded(runtime: TensorRtRuntime, trt: FakeTensorRt) -> None:
    check(runtime, 3, 0)
    assert [context.runs for context in trt.contexts] == [1]
    check(runtime, 3, 1)  # on a context of its own: once to settle, once to record
    assert [context.runs for context in trt.contexts] == [1, 2]
    for seed in range(5):
        check(runtime, 3, seed)
    assert [context.runs for context in trt.contexts] == [1, 2]  # replayed
    check(runtime, 5, 9)
    check(runtime, 3, 9)  # another shape in between changes nothing
    assert [context.runs for context in trt.contexts] == [2, 2]


def test_events_time_copies_and_network(runtime: TensorRtRuntime, cuda: FakeCuda) -> None:
    """One copy in, one network, two copies out: 4 ms of the stand-in, call by call and recorded."""
    picture = np.zeros((2, 4, 3, 3), np.uint8)
    call = runtime.by_events(picture)
    assert call() == pytest.approx(0.004)
    for seed in range(3):
        check(runtime, 2, seed)
    assert runtime._recorded
    assert call() == pytest.approx(0.004)
    assert not cuda.events
    check(runtime, 2, 7)
    with pytest.raises(InputError, match="profile"):
        runtime.by_events(np.zeros((99, 4, 3, 3), np.uint8))


def test_graphs_are_limited(runtime: TensorRtRuntime, trt: FakeTensorRt) -> None:
    for seed in range(3):
        for batch in range(1, 13):
            check(runtime, batch, seed)
    assert len(trt.contexts) == 1 + MAX_GRAPHS
    check(runtime, 12, 0)
    assert trt.contexts[0].runs > 12  # the rest runs call by call


def test_buffers_grow_and_are_kept(
    runtime: TensorRtRuntime, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtmpose_sdk.runtimes.tensorrt.MAX_GRAPHS", 0)
    counts = []
    for seed, batch in enumerate((2, 1, 2, 7, 3, 7, 12, 1)):
        check(runtime, batch, seed)
        counts.append(cuda.allocations)
    each = 6  # three tensors, both sides
    assert counts == [each, each, each, 2 * each, 2 * each, 2 * each, 3 * each, 3 * each]
    assert len(cuda.live) == each


def test_the_callers_device_is_current_again(
    trt: FakeTensorRt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Torch works on the device that is current: its tensors must not move to the engine's."""
    cuda = trt.cuda = _installed(FakeCuda(count=2), monkeypatch)
    cuda.contexts.append(1000)
    with open_runtime(engine_file(tmp_path / "t.engine"), device="cuda:1") as runtime:
        assert cuda.contexts == [1000]
        runtime.run(images(2))
        assert cuda.contexts == [1000]
        trt.fails = True
        with pytest.raises(EngineError, match=r"^t\.engine: the engine did not start"):
            runtime.run(images(3))
        assert cuda.contexts == [1000]
    assert cuda.contexts == [1000]


def test_any_thread_may_run_it(runtime: TensorRtRuntime, cuda: FakeCuda) -> None:
    """A thread has no device at first, and two must not be in the same buffers."""
    both, met = threading.Barrier(2), []
    synchronize = runtime._memory.synchronize

    def meet() -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.2)
            met.append(True)
        synchronize()

    runtime._memory.synchronize = meet  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        for batch in (2, 3):
            list(pool.map(lambda seed, batch=batch: check(runtime, batch, seed), range(2)))
            both.reset()
    assert not met, "two calls at once"
    assert not any(cuda.threads.values())


def test_a_runtime_that_nobody_holds_frees_its_memory(
    trt: FakeTensorRt, cuda: FakeCuda, tmp_path: Path
) -> None:
    runtime = open_runtime(engine_file(tmp_path / "t.engine"), device="cuda")
    for seed in range(3):
        runtime.run(images(2, seed))
    assert cuda.live
    assert cuda.graphs
    del runtime
    gc.collect()
    assert not cuda.live
    assert not cuda.graphs
    assert cuda.streams == 0


def test_what_cannot_be_recorded_runs_and_says_so(runtime: TensorRtRuntime, trt: FakeTensorRt) -> None:
    trt.fails_recording = True
    check(runtime, 2, 0)
    with pytest.warns(UserWarning, match="no CUDA graph can be recorded"):
        check(runtime, 2, 1)
    assert not runtime.records
    check(runtime, 2, 2)

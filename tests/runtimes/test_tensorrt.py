"""The TensorRT runtime against stand-ins for CUDA and for the engine that compute with numpy.

There is no GPU where these tests run. The stand-ins behave as the real ones where it matters: calls on a
stream run when it is waited for, memory has borders, a recorded graph replays the addresses and shapes that
it was recorded with. What needs no GPU (file headers, versions, real refusals) is tested on real files.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtmpose_sdk.errors import DeviceError, EngineError, InputError, MissingExtraError, ModelFileError
from rtmpose_sdk.runtimes import open_runtime
from rtmpose_sdk.runtimes.engine_file import read_engine_header
from rtmpose_sdk.runtimes.tensorrt import MAX_GRAPHS, TensorRtRuntime

VERSION = (10, 13, 3, 9)
BORDER = 16


class FakeCuda(ModuleType):
    """`cuda.bindings.runtime` on host memory, and `cuda.bindings.driver`; keeps each thread's contexts."""

    cudaStreamNonBlocking = 1  # noqa: N815 - CUDA's names
    cudaHostAllocDefault = 0  # noqa: N815
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)  # noqa: N815
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)  # noqa: N815

    def __init__(self, count: int = 1, count_error: int = 0) -> None:
        super().__init__("cuda.bindings.runtime")
        self.count, self.count_error = count, count_error
        self.threads: dict[int, list[int]] = {}
        self.device_bytes = self.host_bytes = 1 << 30
        self.live: dict[int, np.ndarray] = {}
        self.allocations = 0
        self.queue: list[Callable[[], None]] = []
        self.recording: list[Callable[[], None]] | None = None
        self.graphs: set[int] = set()
        self.streams = 0
        self.done = 0
        self.events: dict[int, int] = {}

    @property
    def contexts(self) -> list[int]:
        """Of this thread; the last one is current."""
        return self.threads.setdefault(threading.get_ident(), [])

    def cuInit(self, flags: int) -> tuple[int]:  # noqa: N802
        return (0,)

    def cuDeviceGet(self, number: int) -> tuple[int, int]:  # noqa: N802
        assert number < self.count
        return 0, number

    def cuDevicePrimaryCtxRetain(self, device: int) -> tuple[int, int]:  # noqa: N802
        return 0, 1000 + device

    def cuCtxPushCurrent(self, context: int) -> tuple[int]:  # noqa: N802
        self.contexts.append(context)
        return (0,)

    def cuCtxPopCurrent(self) -> tuple[int, int]:  # noqa: N802
        return 0, self.contexts.pop()

    def add(self, step: Callable[[], None]) -> None:
        (self.queue if self.recording is None else self.recording).append(step)

    def block(self, address: int) -> np.ndarray:
        """The memory behind an address that was given out."""
        return self.live[address][BORDER:-BORDER]

    def cudaGetDeviceCount(self) -> tuple[int, int | None]:  # noqa: N802
        return self.count_error, None if self.count_error else self.count

    def cudaGetErrorString(self, error: int) -> tuple[int, bytes]:  # noqa: N802
        text = {
            2: b"out of memory",
            35: b"CUDA driver version is insufficient for CUDA runtime version",
            100: b"no CUDA-capable device is detected",
        }
        return 0, text[error]

    def cudaRuntimeGetVersion(self) -> tuple[int, int]:  # noqa: N802
        return 0, 13040

    def cudaSetDevice(self, number: int) -> tuple[int]:  # noqa: N802
        assert number < self.count
        self.contexts[-1:] = [1000 + number]
        return (0,)

    def cudaGetDeviceProperties(self, number: int) -> tuple[int, Any]:  # noqa: N802
        return 0, SimpleNamespace(name=b"GeForce GTX 1660 Ti\0\0", major=7, minor=5)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[int, int]:  # noqa: N802
        self.streams += 1
        return 0, 77

    def cudaStreamDestroy(self, stream: int) -> tuple[int]:  # noqa: N802
        self.streams -= 1
        return (0,)

    def cudaMalloc(self, size: int) -> tuple[int, int | None]:  # noqa: N802
        assert self.contexts, "no device is current in this thread"
        return (2, None) if size > self.device_bytes else self._allocate(size)

    def _allocate(self, size: int) -> tuple[int, int]:
        block = np.full(size + 2 * BORDER, 0xA5, np.uint8)
        self.live[block.ctypes.data + BORDER] = block
        self.allocations += 1
        return 0, block.ctypes.data + BORDER

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[int, int | None]:  # noqa: N802
        return (2, None) if size > self.host_bytes else self._allocate(size)

    def cudaFree(self, address: int) -> tuple[int]:  # noqa: N802
        assert self.contexts, "no device is current in this thread"
        block = self.live.pop(address)
        assert (block[:BORDER] == 0xA5).all()
        assert (block[-BORDER:] == 0xA5).all()
        return (0,)

    cudaFreeHost = cudaFree  # noqa: N815

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, stream: int) -> tuple[int]:  # noqa: N802
        for address in (target, source):
            assert any(
                start <= address and address + size <= start + len(block) - 2 * BORDER
                for start, block in self.live.items()
            )
        self.add(lambda: ctypes.memmove(target, source, size) and None)
        return (0,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[int]:  # noqa: N802
        assert self.recording is None, "waiting is not allowed while recording"
        while self.queue:
            self.queue.pop(0)()
            self.done += 1  # every step takes a ms
        return (0,)

    def cudaEventCreate(self) -> tuple[int, int]:  # noqa: N802
        event = 1 + max(self.events, default=0)
        self.events[event] = -1
        return 0, event

    def cudaEventRecord(self, event: int, stream: int) -> tuple[int]:  # noqa: N802
        assert stream == 77

        def step() -> None:
            self.events[event] = self.done
            self.done -= 1

        self.add(step)
        return (0,)

    def cudaEventSynchronize(self, event: int) -> tuple[int]:  # noqa: N802
        return self.cudaStreamSynchronize(77)

    def cudaEventElapsedTime(self, first: int, last: int) -> tuple[int, float]:  # noqa: N802
        assert min(self.events[first], self.events[last]) >= 0
        return 0, float(self.events[last] - self.events[first])

    def cudaEventDestroy(self, event: int) -> tuple[int]:  # noqa: N802
        del self.events[event]
        return (0,)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple[int]:  # noqa: N802
        assert not self.queue, "a shape is run and waited for before it is recorded"
        self.recording = []
        return (0,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[int, Any]:  # noqa: N802
        recorded, self.recording = self.recording, None
        self.graphs.add(id(recorded))
        return 0, recorded

    def cudaGraphInstantiate(self, graph: list, flags: int) -> tuple[int, Any]:  # noqa: N802
        self.graphs.add(-id(graph))
        return 0, graph

    def cudaGraphDestroy(self, graph: list) -> tuple[int]:  # noqa: N802
        self.graphs.remove(id(graph))
        return (0,)

    def cudaGraphExecDestroy(self, graph: list) -> tuple[int]:  # noqa: N802
        self.graphs.remove(-id(graph))
        return (0,)

    def cudaGraphLaunch(self, graph: list, stream: int) -> tuple[int]:  # noqa: N802
        self.queue.extend(graph)
        return (0,)


def network(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the stand-in engine computes."""
    pixels = image.astype(np.float32).reshape(len(image), 4, 9)
    return pixels[:, :2, :6] * 2, pixels[:, 2:, :] - 1


class FakeContext:
    def __init__(self, trt: FakeTensorRt) -> None:
        self.trt, self.shape, self.addresses = trt, (), {}
        self.runs = 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if self.trt.unknown_size:
            return (self.shape[0], -1, 4)
        return (self.shape[0], 2, {"simcc_x": 6, "simcc_y": 9}[name])

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 77
        cuda, addresses, shape = self.trt.cuda, dict(self.addresses), self.shape
        assert cuda.contexts, "no device is current in this thread"
        self.runs += 1
        if self.trt.fails or (cuda.recording is not None and self.trt.fails_recording):
            self.trt.logger.log(1, "[executionContext.cpp::enqueueInternal] Cuda Runtime (out of memory)")
            return False

        def step() -> None:
            size = int(np.prod(shape))
            image = cuda.block(addresses["image"])[:size].reshape(shape)
            for name, value in zip(("simcc_x", "simcc_y"), network(image), strict=True):
                data = np.ascontiguousarray(value).view(np.uint8).ravel()
                cuda.block(addresses[name])[: data.size] = data

        cuda.add(step)
        return True


class FakeTensorRt(ModuleType):
    """TensorRT 10 as far as the runtime uses it; "rtx" adds what only TensorRT for RTX has."""

    class ILogger:
        class Severity:
            INTERNAL_ERROR, ERROR = 0, 1

    TensorIOMode = SimpleNamespace(INPUT=1, OUTPUT=2)
    CudaGraphStrategy = SimpleNamespace(WHOLE_GRAPH_CAPTURE="whole")
    EngineValidity = SimpleNamespace(VALID=0, SUBOPTIMAL=1, INVALID=2)
    ComputeCapability = SimpleNamespace(__members__={"NONE": 0, "SM75": 75, "SM86": 86, "CURRENT": -1})
    EngineInvalidityDiagnostics = SimpleNamespace(__members__={"VERSION_MISMATCH": 1, "UNSUPPORTED_CC": 2})

    def __init__(self, cuda: FakeCuda, version: str = "10.13.3.9", rtx: bool = False) -> None:
        super().__init__("tensorrt")
        self.__version__ = version
        self.cuda, self.rtx = cuda, rtx
        self.contexts: list[FakeContext] = []
        self.configs: list[SimpleNamespace] = []
        self.unknown_size = self.fails = self.fails_recording = self.full = False
        self.validity = (0, 0)
        self.starts = True
        self.kept: weakref.ref[Any] | None = None

    @property
    def logger(self) -> Any:
        logger = self.kept()
        assert logger is not None, "the memory of a logger that is gone"
        return logger

    def nptype(self, kind: type) -> type:
        return kind

    def Runtime(self, logger: Any) -> Any:  # noqa: N802
        if self.kept is None:  # whatever is made later has the same logger
            self.kept = weakref.ref(logger)
        if not self.starts:
            self.logger.log(1, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")

        def deserialize(data: bytes) -> Any:
            if b"damaged" in data:
                logger.log(1, "Serialization assertion\n failed")
                return None
            return self._engine()

        runtime = SimpleNamespace(deserialize_cuda_engine=deserialize)
        if self.rtx:
            runtime.get_engine_validity = lambda data: self.validity
        return runtime

    def _engine(self) -> Any:
        names = ["image", "simcc_x", "simcc_y"]
        shapes = {"image": (-1, 4, 3, 3), "simcc_x": (-1, 2, 6), "simcc_y": (-1, 2, 9)}

        def context(config: Any = None) -> FakeContext | None:
            if self.full:
                return None
            self.contexts.append(FakeContext(self))
            self.configs.append(config)
            return self.contexts[-1]

        return SimpleNamespace(
            name="rtmpose-t fp16",
            num_io_tensors=3,
            get_tensor_name=lambda i: names[i],
            get_tensor_mode=lambda n: 1 if n == "image" else 2,
            get_tensor_dtype=lambda n: np.uint8 if n == "image" else np.float32,
            get_tensor_shape=lambda n: shapes[n],
            get_tensor_profile_shape=lambda n, i: [(b, 4, 3, 3) for b in (1, 2, 12)],
            create_execution_context=context,
            create_runtime_config=SimpleNamespace,
        )


def engine_file(
    path: Path, tag: bytes = b"ftrt", version: tuple[int, ...] = VERSION, body: bytes = b""
) -> Path:
    size = 64 + len(body)
    head = tag + bytes(12) + size.to_bytes(8, "little") + bytes(version)
    path.write_bytes(head.ljust(64, b"\0") + body)
    return path


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    return _installed(FakeCuda(), monkeypatch)


def _installed(fake: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    for name in ("runtime", "driver"):
        monkeypatch.setitem(sys.modules, f"cuda.bindings.{name}", fake)
    return fake


@pytest.fixture
def trt(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
    fake = FakeTensorRt(cuda)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    return fake


@pytest.fixture
def runtime(trt: FakeTensorRt, cuda: FakeCuda, tmp_path: Path) -> Iterator[TensorRtRuntime]:
    with open_runtime(engine_file(tmp_path / "t.engine"), device="cuda") as opened:
        assert isinstance(opened, TensorRtRuntime)
        yield opened
    assert not cuda.live, "memory is left"
    assert not cuda.graphs
    assert cuda.streams == 0
    assert not cuda.contexts


def images(batch: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (batch, 4, 3, 3)).astype(np.uint8)


def check(runtime: TensorRtRuntime, batch: int, seed: int) -> tuple[np.ndarray, ...]:
    image = images(batch, seed)
    outputs = runtime.run(image)
    for got, want in zip(outputs, network(image), strict=True):
        np.testing.assert_array_equal(got, want)
        assert got.dtype == np.float32
    return outputs


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


@pytest.mark.parametrize("batch", [0, 13])
def test_a_batch_outside_the_profile(runtime: TensorRtRuntime, batch: int) -> None:
    with pytest.raises(
        InputError, match=rf"built for batches of 1 to 12 \(profile 1:2:12\); given {batch}.*--batch"
    ):
        runtime.run(images(batch))
    check(runtime, 2, 0)


def test_other_inputs_are_refused(runtime: TensorRtRuntime) -> None:
    with pytest.raises(InputError, match=r"takes image: uint8 \(N,4,3,3\)"):
        runtime.run(images(2).astype(np.float32))
    with pytest.raises(InputError, match="takes image"):
        runtime.run(images(2)[:, :3])


def test_an_engine_that_fails(runtime: TensorRtRuntime, trt: FakeTensorRt) -> None:
    check(runtime, 2, 0)
    trt.fails = True
    with pytest.raises(EngineError, match=r"^t\.engine: the engine did not start.*: .*\(out of memory\)$"):
        runtime.run(images(3))
    trt.fails = False
    check(runtime, 3, 1)
    runtime._errors.append("of another run")
    trt.fails = True
    with pytest.raises(
        EngineError, match=r"\(execute_async_v3\): \[exec\S+ Cuda Runtime \(out of memory\)$"
    ):
        runtime.run(images(4))
    trt.fails = False


def test_no_memory_for_a_context_of_its_own(
    runtime: TensorRtRuntime, trt: FakeTensorRt, cuda: FakeCuda
) -> None:
    """The second run of a shape would be recorded; it runs as the first one did, and that is said."""
    check(runtime, 2, 0)
    trt.full = True
    with pytest.warns(
        UserWarning, match=r"no CUDA graph can be recorded \(no execution context; is GeForce"
    ):
        check(runtime, 2, 1)
    check(runtime, 2, 2)


def test_an_engine_without_a_context_is_not_opened(
    trt: FakeTensorRt, cuda: FakeCuda, tmp_path: Path
) -> None:
    trt.full = True
    with pytest.raises(
        EngineError, match=r"^t\.engine: no execution context; is GeForce .* out of memory\?$"
    ):
        open_runtime(engine_file(tmp_path / "t.engine"), device="cuda")
    assert cuda.streams == 0


@pytest.mark.filterwarnings("ignore:.*no CUDA graph can be recorded")
@pytest.mark.parametrize(("scarce", "call"), [("device", "cudaMalloc"), ("host", "cudaHostAlloc")])
def test_no_memory(runtime: TensorRtRuntime, cuda: FakeCuda, scarce: str, call: str) -> None:
    """Nothing is left behind, and smaller batches run on."""
    check(runtime, 2, 0)
    setattr(cuda, f"{scarce}_bytes", 100)
    for _ in range(2):
        with pytest.raises(
            EngineError, match=rf"^t\.engine: CUDA: {call} failed on cuda:0: out of memory$"
        ):
            runtime.run(images(12))
        assert len(cuda.live) == 4  # of the two outputs
    check(runtime, 1, 1)


def test_what_went_wrong_is_told_after_another_engine_is_closed(
    trt: FakeTensorRt, cuda: FakeCuda, tmp_path: Path
) -> None:
    """TensorRT has one logger for all that is open: the first one."""
    first = open_runtime(engine_file(tmp_path / "d.engine"), device="cuda")
    with open_runtime(engine_file(tmp_path / "t.engine"), device="cuda") as second:
        first.close()
        del first
        gc.collect()
        trt.fails = True
        with pytest.raises(
            EngineError, match=r"^t\.engine: the engine did not start.*: .*\(out of memory\)$"
        ):
            second.run(images(2))


def test_a_library_that_does_not_start(trt: FakeTensorRt, cuda: FakeCuda, tmp_path: Path) -> None:
    """Where it is of a newer CUDA than the driver."""
    trt.starts = False
    with pytest.raises(
        EngineError,
        match=r"^t\.engine: tensorrt 10\.\S+ cannot start on GeForce .*\): CUDA init.* error: 35$",
    ):
        open_runtime(engine_file(tmp_path / "t.engine"), device="cuda")
    assert cuda.streams == 0


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
        with pytest.raises(EngineError):
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


def test_outputs_of_unknown_size(runtime: TensorRtRuntime, trt: FakeTensorRt) -> None:
    trt.unknown_size = True
    with pytest.raises(EngineError, match=r"'simcc_x' depends on the data.*export without --nms"):
        runtime.run(images(1))


def test_a_closed_runtime(trt: FakeTensorRt, cuda: FakeCuda, tmp_path: Path) -> None:
    runtime = open_runtime(engine_file(tmp_path / "t.engine"), device="cuda:0")
    runtime.run(images(1))
    runtime.close()
    runtime.close()
    assert not cuda.live
    with pytest.raises(EngineError, match="closed"):
        runtime.run(images(1))


@pytest.mark.parametrize("version", [(10, 13, 2, 6), (11, 0, 0, 114), (8, 6, 1, 6)])
def test_an_engine_of_another_version(trt: FakeTensorRt, tmp_path: Path, version: tuple[int, ...]) -> None:
    path = engine_file(tmp_path / "t.engine", version=version)
    text = r"\.".join(map(str, version))
    with pytest.raises(
        ModelFileError, match=rf"built by TensorRT {text}, and 10\.13\.3\.9 is.*Build it again"
    ):
        open_runtime(path, device="cuda")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "0 bytes"), (b"PK\3\4" + bytes(100), "begins with b'PK"), (b"ftrt" + bytes(20), "24 bytes")],
)
def test_files_that_are_no_engines(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.engine"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=rf"not a TensorRT engine \(.*{message}"):
        open_runtime(path, device="cuda")


def test_a_damaged_engine(trt: FakeTensorRt, cuda: FakeCuda, tmp_path: Path) -> None:
    path = engine_file(tmp_path / "t.engine", body=b"damaged")
    with pytest.raises(
        ModelFileError,
        match=r"cannot load it on GeForce GTX 1660 Ti \(sm75\): Serialization assertion failed",
    ):
        open_runtime(path, device="cuda")
    assert cuda.streams == 0


def test_no_gpu(trt: FakeTensorRt, cuda: FakeCuda, tmp_path: Path) -> None:
    path = engine_file(tmp_path / "t.engine")
    with pytest.raises(
        DeviceError, match=r"'cuda:2' cannot be had: this machine has 1 \(cuda:0 to cuda:0\)"
    ):
        open_runtime(path, device="cuda:2")
    cuda.count_error = 35
    with pytest.raises(
        DeviceError,
        match=r"'cuda:0' cannot be had: CUDA driver version is insufficient .*one older than CUDA 13.* or "
        r"pip install 'cuda-python<13'\)\. TensorRT engines run",
    ):
        open_runtime(path, device="cuda")
    cuda.count_error = 100
    with pytest.raises(
        DeviceError, match=r"had: no CUDA-capable device is detected\. TensorRT engines run"
    ):
        open_runtime(path, device="cuda")
    with pytest.raises(DeviceError, match="unknown device 'cpu'; expected one of cuda"):
        open_runtime(path)


def test_no_binding(trt: FakeTensorRt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda.bindings.runtime", "pycuda.driver"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"'cuda-python'.*pip install 'rtmpose-sdk\[tensorrt\]'"):
        open_runtime(engine_file(tmp_path / "t.engine"), device="cuda")


def test_no_engine_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtmpose_sdk.runtimes.tensorrt_module._is_there", lambda name: False)
    for tag, extra in ((b"ftrt", "tensorrt"), (b"vtrt", "tensorrt-rtx")):
        with pytest.raises(MissingExtraError, match=rf"pip install 'rtmpose-sdk\[{extra}\]'"):
            open_runtime(engine_file(tmp_path / "t.engine", tag), device="cuda")


class TestRtx:
    """TensorRT for RTX: another tag, its own graphs, and a check of the header."""

    @pytest.fixture
    def rtx(self, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
        fake = FakeTensorRt(cuda, "1.7.1.116", rtx=True)
        monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake)
        return fake

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return engine_file(tmp_path / "t.engine", b"vtrt", (1, 7, 1, 116))

    def test_it_records_by_itself(self, rtx: FakeTensorRt, cuda: FakeCuda, file: Path) -> None:
        with open_runtime(file, device="cuda") as runtime:
            assert runtime.engine == "tensorrt-rtx 1.7.1.116"
            assert isinstance(runtime, TensorRtRuntime)
            for seed, batch in enumerate((2, 2, 2, 5, 2)):
                check(runtime, batch, seed)
            assert [config.cuda_graph_strategy for config in rtx.configs] == ["whole"]
            assert not cuda.graphs

    def test_another_gpu(self, rtx: FakeTensorRt, file: Path) -> None:
        rtx.validity = (2, 2)
        with pytest.raises(DeviceError, match=r"built for GeForce GTX 1660 Ti \(sm75\).*--target sm75$"):
            open_runtime(file, device="cuda")

    def test_a_gpu_that_nothing_is_built_for(
        self, rtx: FakeTensorRt, cuda: FakeCuda, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rtx.validity = (2, 2)  # as TensorRT for RTX 1.7.1 answered on an H100 for sm80, sm89 and no target
        properties = SimpleNamespace(name=b"NVIDIA H100 80GB HBM3", major=9, minor=0)
        monkeypatch.setattr(cuda, "cudaGetDeviceProperties", lambda number: (0, properties))
        with pytest.raises(DeviceError, match=r"H100 80GB HBM3 \(sm90\)\. tensorrt-rtx .* sm75, sm86 only"):
            open_runtime(file, device="cuda")

    def test_another_reason(self, rtx: FakeTensorRt, file: Path) -> None:
        rtx.validity = (2, 1)
        with pytest.raises(ModelFileError, match=r"refuses it on .*VERSION_MISMATCH.*Build it again"):
            open_runtime(file, device="cuda")

    def test_slower_than_it_could_be(self, rtx: FakeTensorRt, file: Path) -> None:
        rtx.validity = (1, 0)
        with (
            pytest.warns(UserWarning, match="slower than it could be"),
            open_runtime(file, device="cuda") as r,
        ):
            r.run(images(1))

    def test_a_cut_file(self, file: Path) -> None:
        file.write_bytes(file.read_bytes() + b"more")
        with pytest.raises(ModelFileError, match="is damaged: it has 68 bytes and says that it has 64"):
            read_engine_header(file)


class FakePyCuda(ModuleType):
    """`pycuda.driver` over the same memory."""

    class Error(Exception):
        pass

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__("pycuda.driver")
        self.cuda, self.depth = cuda, 0
        outer = self

        class Device:
            def __init__(self, number: int) -> None: ...
            @staticmethod
            def count() -> int:
                return 1

            def name(self) -> str:
                return "Orin"

            def compute_capability(self) -> tuple[int, int]:
                return (8, 7)

            def retain_primary_context(self) -> Any:
                return SimpleNamespace(push=outer._push)

        class Event:
            def __init__(self) -> None:
                _, self.number = cuda.cudaEventCreate()

            def record(self, stream: Any) -> None:
                cuda.cudaEventRecord(self.number, stream.handle)

            def synchronize(self) -> None:
                cuda.cudaEventSynchronize(self.number)

            def time_till(self, last: Any) -> float:
                return cuda.cudaEventElapsedTime(self.number, last.number)[1]

        self.Device, self.Event = Device, Event
        self.Context = SimpleNamespace(pop=self._pop)

    def _push(self) -> None:
        self.depth += 1
        self.cuda.contexts.append(1000)

    def _pop(self) -> None:
        self.depth -= 1
        self.cuda.contexts.pop()

    def init(self) -> None: ...

    def Stream(self) -> Any:  # noqa: N802
        assert self.depth == 1
        return SimpleNamespace(handle=77, synchronize=lambda: self.cuda.cudaStreamSynchronize(77))

    def mem_alloc(self, size: int) -> Any:
        assert self.depth == 1
        if size > self.cuda.device_bytes:
            raise self.Error("cuMemAlloc failed: out of memory")
        _, address = self.cuda.cudaMalloc(size)

        class Allocation(int):
            def free(self) -> None:
                fake.cudaFree(int(self))

        fake = self.cuda
        return Allocation(address)

    def pagelocked_empty(self, size: int, dtype: type) -> np.ndarray:
        return np.empty(size, dtype)

    def memcpy_htod_async(self, address: int, host: np.ndarray, stream: Any) -> None:
        target = self.cuda.block(address)
        self.cuda.add(lambda: target.__setitem__(slice(host.size), host))

    def memcpy_dtoh_async(self, host: np.ndarray, address: int, stream: Any) -> None:
        source = self.cuda.block(address)
        self.cuda.add(lambda: host.__setitem__(slice(None), source[: host.size]))


def test_pycuda_where_only_that_is_there(
    trt: FakeTensorRt, cuda: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pycuda = FakePyCuda(cuda)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", pycuda)
    with open_runtime(engine_file(tmp_path / "t.engine"), device="cuda") as runtime:
        assert isinstance(runtime, TensorRtRuntime)
        assert runtime.metadata["gpu"] == "Orin (sm87)"
        assert not runtime.records
        for seed, batch in enumerate((2, 2, 2, 5, 1, 12)):
            check(runtime, batch, seed)
        assert runtime.by_events(np.zeros((2, 4, 3, 3), np.uint8))() == pytest.approx(0.004)
    with open_runtime(engine_file(tmp_path / "t.engine"), device="cuda") as runtime:
        cuda.device_bytes = 0
        with pytest.raises(
            EngineError, match=r"^t\.engine: CUDA: failed on cuda:0: cuMemAlloc failed: out of memory$"
        ):
            runtime.run(images(3))
    assert not cuda.live
    assert pycuda.depth == 0


def _no_real_gpu() -> bool:
    bindings = pytest.importorskip("cuda.bindings.runtime")
    error, count = bindings.cudaGetDeviceCount()
    return bool(int(error)) or not count


def _real_engine(path: Path) -> Path:
    """A small engine of the installed TensorRT for RTX."""
    pytest.importorskip("tensorrt_rtx_bindings")
    pytest.importorskip("torch")
    onnx = pytest.importorskip("onnx")
    from rtmpose_sdk.card import CARD_KEY, ModelCard
    from rtmpose_sdk.exporters.tensorrt import write_tensorrt
    from rtmpose_sdk.zoo import find_model

    model = onnx.load(str(find_model("rtmdet-nano-own")))
    entries = {entry.key: entry.value for entry in model.metadata_props}
    card = ModelCard.from_json(entries[CARD_KEY], "test")
    write_tensorrt(model, card, path, targets=("sm86",))
    return path


def test_a_real_engine_where_there_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _real_engine(tmp_path / "d.engine")
    if not _no_real_gpu():
        pytest.skip("there is a GPU here")
    with pytest.raises(DeviceError, match=r"'cuda:0' cannot be had: .*on a CPU run the ONNX file"):
        open_runtime(path, device="cuda")
    content = path.read_bytes()
    path.write_bytes(content[:100_000])
    with pytest.raises(ModelFileError, match=f"is damaged: it has 100000 bytes.*has {len(content)}"):
        open_runtime(path, device="cuda")
    path.write_bytes(content[:25] + bytes([6]) + content[26:])
    with pytest.raises(ModelFileError, match=r"built by TensorRT for RTX 1\.6\..*is installed"):
        open_runtime(path, device="cuda")
    # A driver that promises a GPU which the engine does not find: its own answer is what is said.
    path.write_bytes(content)
    fake = _installed(FakeCuda(), monkeypatch)
    with pytest.raises(ModelFileError, match=r"refuses it on GeForce.*CUDA driver"):
        open_runtime(path, device="cuda")
    assert fake.streams == 0

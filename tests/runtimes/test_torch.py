"""The torch runtime: what it computes in, and CUDA graphs against a stand-in for CUDA."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rtmpose_sdk.errors import DeviceError
from rtmpose_sdk.runtimes import Device, open_runtime
from rtmpose_sdk.runtimes.torch import MAX_GRAPHS, OUTPUTS_KEY, TorchRuntime, without_tf32


class Network(torch.nn.Module):
    """Twice the input, and its sum."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x * 2, x.sum(dim=1)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torch") / "m.pt2"
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(Network(), (torch.zeros(2, 3),), dynamic_shapes=({0: batch},))
    torch.export.save(program, str(path), extra_files={OUTPUTS_KEY: "double,sum", "rtmpose_card": ""})
    return path


@pytest.mark.parametrize(
    ("precision", "arithmetic"), [(None, "fp32"), ("fp32", "fp32"), ("bf16", "bf16 by autocast")]
)
def test_it_says_what_it_computes_in(file: Path, precision: str | None, arithmetic: str) -> None:
    with open_runtime(file, threads=1, precision=precision) as runtime:
        assert runtime.precision == precision
        assert runtime.arithmetic == arithmetic
        assert f"1 threads, {arithmetic}: x: float32 (N,3)" in repr(runtime)


def test_each_runtime_computes_with_its_own_threads(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch has one number for all; one more runtime must not change the others, nor the caller's."""
    used: list[int] = []
    forward = TorchRuntime._forward

    def noted(self: TorchRuntime, tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
        used.append(torch.get_num_threads())
        return forward(self, tensor)

    monkeypatch.setattr(TorchRuntime, "_forward", noted)
    before, x = torch.get_num_threads(), np.zeros((1, 3), np.float32)
    torch.set_num_threads(3)
    try:
        with open_runtime(file, threads=1) as one, open_runtime(file, threads=2) as two:
            assert (one.threads, two.threads) == (1, 2)
            for runtime in (one, two, one):
                runtime.run(x)
            with ThreadPoolExecutor(1) as pool:  # a thread has a number of its own
                pool.submit(one.run, x).result()
        assert used == [1, 2, 1, 1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("why", ["The NVIDIA driver on your\nsystem is too old", "CUDA out of memory."])
def test_a_gpu_that_does_not_take_the_weights(
    file: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    def refuse(program: object, place: object) -> None:
        raise RuntimeError(why)

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr("torch.export.passes.move_to_device_pass", refuse)
    with pytest.raises(
        DeviceError, match=r"^m\.pt2: torch 2\S+ cannot put it on cuda:0: (The|CUDA) [^\n]*$"
    ):
        open_runtime(file, "cuda")


class Classifier(torch.nn.Module):
    """A product with weights inside, and one that is an output."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.last = torch.nn.Linear(8, 8), torch.nn.Linear(8, 32)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inner = self.inner(x)
        return inner * 1.0, self.last(inner)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Classifier, torch.Tensor]:
    """A file, its network and an input."""
    torch.manual_seed(0)
    network, x = Classifier().eval(), torch.randn(4, 8)
    path = tmp_path_factory.mktemp("classifier") / "c.pt2"
    program = torch.export.export(network, (x,))
    torch.export.save(program, str(path), extra_files={OUTPUTS_KEY: "inner,last", "rtmpose_card": ""})
    return path, network, x


def test_classifiers_are_not_rounded_to_half_precision(
    classifier: tuple[Path, Classifier, torch.Tensor],
) -> None:
    path, network, x = classifier
    with open_runtime(path, threads=1, precision="bf16") as runtime:
        inner, last = (torch.from_numpy(value) for value in runtime.run(x.numpy()))
    assert torch.equal(inner, inner.bfloat16().float())  # this one is in bf16
    assert not torch.equal(last, last.bfloat16().float())
    with torch.no_grad():
        assert torch.allclose(last, network.last(inner), atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_autocast_of_the_caller_changes_nothing(
    classifier: tuple[Path, Classifier, torch.Tensor], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor are weights taken from its cache, which goes with it while recorded graphs stay."""
    path, _, x = classifier
    with open_runtime(path, threads=1, precision=precision) as runtime:
        assert isinstance(runtime, TorchRuntime)
        wanted, module, cached = runtime.run(x.numpy()), runtime._module, []

        def noted(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
            cached.append(torch.is_autocast_cache_enabled())
            return module(tensor)

        monkeypatch.setattr(runtime, "_module", noted)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = runtime.run(x.numpy())
            assert torch.is_autocast_cache_enabled()
    for value, want in zip(outputs, wanted, strict=True):
        np.testing.assert_array_equal(value, want)
    assert cached == [False]


def _tf32() -> tuple[str, str]:
    return torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision


@pytest.mark.parametrize("kind", ["older", "newer", "untouched"])
def test_fp32_on_a_gpu_is_not_tf32(kind: str) -> None:
    """Whichever way other code has switched it on, and it is on again afterwards."""
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    if kind == "older":
        torch.set_float32_matmul_precision("high")
    elif kind == "newer":
        matmul.fp32_precision = conv.fp32_precision = "tf32"
    try:
        before = _tf32()
        assert before[1] == "tf32"  # torch's own default for convolutions
        with contextlib.suppress(ZeroDivisionError), without_tf32(torch):
            assert "tf32" not in _tf32()
            _ = 1 / 0
        assert [value == "tf32" for value in _tf32()] == [value == "tf32" for value in before]
    finally:
        matmul.fp32_precision = "none"
        torch.set_float32_matmul_precision("highest")


def test_tf32_is_off_for_each_of_several_threads() -> None:
    """One that ends gives the other neither TF32 back, nor the caller none of it."""
    before, seen = _tf32(), []
    within, ended = threading.Event(), threading.Event()

    def other() -> None:
        with without_tf32(torch):
            within.set()
            ended.wait(10)
            seen.append(_tf32())

    with ThreadPoolExecutor(1) as pool:
        with without_tf32(torch):
            running = pool.submit(other)
            within.wait(0.2)
        ended.set()
        running.result()
    assert "tf32" not in seen[0]
    assert [value == "tf32" for value in _tf32()] == [value == "tf32" for value in before]


class FakeGraph:
    replays = 0
    meet: threading.Barrier | None = None
    """Where two that replay at once meet."""

    def replay(self) -> None:
        """As a real one: the same memory, read and written again."""
        FakeGraph.replays += 1
        if self.meet is not None:
            with contextlib.suppress(threading.BrokenBarrierError):
                self.meet.wait(0.2)
        with torch.inference_mode():
            for own, value in zip(self.outputs, Network()(self.source), strict=True):
                own.copy_(value)


class FakeCuda:
    """`torch.cuda` on a CPU; keeps the device that is current, and what is recorded."""

    CUDAGraph = FakeGraph

    def __init__(self) -> None:
        self.current = 0
        self.recording: FakeGraph | None = None
        self.forbids_all = self.broken = False
        self.streams: list[FakeStream] = []

    def Stream(self, place: int) -> FakeStream:  # noqa: N802 - torch's name
        self.streams.append(FakeStream(place))
        return self.streams[-1]

    def current_stream(self, place: int) -> FakeStream:
        return FakeStream(place)

    @contextlib.contextmanager
    def device(self, place: Any) -> Iterator[None]:
        before, self.current = self.current, place.number
        yield
        self.current = before

    @contextlib.contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        yield

    @contextlib.contextmanager
    def graph(
        self, graph: FakeGraph, stream: FakeStream | None = None, capture_error_mode: str = "global"
    ) -> Iterator[None]:
        assert stream is not None, "torch's own stream is of the device that recorded first"
        assert stream.place.number == self.current == 1
        assert self.recording is None, "torch records one graph at a time"
        self.recording, self.forbids_all = graph, capture_error_mode == "global"
        yield
        self.recording = None
        if self.broken:
            raise RuntimeError("operation failed due to a previous error during capture")

    def malloc_elsewhere(self) -> None:
        """`cudaMalloc` in another thread, by whomever."""
        self.broken = self.recording is not None and self.forbids_all


class FakeStream:
    def __init__(self, place: Any) -> None:
        self.place = place

    def wait_stream(self, other: FakeStream) -> None: ...


class FakeTorch:
    def __init__(self) -> None:
        self.cuda = FakeCuda()

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


class FakePlace(Device):
    """cuda:1; tensors are put to where it is not looked."""


@pytest.fixture
def runtime(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TorchRuntime]:
    with open_runtime(file, threads=1) as opened:
        assert isinstance(opened, TorchRuntime)
        fake, place = FakeTorch(), FakePlace("cuda", 1)
        opened._torch, opened._place, opened.device = fake, place, Device("cuda", 1)
        monkeypatch.setattr(torch.Tensor, "to", lambda self, where: self.clone())
        monkeypatch.setattr(torch.Tensor, "cpu", torch.Tensor.clone)
        forward, module = opened._forward, opened._module

        def in_fp32(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
            assert "tf32" not in _tf32()
            return module(tensor)

        opened._module = in_fp32

        def noted(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
            assert fake.cuda.current == 1
            outputs = forward(tensor)
            if fake.cuda.recording is not None:
                fake.cuda.recording.source, fake.cuda.recording.outputs = tensor, outputs
            return outputs

        opened._forward = noted  # type: ignore[method-assign]
        yield opened


def test_graphs_are_few_and_of_the_right_device(runtime: TorchRuntime) -> None:
    rng = np.random.default_rng(0)
    before = FakeGraph.replays
    for _ in range(2):
        for batch in range(1, MAX_GRAPHS + 4):
            given = rng.normal(size=(batch, 3)).astype(np.float32)
            double, total = runtime.run(given)
            np.testing.assert_allclose(double, 2 * given, rtol=1e-6)
            np.testing.assert_allclose(total, given.sum(axis=1), rtol=1e-5, atol=1e-6)
    assert len(runtime._graphs) == MAX_GRAPHS
    assert FakeGraph.replays - before == 2 * MAX_GRAPHS  # the others run kernel by kernel
    assert runtime._torch.cuda.current == 0  # the caller's device is current again


def test_other_threads_may_use_cuda_while_a_graph_is_recorded(
    runtime: TorchRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, cuda = runtime._forward, runtime._torch.cuda

    def disturbed(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
        cuda.malloc_elsewhere()
        return forward(tensor)

    monkeypatch.setattr(runtime, "_forward", disturbed)
    double, _ = runtime.run(np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(double, np.full((2, 3), 2))


def test_two_threads_are_not_in_one_graph_at_once(
    runtime: TorchRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [np.full((2, 3), value, np.float32) for value in (1, 2)]
    runtime.run(given[0])
    monkeypatch.setattr(FakeGraph, "meet", threading.Barrier(2))
    with ThreadPoolExecutor(2) as pool:
        for value, (double, _) in zip(given, pool.map(runtime.run, given), strict=True):
            np.testing.assert_array_equal(double, 2 * value)

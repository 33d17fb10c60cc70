"""PyTorch's own exported programs (`.pt2`): the reference, and a baseline on GPUs."""

from __future__ import annotations

import contextlib
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from rtmpose_sdk.errors import DeviceError, EngineError, MissingExtraError, ModelFileError
from rtmpose_sdk.runtimes.base import Array, Runtime, TensorSpec

OUTPUTS_KEY = "rtmpose_outputs"
CARD_KEY = "rtmpose_card"
"""Files inside the program's archive: names of the outputs, joined by commas, and the model card."""
MAX_GRAPHS = 8
"""Shapes that get a recorded graph; each keeps its inputs, outputs and what lies between them in memory."""
_WARM_UP_RUNS = 3
"""Of a shape, before its CUDA graph is recorded: kernels are chosen in the first ones."""
_alone = threading.RLock()
"""Held for what torch has once in a process: its TF32 switches, and the graph that is being recorded."""


class TorchRuntime(Runtime):
    """An exported program of torch; in fp16 and bf16 by autocast, as in training, but for the classifiers.

    On a GPU the first runs of a shape are recorded as a CUDA graph, and replayed from then on, for the
    first `MAX_GRAPHS` shapes. fp32 is fp32: TF32, which has fp16's eleven bits, is off while it runs.
    """

    device_kinds = ("cpu", "cuda")
    precisions = ("fp32", "fp16", "bf16")

    def _activate(self) -> None:
        try:
            import torch
        except ImportError:
            raise MissingExtraError("torch", "export", "Running a PyTorch program") from None
        self._torch: Any = torch
        by_autocast = self.precision in ("fp16", "bf16")
        self.arithmetic = f"{self.precision} by autocast" if by_autocast else "fp32"
        self.engine = f"torch {torch.__version__}"
        if self.device.kind == "cuda" and self.device.number >= torch.cuda.device_count():
            raise DeviceError(
                f"device '{self.device}' is not there for torch {torch.__version__}; it sees "
                f"{torch.cuda.device_count()} CUDA devices. A CPU build has none: install torch for CUDA"
            )
        if self.device.kind == "cpu":
            if self.precision == "fp16":
                raise DeviceError(
                    "precision 'fp16' was asked for, but torch's autocast on a CPU leaves most of a "
                    "network in fp32; expected fp32 or bf16 there, or device='cuda'"
                )
            with _threads(torch, self.threads):
                self.threads = torch.get_num_threads()
        self._place = torch.device("cpu" if self.device.kind == "cpu" else f"cuda:{self.device.number}")
        self._check_archive()
        extra = dict.fromkeys((OUTPUTS_KEY, CARD_KEY), "")
        try:
            with warnings.catch_warnings():
                # torch 2.11 says so of its own buffers
                warnings.filterwarnings("ignore", "The given buffer is not writable")
                program = torch.export.load(str(self.path), extra_files=extra)
        except Exception as error:  # noqa: BLE001 - torch raises kinds of many libraries
            raise self._unreadable(_one_line(error)) from None
        if not extra[OUTPUTS_KEY]:
            raise ModelFileError(
                f"{self.path}: an exported program of torch, but not one of rtmpose-export: its outputs "
                "have no names"
            )
        self.inputs, self.outputs = _specs(program, extra[OUTPUTS_KEY].split(","))
        self.metadata = {CARD_KEY: extra[CARD_KEY]}
        if self.device.kind == "cuda":
            from torch.export.passes import move_to_device_pass

            try:
                program = move_to_device_pass(program, self._place)
            except RuntimeError as error:  # torch begins to use the GPU here: an old driver, full memory
                raise DeviceError(
                    f"{self.path.name}: {self.engine} cannot put it on {self.device}: {_one_line(error)}"
                ) from None
        self._module: Any = program.module()
        if by_autocast:
            _outputs_in_fp32(torch, self._module)
        self._graphs: dict[tuple[int, ...], tuple[Any, Any, Any]] = {}
        self._turn = threading.Lock()  # a graph's input and outputs serve one call at a time

    def _check_archive(self) -> None:
        """Torch prints a traceback of a file that is cut short, and computes with damaged weights."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                damaged = archive.testzip()
        except zipfile.BadZipFile as error:
            raise self._unreadable(f"{error}. It is cut short, or none: copy or export it again") from None
        if damaged is not None:
            raise self._unreadable(f"{damaged} in it is damaged. Copy or export it again")

    def _unreadable(self, why: str) -> ModelFileError:
        return ModelFileError(f"{self.path}: {self.engine} cannot open it as an exported program: {why}")

    @contextlib.contextmanager
    def _arithmetic(self) -> Iterator[None]:
        """Within it torch computes in what was asked for, also where the caller is in an autocast.

        Without autocast's cache of converted weights: the caller's ends with the caller's autocast, and a
        recorded graph would go on reading it.
        """
        torch, kind = self._torch, self.device.kind
        halves: dict[str | None, Any] = {"fp16": torch.float16, "bf16": torch.bfloat16}
        half = halves.get(self.precision)
        fp32 = without_tf32(torch) if half is None and kind == "cuda" else contextlib.nullcontext()
        with torch.autocast(kind, half, enabled=half is not None, cache_enabled=False), fp32:
            yield

    def _forward(self, tensor: Any) -> tuple[Any, ...]:
        with self._torch.inference_mode(), self._arithmetic():
            outputs = self._module(tensor)
        return outputs if isinstance(outputs, tuple) else (outputs,)

    def _infer(self, array: Array) -> tuple[Array, ...]:
        try:
            tensor = self._torch.from_numpy(array)
            if self.device.kind == "cpu":
                with _threads(self._torch, self.threads):
                    return tuple(v.float().numpy() for v in self._forward(tensor))
            with self._turn, self._torch.cuda.device(self._place):
                return self._on_gpu(tensor)
        except RuntimeError as error:
            raise EngineError(f"{self.path.name}: torch failed: {_one_line(error)}") from None

    def _on_gpu(self, tensor: Any) -> tuple[Array, ...]:
        """One run on the current device: of a recorded graph where the shape has one, or gets one."""
        shape = tuple(tensor.shape)
        if shape not in self._graphs and len(self._graphs) < MAX_GRAPHS:
            with _alone:
                self._graphs[shape] = self._recorded(tensor.to(self._place))
        if shape not in self._graphs:
            return tuple(v.float().cpu().numpy() for v in self._forward(tensor.to(self._place)))
        graph, source, outputs = self._graphs[shape]
        source.copy_(tensor)
        graph.replay()
        return tuple(v.cpu().numpy() for v in outputs)

    def _recorded(self, source: Any) -> tuple[Any, Any, Any]:
        """A graph, its input and its outputs.

        On a stream of this device: torch's own for recording is of the device that recorded first. What
        other threads do meanwhile (allocate memory, wait for a stream) is theirs: in torch's own mode the
        recording would end with an error, and so would their call.
        """
        cuda = self._torch.cuda
        stream = cuda.Stream(self._place)
        stream.wait_stream(cuda.current_stream(self._place))
        with cuda.stream(stream):
            for _ in range(_WARM_UP_RUNS):
                self._forward(source)
        cuda.current_stream(self._place).wait_stream(stream)
        graph = cuda.CUDAGraph()
        with cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            outputs = tuple(v.float() for v in self._forward(source))
        return graph, source, outputs

    def by_events(self, array: Array) -> Callable[[], float] | None:
        """CUDA events around copies and network; None on a CPU."""
        if self.device.kind == "cpu":
            return None
        cuda = self._torch.cuda

        def call() -> float:
            first, last = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
            with cuda.device(self._place):
                first.record()
                self._infer(array)
                last.record()
                last.synchronize()
            return float(first.elapsed_time(last)) / 1000

        return call

    def _deactivate(self) -> None:
        self._graphs = {}
        self._module = None


def _outputs_in_fp32(torch: Any, module: Any) -> None:
    """Products with weights that are outputs leave autocast: SimCC's bins tie in half precision."""

    def product(x: Any, weight: Any, bias: Any = None) -> Any:
        with torch.autocast(x.device.type, enabled=False):
            return torch.nn.functional.linear(x.float(), weight, bias)

    (end,) = (node for node in module.graph.nodes if node.op == "output")
    for node in end.all_input_nodes:
        if node.target is torch.ops.aten.linear.default:
            node.target = product
    module.recompile()


@contextlib.contextmanager
def _threads(torch: Any, count: int) -> Iterator[None]:
    """So many threads compute within it; torch has one number for all programs, and it comes back."""
    before = torch.get_num_threads()
    if before == count:
        yield
        return
    try:
        torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def without_tf32(torch: Any) -> Iterator[None]:
    """fp32 products and convolutions on a GPU are fp32; what other code has set comes back."""
    backends = torch.backends
    with _alone:
        switches = [
            _tf32_switch(backends.cudnn, getattr(backends.cudnn, "conv", None)),
            _tf32_switch(backends.cuda.matmul, backends.cuda.matmul),
        ]
        try:
            for place, name, off, _ in switches:
                setattr(place, name, off)
            yield
        finally:
            for place, name, _, before in switches:
                setattr(place, name, before)


def _tf32_switch(place: Any, newer: Any) -> tuple[Any, str, Any, Any]:
    """Object and name of a switch, what turns TF32 off, and what it is now.

    Torch has two kinds, and does not let the older one be asked where the newer one was set otherwise.
    """
    try:
        return place, "allow_tf32", False, place.allow_tf32
    except RuntimeError:
        return newer, "fp32_precision", "ieee", newer.fp32_precision


def _specs(program: Any, names: list[str]) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of an exported program; sizes that are symbols are open."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    signature = program.graph_signature
    inputs = tuple(_spec(name, values[name]) for name in signature.user_inputs)
    outputs = zip(names, signature.user_outputs, strict=True)
    return inputs, tuple(_spec(name, values[own]) for name, own in outputs)


def _spec(name: str, value: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return TensorSpec(name, str(value.dtype).removeprefix("torch."), shape)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]

"""ncnn (`.param` with its `.bin`): ARM and x86 processors, and Vulkan."""

from __future__ import annotations

import functools
import platform
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from rtmpose_sdk.errors import DeviceError, EngineError, MissingExtraError, ModelFileError
from rtmpose_sdk.runtimes.base import Array, Runtime, TensorSpec

_MAGIC = "7767517"
"""First line of every `.param`."""
_INT8_TERM = {"Convolution": "8", "ConvolutionDepthWise": "8", "InnerProduct": "8", "Gemm": "18"}
"""Kinds of layers that compute in int8, and the key of the parameter that says so."""
_OPTIONS = {
    "fp32": (),
    "fp16-storage": ("use_fp16_packed", "use_fp16_storage"),
    "fp16": ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"),
    "bf16": ("use_bf16_packed", "use_bf16_storage"),
    "int8": ("use_int8_inference", "use_int8_packed", "use_int8_storage", "use_int8_arithmetic"),
}
"""Precision → what is switched on in ncnn; every other of these is off, whatever ncnn's default is."""
_HIGHER = {"fp16-storage": "fp32", "fp16": "fp16-storage", "bf16": "fp32"}
"""What a device that lacks a precision computes in instead."""


class _Layer(NamedTuple):
    """A line of a `.param`: kind, name, and parameters by key."""

    kind: str
    name: str
    parameters: dict[str, str]


class NcnnRuntime(Runtime):
    """An ncnn network.

    `precision` is how it computes: "fp32"; "fp16-storage" (what layers hand on is fp16, sums are fp32);
    "fp16" (sums too); "bf16" (storage; sums are fp32). Layers that the file's feature masks keep out
    of it stay in fp32. None is fp32, or "int8" for a file with int8 layers, which runs in nothing else.

    ncnn has no batches: a run takes any number of samples, and the threads share them out. Each number of
    threads for a sample has a copy of the weights, made when it is first needed.
    """

    device_kinds = ("cpu", "vulkan", "gpu")
    precisions = tuple(_OPTIONS)

    def _activate(self) -> None:
        try:
            import ncnn
        except ImportError:
            raise MissingExtraError("ncnn", "ncnn", "Running an ncnn model") from None
        engine: Any = ncnn
        self.engine = f"ncnn {engine.__version__}"
        weights = self.path.with_suffix(".bin")
        if not weights.is_file():
            raise ModelFileError(f"{self.path}: {weights.name} is missing beside it; copy both files")
        self._files = (self.path.absolute(), weights.absolute())
        self._states = self._stat()
        layers = self._read_param()
        unknown = sorted({layer.kind for layer in layers if engine.layer_to_index(layer.kind) < 0})
        if unknown:
            raise ModelFileError(
                f"{self.path}: {self.engine} has no layer {', '.join(unknown)}; update ncnn, or export "
                "the model again with rtmpose-export"
            )
        self._engine = engine
        self._check_device()
        self._precision = self._choose_precision(layers)
        self.precision = self._precision  # reports and `eval --resume` have ncnn's by name
        self.arithmetic = "int8, the rest fp32" if self._precision == "int8" else self._precision
        width, height, channels = self._input_size(layers)
        self._nets = {self.threads: self._load(self.threads)}
        net = self._nets[self.threads]
        self._pool = ThreadPoolExecutor(self.threads) if self._shares_samples() else None
        self._input = net.input_names()[0]
        self._names = list(net.output_names())
        self.inputs = (TensorSpec(self._input, "float32", (None, channels, height, width)),)
        # Shapes are not in the file: the first run tells them, and shows that the file does run.
        probe = np.random.default_rng(0).normal(size=(channels, height, width)).astype(np.float32)
        found = self._one(net, probe)
        self._shapes = [output.shape for output in found]
        self.outputs = tuple(
            TensorSpec(name, "float32", (None, *output.shape))
            for name, output in zip(self._names, found, strict=True)
        )
        self._check_precision(probe, found)

    def _read_param(self) -> list[_Layer]:
        """The file's layers; ncnn itself crashes on some damaged files, so it is checked before."""
        try:
            lines = self.path.read_text("ascii").split("\n")
            if lines[0].strip() != _MAGIC:
                raise ValueError("its first line is not 7767517")
            layer_count, blob_count = map(int, lines[1].split())
            rows = [line.split() for line in lines[2:] if line.strip()]
            made: set[str] = set()
            layers = []
            for row in rows:
                inputs, outputs = int(row[2]), int(row[3])
                blobs = row[4 : 4 + inputs + outputs]
                if len(blobs) != inputs + outputs or not set(blobs[:inputs]) <= made:
                    raise ValueError(f"the inputs of layer {row[1]} are not there")
                made |= set(blobs[inputs:])
                pairs = [pair.split("=", 1) for pair in row[4 + inputs + outputs :]]
                layers.append(_Layer(row[0], row[1], dict(pairs)))
            if len(layers) != layer_count or len(made) != blob_count:
                raise ValueError(
                    f"{layer_count} layers and {blob_count} blobs are announced, "
                    f"{len(layers)} and {len(made)} are there"
                )
        except (ValueError, IndexError) as error:
            raise ModelFileError(
                f"{self.path}: not a whole ncnn .param file ({error}); copy it again"
            ) from None
        return layers

    def _input_size(self, layers: list[_Layer]) -> tuple[int, int, int]:
        """(width, height, channels) of the one input."""
        found = [layer.parameters for layer in layers if layer.kind == "Input"]
        try:
            sizes = [tuple(int(p.get(key, 0)) for key in "012") for p in found]
        except ValueError as error:
            raise ModelFileError(f"{self.path}: its Input layer's size is no number ({error})") from None
        if len(sizes) != 1 or min(sizes[0]) < 1:
            raise ModelFileError(
                f"{self.path}: its Input layers have sizes {sizes}; expected one of (width, height, "
                "channels). rtmpose-export writes it; by hand, add 0=WIDTH 1=HEIGHT 2=3 to the Input line"
            )
        width, height, channels = sizes[0]
        return width, height, channels

    def _check_device(self) -> None:
        if self.device.kind == "cpu":
            return
        count = self._engine.get_gpu_count()
        if self.device.number >= count:
            raise DeviceError(
                f"device '{self.device}' is not there for ncnn; it finds {count} Vulkan devices "
                "(is the driver installed? `vulkaninfo --summary` lists them)"
            )

    def _choose_precision(self, layers: list[_Layer]) -> str:
        """What was asked for, or what the file says."""
        is_int8 = any(layer.parameters.get(_INT8_TERM.get(layer.kind, ""), "0") != "0" for layer in layers)
        wanted = self.precision or ("int8" if is_int8 else "fp32")
        if is_int8 != (wanted == "int8"):
            holds = "int8 layers, which run in nothing else" if is_int8 else "no int8 layers"
            raise DeviceError(
                f"precision '{wanted}' was asked for, but {self.path.name} has {holds}; export it again "
                "with --precision, or leave the precision out"
            )
        if is_int8 and self.device.kind != "cpu":
            raise DeviceError(f"{self.path.name} is int8, which ncnn computes on the CPU only")
        return wanted

    def _stat(self) -> list[tuple[int, ...]]:
        """What tells that a file is another one by now."""
        found = [file.stat() for file in self._files if file.is_file()]
        return [(one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns) for one in found]

    def _load(self, threads: int, precision: str | None = None) -> Any:
        """The network for that many threads: layers lay their weights out for them, once."""
        if self._stat() != self._states:
            raise ModelFileError(
                f"{self.path}: it or its .bin was changed, moved or deleted since it was opened, and is "
                f"read again for {threads} threads now; open it again"
            )
        net = self._engine.Net()
        for names in _OPTIONS.values():
            for name in names:
                setattr(net.opt, name, name in _OPTIONS[precision or self._precision])
        net.opt.num_threads = threads
        if self.device.kind != "cpu":
            net.opt.use_vulkan_compute = True
            net.set_vulkan_device(self.device.number)
        for load, file in zip((net.load_param, net.load_model), self._files, strict=True):
            if load(str(file)) != 0:
                raise ModelFileError(
                    f"{file}: {self.engine} cannot read it on {self.device}: it is damaged or cut short; "
                    "copy it again"
                )
        return net

    def _check_precision(self, probe: Array, found: list[Array]) -> None:
        """Where a device lacks a precision, ncnn computes in a higher one without a word."""
        higher = _HIGHER.get(self._precision)
        if higher is None:
            return
        net = self._load(self.threads, higher)
        if all(map(np.array_equal, found, self._one(net, probe))):
            raise DeviceError(
                f"precision '{self._precision}' was asked for, but {self.engine} on {self.device} "
                f"({platform.machine()}) computes in {higher} then: its outputs are the very same. On a "
                "processor, ncnn has fp16 on ARM only"
            )

    def _shares_samples(self) -> bool:
        """Several samples at once, a thread each, beats one after the other on all threads."""
        return self.device.kind == "cpu" and self.threads > 1

    def _infer(self, array: Array) -> tuple[Array, ...]:
        workers = max(min(self.threads, len(array)), 1) if self._pool else 1
        each = self.threads // workers
        if each not in self._nets:
            self._nets[each] = self._load(each)
        run = map if self._pool is None or workers == 1 else self._pool.map
        rows = list(run(functools.partial(self._one, self._nets[each]), array))
        if not rows:
            return tuple(np.empty((0, *shape), np.float32) for shape in self._shapes)
        return tuple(np.stack(column) for column in zip(*rows, strict=True))

    def _one(self, net: Any, sample: Array) -> list[Array]:
        """Outputs of one sample; `np.stack` copies them out of ncnn's memory."""
        extractor = net.create_extractor()
        mat = self._engine.Mat(sample)  # does not own the memory: `sample` lives until the return
        status = extractor.input(self._input, mat)
        outputs = []
        for name in self._names:
            if status == 0:
                status, output = extractor.extract(name)
                outputs.append(np.array(output))
        if status != 0:
            raise EngineError(
                f"{self.path.name}: {self.engine} failed on {self.device} (code {status}: "
                f"{'out of memory' if status == -100 else 'a layer refused its input'})"
            )
        return outputs

    def _deactivate(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        for net in self._nets.values():
            net.clear()

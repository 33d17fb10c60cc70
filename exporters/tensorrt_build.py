"""What TensorRT itself is told and asked while it builds an engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from rtmpose_sdk.errors import DeviceError, EngineError, InputError, ModelFileError
from rtmpose_sdk.exporters.batch_profile import Batch
from rtmpose_sdk.images import write_bytes
from rtmpose_sdk.runtimes.tensorrt_module import TITLES, Flavour, message_logger, said


class Build:
    """One engine's making; holds the objects that must outlive the build."""

    def __init__(self, trt: Any, flavour: Flavour, model: onnx.ModelProto, name: str) -> None:
        self.trt, self.flavour, self.model = trt, flavour, model
        self.title = f"{TITLES[flavour]} {trt.__version__}"
        self.logger, self.errors = message_logger(trt)
        self.errors.clear()
        try:
            self.builder = trt.Builder(self.logger)
        except TypeError:  # how pybind reports a null pointer
            raise DeviceError(
                f"{self.title} cannot start: {said(self.errors)}. It builds on the GPU that the engine is "
                "for; TensorRT for RTX builds without one (--target sm86)"
            ) from None
        strong = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        self.network = self.builder.create_network(0 if strong is None else 1 << int(strong))
        self.network.name = name
        self.config = self.builder.create_builder_config()
        # fp32 nodes are meant as fp32: TF32 has fp16's eleven bits.
        self.config.clear_flag(trt.BuilderFlag.TF32)

    def run(self, batch: Batch, capabilities: dict[str, Any], timing_cache: Path | None) -> bytes:
        """The serialised engine."""
        self._parse()
        self._set_profile(batch)
        self._set_targets(capabilities)
        cache = self._open_cache(timing_cache)
        plan = self.builder.build_serialized_network(self.network, self.config)
        if plan is None:
            why = said(self.errors)
            hint = (
                f". {', '.join(capabilities)}: no fp32 matrix products there, export in fp16"
                if "GEMM is not supported" in why
                else ""
            )
            raise EngineError(f"{self.title} cannot build this network: {why}{hint}")
        if timing_cache is not None and cache is not None:
            write_bytes(timing_cache, bytes(self.config.get_timing_cache().serialize()))
        return bytes(plan)

    def _parse(self) -> None:
        parser = self.trt.OnnxParser(self.network, self.logger)
        if parser.parse(self.model.SerializeToString()):
            return
        problems = list(_parser_errors(parser)) or [said(self.errors)]
        raise EngineError(f"{self.title} does not take the graph: {'; '.join(problems)}")

    def _set_profile(self, batch: Batch) -> None:
        tensor = self.network.get_input(0)
        fixed, *sizes = tuple(tensor.shape)
        if fixed >= 0:
            if set(batch) != {fixed}:
                raise InputError(f"the graph has a fixed batch of {fixed}; expected --batch {fixed}")
            return
        profile = self.builder.create_optimization_profile()
        try:
            profile.set_shape(tensor.name, *((size, *sizes) for size in batch))
            refused = self.config.add_optimization_profile(profile) < 0
        except RuntimeError:  # how pybind reports what set_shape refuses
            refused = True
        if refused:
            raise EngineError(
                f"{self.title} refuses the profile {':'.join(map(str, batch))}: {said(self.errors)}"
            )

    def _set_targets(self, capabilities: dict[str, Any]) -> None:
        if capabilities:
            self.config.num_compute_capabilities = len(capabilities)
        for i, (target, value) in enumerate(capabilities.items()):
            if not self.config.set_compute_capability(value, i):
                raise EngineError(f"{self.title} refuses target '{target}': {said(self.errors)}")

    def _open_cache(self, file: Path | None) -> Any:
        if file is None:
            return None
        cache = self.config.create_timing_cache(file.read_bytes() if file.is_file() else b"")
        if cache is None or not self.config.set_timing_cache(cache, False):
            raise ModelFileError(
                f"{file}: not a timing cache of {self.title} on this GPU ({said(self.errors)}); delete it, "
                "and a new one is written"
            )
        return cache


def _parser_errors(parser: Any) -> Iterator[str]:
    for i in range(parser.num_errors):
        error = parser.get_error(i)
        where = " ".join(filter(None, (error.node_operator(), f"'{error.node_name()}'")))
        lines = [line for line in error.desc().splitlines() if "cudaError" not in line]
        yield f"{where}: {' '.join(' '.join(lines).split())[:400]}"

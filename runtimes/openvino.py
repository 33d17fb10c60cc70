"""OpenVINO: its IR (`.xml` with its `.bin`), and ONNX where it is asked for. CPU and GPU of Intel."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from rtmpose_sdk.errors import DeviceError, EngineError, MissingExtraError, ModelFileError
from rtmpose_sdk.runtimes.base import Array, Runtime, TensorSpec, joined

_PRECISIONS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
_CARD_KEY = "rtmpose_card"
_METADATA = ("framework", _CARD_KEY)
"""Where OpenVINO keeps the metadata of an ONNX file that it has read."""
BATCH_STEPS = (16, 8, 4, 2, 1)
"""Batches that are compiled, each when it is first needed: others are put together of these."""

_MOST_NETWORKS = 12
"""Networks that are kept compiled, each for inputs of one shape: the one not used for longest goes first.

A detector whose sides are open needs one for each shape of pictures, of some 20 MB (RTMDet-nano).
"""


class OpenVinoRuntime(Runtime):
    """A model on OpenVINO; `precision` is that of the arithmetic, fp32 unless another is asked for.

    OpenVINO fuses far less where a size is open, so every network here has fixed ones: those of what it is
    given.
    """

    device_kinds = ("cpu", "gpu")
    precisions = tuple(_PRECISIONS)

    def _activate(self) -> None:
        try:
            import openvino
        except ImportError:
            raise MissingExtraError("openvino", "openvino", "Running an OpenVINO model") from None
        self.engine = f"openvino {openvino.__version__.split('-')[0]}"
        self._core: Any = openvino.Core()
        self._name = "CPU" if self.device.kind == "cpu" else f"GPU.{self.device.number}"
        have = self._core.available_devices
        if self._name not in have and not (self._name == "GPU.0" and "GPU" in have):
            raise DeviceError(f"device '{self.device}' is not there for OpenVINO; it has {', '.join(have)}")
        self._precision = self.precision or "fp32"
        self._check_precision()
        weights = self.path.with_suffix(".bin")
        if self.path.suffix.lower() == ".xml" and not weights.is_file():
            raise ModelFileError(f"{self.path}: {weights.name} is missing beside it; copy both files")
        try:
            self._model: Any = self._core.read_model(str(self.path))
        except Exception as error:  # noqa: BLE001 - the engine raises kinds of its own
            raise ModelFileError(
                f"{self._unreadable(error)}. It is damaged, cut short or no model: copy or export it again"
            ) from None
        self._quantized = any(op.get_type_name() == "FakeQuantize" for op in self._model.get_ops())
        self.arithmetic = self._described(_PRECISIONS[self._precision])
        self.inputs = tuple(_spec(port) for port in self._model.inputs)
        self.outputs = tuple(_spec(port) for port in self._model.outputs)
        for place in ([_CARD_KEY], list(_METADATA)):
            if self._model.has_rt_info(place):
                self.metadata = {_CARD_KEY: self._model.get_rt_info(place).astype(str)}
        self._requests: dict[tuple[int, ...], Any] = {}
        fixed, *sides = self.inputs[0].shape
        self._steps = (fixed,) if fixed else BATCH_STEPS
        least = self._steps[-1]
        known = [side for side in sides if side is not None]
        if len(known) == len(sides):
            self._request((least, *known))  # fails now, if at all
        # What NMS keeps is of all pictures of a batch together: such outputs cannot be put together.
        self._divisible = all(
            output.get_partial_shape()[0] == least for output in self._reshaped((least, *sides)).outputs
        )

    def _check_precision(self) -> None:
        """Not every processor has every arithmetic, and OpenVINO does not always say so."""
        able = self._core.get_property(self._name, "OPTIMIZATION_CAPABILITIES")
        if self._precision.upper() not in able:
            there = [name for name in _PRECISIONS if name.upper() in able]
            raise DeviceError(
                f"precision '{self._precision}' was asked for, but OpenVINO on {self.device} "
                f"({self._core.get_property(self._name, 'FULL_DEVICE_NAME')}) has {', '.join(there)}"
            )

    def _reshaped(self, shape: Sequence[int | None]) -> Any:
        """The model for an input of that shape; None stays open."""
        model = self._model.clone()
        model.reshape([-1 if size is None else size for size in shape])
        return model

    def _request(self, shape: tuple[int, ...]) -> Any:
        """The inference request for inputs of a shape; its network is compiled when it is first needed."""
        if shape in self._requests:
            self._requests[shape] = self._requests.pop(shape)  # the last is the one that was used last
        else:
            settings: dict[str, Any] = {
                "INFERENCE_PRECISION_HINT": _PRECISIONS[self._precision],
                "PERFORMANCE_HINT": "LATENCY",
            }
            if self._name == "CPU":
                settings["INFERENCE_NUM_THREADS"] = self.threads
            try:
                compiled = self._core.compile_model(self._reshaped(shape), self._name, settings)
            except Exception as error:  # noqa: BLE001 - the engine raises kinds of its own
                raise self._unreadable(error) from None
            used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
            if used != settings["INFERENCE_PRECISION_HINT"]:
                raise DeviceError(
                    f"precision '{self._precision}' was asked for, but OpenVINO runs {self.path.name} in "
                    f"{used} on {self.device}"
                )
            self.arithmetic = self._described(used)
            if self._name == "CPU":
                self.threads = compiled.get_property("INFERENCE_NUM_THREADS")
            if len(self._requests) == _MOST_NETWORKS:
                del self._requests[next(iter(self._requests))]
            self._requests[shape] = compiled.create_infer_request()
        return self._requests[shape]

    def _described(self, hint: str) -> str:
        """The arithmetic of a network that was compiled with that hint."""
        name = next(name for name, engines_own in _PRECISIONS.items() if engines_own == hint)
        return f"int8, the rest {name}" if self._quantized else name

    def _infer(self, array: Array) -> tuple[Array, ...]:
        if not self._divisible:
            return self._infer_part(array)
        parts = []
        start = 0
        while start < len(array):
            batch = next((step for step in self._steps if step <= len(array) - start), self._steps[-1])
            parts.append(self._infer_part(array[start : start + batch]))
            start += batch
        return joined(parts)

    def _infer_part(self, array: Array) -> tuple[Array, ...]:
        request = self._request(array.shape)
        try:
            request.infer([array], share_inputs=True)
        except Exception as error:  # noqa: BLE001 - the engine raises kinds of its own
            raise EngineError(f"{self.path.name}: OpenVINO failed: {_one_line(error)}") from None
        # Copies: the engine writes the next run's outputs into the same memory.
        return tuple(request.get_output_tensor(i).data.copy() for i in range(len(self.outputs)))

    def bare(self, array: Array) -> Callable[[], object]:
        """OpenVINO's `infer`."""
        request = self._request(array.shape)
        return lambda: request.infer([array], share_inputs=True)

    def _unreadable(self, error: Exception) -> ModelFileError:
        return ModelFileError(f"{self.path}: OpenVINO cannot open it on {self.device}: {_one_line(error)}")

    def _deactivate(self) -> None:
        self._requests = {}
        self._model = self._core = None


def _spec(port: Any) -> TensorSpec:
    shape = tuple(d.get_length() if d.is_static else None for d in port.get_partial_shape())
    return TensorSpec(port.get_any_name(), port.get_element_type().to_dtype().name, shape)


def _one_line(error: Exception) -> str:
    return re.sub(r"Exception from \S+: ", "", " ".join(str(error).split()))[:300]

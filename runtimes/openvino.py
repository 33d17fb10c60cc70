"""OpenVINO IR (`.xml` with its `.bin`) on OpenVINO: CPU and GPU of Intel."""

from __future__ import annotations

from typing import Any

from rtmpose_sdk.errors import DeviceError, EngineError, MissingExtraError, ModelFileError
from rtmpose_sdk.runtimes.base import Array, Runtime, TensorSpec

_PRECISIONS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}


class OpenVinoRuntime(Runtime):
    """An OpenVINO IR; `precision` is that of the arithmetic, fp32 unless another is asked for."""

    device_kinds = ("cpu", "gpu")
    precisions = tuple(_PRECISIONS)

    def _activate(self) -> None:
        try:
            import openvino
        except ImportError:
            raise MissingExtraError("openvino", "openvino", "Running an OpenVINO model") from None
        self.engine = f"openvino {openvino.__version__.split('-')[0]}"
        core: Any = openvino.Core()
        name = "CPU" if self.device.kind == "cpu" else f"GPU.{self.device.number}"
        have = core.available_devices
        if name not in have and not (name == "GPU.0" and "GPU" in have):
            raise DeviceError(f"device '{self.device}' is not there for OpenVINO; it has {', '.join(have)}")
        wanted = _PRECISIONS[self.precision or "fp32"]
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": wanted, "PERFORMANCE_HINT": "LATENCY"}
        if name == "CPU":
            settings["INFERENCE_NUM_THREADS"] = self.threads
        try:
            model = core.read_model(str(self.path))
            compiled = core.compile_model(model, name, settings)
        except Exception as error:  # noqa: BLE001 - the engine raises kinds of its own
            raise ModelFileError(
                f"{self.path}: OpenVINO cannot open it on {self.device}: {_one_line(error)}"
            ) from None
        used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if used != wanted:
            raise DeviceError(
                f"precision '{self.precision}' was asked for, but OpenVINO runs {self.path.name} in {used} "
                f"on {self.device}"
            )
        self.inputs = tuple(_spec(port) for port in compiled.inputs)
        self.outputs = tuple(_spec(port) for port in compiled.outputs)
        if model.has_rt_info("rtmpose_card"):
            self.metadata = {"rtmpose_card": model.get_rt_info("rtmpose_card").astype(str)}
        self._request: Any = compiled.create_infer_request()

    def _infer(self, array: Array) -> tuple[Array, ...]:
        try:
            self._request.infer([array], share_inputs=True)
        except Exception as error:  # noqa: BLE001 - the engine raises kinds of its own
            raise EngineError(f"{self.path.name}: OpenVINO failed: {_one_line(error)}") from None
        # Copies: the engine writes the next run's outputs into the same memory.
        return tuple(self._request.get_output_tensor(i).data.copy() for i in range(len(self.outputs)))

    def _deactivate(self) -> None:
        self._request = None


def _spec(port: Any) -> TensorSpec:
    shape = tuple(d.get_length() if d.is_static else None for d in port.get_partial_shape())
    return TensorSpec(port.get_any_name(), port.get_element_type().to_dtype().name, shape)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]

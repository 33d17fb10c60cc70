"""ONNX files on ONNX Runtime: CPU, CUDA, Core ML, DirectML, ROCm."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

from rtmpose_sdk.errors import DeviceError, EngineError, MissingExtraError, ModelFileError
from rtmpose_sdk.runtimes.base import Array, Runtime, TensorSpec

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "dml": "DmlExecutionProvider",
    "rocm": "ROCMExecutionProvider",
}
_INDEXED = ("cuda", "dml", "rocm")


def _import_engine() -> ModuleType:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("onnxruntime", "cpu", "Running an ONNX model") from None
    if not hasattr(onnxruntime, "InferenceSession"):  # what is left when one of two wheels was removed
        raise DeviceError(
            "onnxruntime is installed but broken (was onnxruntime or onnxruntime-gpu removed while both "
            "were installed?); run: pip uninstall onnxruntime onnxruntime-gpu, then install one of them"
        )
    module: ModuleType = onnxruntime
    return module


class OnnxRuntime(Runtime):
    """An ONNX file on ONNX Runtime. The precision is in the file."""

    device_kinds = tuple(PROVIDERS)

    def _activate(self) -> None:
        ort: Any = _import_engine()
        self.engine = f"onnxruntime {ort.__version__}"
        provider = PROVIDERS[self.device.kind]
        available = ort.get_available_providers()
        if provider not in available:
            extra = "cuda" if self.device.kind == "cuda" else None
            advice = (
                "pip uninstall onnxruntime, then pip install 'rtmpose-sdk[cuda]' (the two wheels "
                "overwrite each other when both are installed)"
                if extra
                else f"install the ONNX Runtime build that has {provider}"
            )
            raise DeviceError(
                f"device '{self.device}' needs {provider}; this onnxruntime has "
                f"{', '.join(available)}. To get it: {advice}"
            )
        options = ort.SessionOptions()
        # Set even when all cores are meant: ONNX Runtime's own default pins threads and escapes taskset.
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        # Idle threads of this network's pool would spin on the cores that the next network needs.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.log_severity_level = 3
        settings = {"device_id": str(self.device.number)} if self.device.kind in _INDEXED else {}
        try:
            session = ort.InferenceSession(str(self.path), options, providers=[(provider, settings)])
        except Exception as error:  # noqa: BLE001 - the engine raises kinds of its own
            raise ModelFileError(
                f"{self.path}: ONNX Runtime cannot open it as an ONNX model on {self.device}: "
                f"{_one_line(error)}"
            ) from None
        used = session.get_providers()
        if used[0] != provider:
            raise DeviceError(
                f"device '{self.device}' was asked for, but ONNX Runtime fell back to {used[0]}: "
                f"{provider} could not be started (driver, CUDA or cuDNN of another version?)"
            )
        session.disable_fallback()
        self.threads = session.get_session_options().intra_op_num_threads
        self.inputs = tuple(_spec(node) for node in session.get_inputs())
        self.outputs = tuple(_spec(node) for node in session.get_outputs())
        self.metadata = dict(session.get_modelmeta().custom_metadata_map)
        self._names = [spec.name for spec in self.outputs]
        self._session: Any = session

    def _infer(self, array: Array) -> tuple[Array, ...]:
        try:
            return tuple(self._session.run(self._names, {self.inputs[0].name: array}))
        except Exception as error:  # noqa: BLE001 - the engine raises kinds of its own
            raise EngineError(f"{self.path.name}: ONNX Runtime failed: {_one_line(error)}") from None

    def bare(self, array: Array) -> Callable[[], object]:
        """ONNX Runtime's `run`."""
        session, feed = self._session, {self.inputs[0].name: array}
        return lambda: session.run(None, feed)

    def _deactivate(self) -> None:
        self._session = None


def _spec(node: Any) -> TensorSpec:
    dtype = {"tensor(float)": "float32", "tensor(double)": "float64"}.get(node.type)
    if dtype is None:
        dtype = re.sub(r"^tensor\((.*)\)$", r"\1", node.type)
    shape = tuple(d if isinstance(d, int) else None for d in node.shape)
    return TensorSpec(node.name, dtype, shape)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]

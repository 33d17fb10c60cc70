"""ONNX files on ONNX Runtime: CPU, CUDA, Core ML, DirectML, ROCm."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from rtmpose_sdk.errors import DeviceError, EngineError, MissingExtraError, ModelFileError
from rtmpose_sdk.runtimes.base import Array, Device, Runtime, TensorSpec, joined

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "dml": "DmlExecutionProvider",
    "rocm": "ROCMExecutionProvider",
}
_INDEXED = ("cuda", "dml", "rocm")
_CUDA_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
"""On CUDA other batches are filled up to the next of these. Each shape of the input has a session of its
own there: a session plans every convolution anew whenever the shape is another than the one before, which
takes far longer than the network."""
_CUDA_SESSIONS = 8
"""Most sessions of a file that are kept on CUDA: all batches, or the common shapes of pictures. What was
not used for longest goes."""
_PACKAGES = {"cuda": "'rtmpose-sdk[cuda]'", "dml": "onnxruntime-directml"}
"""What is installed instead of onnxruntime for a device: ONNX Runtime is another wheel for each."""


def _import_engine(kind: str) -> ModuleType:
    try:
        import onnxruntime
    except ImportError:
        extra = "cuda" if kind == "cuda" else "cpu"
        raise MissingExtraError("onnxruntime", extra, "Running an ONNX model") from None
    if not hasattr(onnxruntime, "InferenceSession"):  # what is left when one of two wheels was removed
        raise DeviceError(
            "onnxruntime is installed but broken (was onnxruntime or onnxruntime-gpu removed while both "
            "were installed?); run: pip uninstall onnxruntime onnxruntime-gpu, then install one of them"
        )
    module: ModuleType = onnxruntime
    return module


class OnnxRuntime(Runtime):
    """An ONNX file on ONNX Runtime. The precision is in the file.

    fp32 is fp32 on CUDA too: TF32, which has fp16's eleven bits, is off. In files that compute in fp16
    SimCC's classifiers are fp32, because eleven bits make ties of neighbouring bins.
    """

    device_kinds = tuple(PROVIDERS)
    another_precision = (
        f"{Runtime.another_precision}; engine 'openvino' runs ONNX files in fp32, bf16 and fp16, as far as "
        "the processor has them"
    )

    def _activate(self) -> None:
        ort: Any = _import_engine(self.device.kind)
        self.engine = f"onnxruntime {ort.__version__}"
        provider = PROVIDERS[self.device.kind]
        available = ort.get_available_providers()
        if provider not in available:
            package = _PACKAGES.get(self.device.kind)
            advice = (
                f"pip uninstall onnxruntime onnxruntime-gpu, then pip install {package} (the wheels "
                "overwrite each other when both are installed)"
                if package
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
        if self.device.kind == "cuda":
            _load_cuda(ort)
            # Plans for a new shape of the input come at once; "exhaustive" takes a second (PaddleX#5057).
            settings |= {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
        self._ort, self._options, self._provider = ort, options, (provider, settings)
        session = self._open_session()
        self.threads = session.get_session_options().intra_op_num_threads
        self.inputs = tuple(_spec(node) for node in session.get_inputs())
        self.outputs = tuple(_spec(node) for node in session.get_outputs())
        self.metadata = dict(session.get_modelmeta().custom_metadata_map)
        self._names = [spec.name for spec in self.outputs]
        self._session: Any = session
        # What NMS keeps is of all pictures of a batch together: such outputs cannot be cut.
        batch = session.get_inputs()[0].shape[0]
        cut = isinstance(batch, str) and all(node.shape[:1] == [batch] for node in session.get_outputs())
        self._filled_up = self.device.kind == "cuda" and cut
        self._sessions: dict[tuple[int, ...], Any] = {}
        self._choosing = threading.Lock()  # streams in threads of their own share a runtime

    def _open_session(self) -> Any:
        """A session on the device that was asked for."""
        provider, _ = self._provider
        try:
            session = self._ort.InferenceSession(
                str(self.path), self._options, providers=[self._provider], enable_fallback=0
            )
        except Exception as error:  # noqa: BLE001 - the engine raises kinds of its own
            said = str(error).replace(str(self.path), "")  # a folder may be called CUDA
            if self.device.kind == "cuda" and re.search("CUDA|CUBLAS|CUDNN", said):
                why = _one_line(error).rpartition("[ONNXRuntimeError] : ")[2]  # without its source's places
                raise _no_cuda(self.device, why) from None
            damaged = re.search("INVALID_PROTOBUF|No graph was found", said) is not None
            raise ModelFileError(
                f"{self.path}: ONNX Runtime cannot open it as an ONNX model on {self.device}: "
                f"{_one_line(error)}{' It is damaged or cut short: copy or export it again' * damaged}"
            ) from None
        used = session.get_providers()
        if used[0] != provider:
            if self.device.kind == "cuda":
                raise _no_cuda(self.device, _unloadable(self._ort) or f"it fell back to {used[0]}")
            raise DeviceError(
                f"device '{self.device}' was asked for, but ONNX Runtime fell back to {used[0]}: "
                f"{provider} could not be started (a driver of another version?)"
            )
        session.disable_fallback()
        return session

    def _infer(self, array: Array) -> tuple[Array, ...]:
        if not self._filled_up:
            return self._run(self._session_for(array), array)
        most = _CUDA_BATCHES[-1]
        parts = [self._fill_up(array[start : start + most]) for start in range(0, max(len(array), 1), most)]
        return joined(parts)

    def _fill_up(self, array: Array) -> tuple[Array, ...]:
        """Outputs for at most the largest batch, by the session of the next one that there is."""
        count = len(array)
        batch = next(batch for batch in _CUDA_BATCHES if batch >= count)
        if count < batch:
            array = np.concatenate([array, np.zeros((batch - count, *array.shape[1:]), array.dtype)])
        return tuple(output[:count] for output in self._run(self._session_for(array), array))

    def _session_for(self, array: Array) -> Any:
        """The session; on CUDA the one that sees this shape only."""
        if self.device.kind != "cuda":
            return self._session
        with self._choosing:
            session = self._sessions.pop(array.shape, None)
            if session is None:
                if len(self._sessions) >= _CUDA_SESSIONS:
                    del self._sessions[next(iter(self._sessions))]
                session = self._open_session() if self._sessions else self._session
                self._session = session  # what is let go is held by nobody
            self._sessions[array.shape] = session  # in the order of their last use
        return session

    def _run(self, session: Any, array: Array) -> tuple[Array, ...]:
        try:
            return tuple(session.run(self._names, {self.inputs[0].name: array}))
        except Exception as error:  # noqa: BLE001 - the engine raises kinds of its own
            raise EngineError(f"{self.path.name}: ONNX Runtime failed: {_one_line(error)}") from None

    def bare(self, array: Array) -> Callable[[], object]:
        """ONNX Runtime's `run`."""
        session = self._session_for(array)
        feed = {self.inputs[0].name: array}
        return lambda: session.run(None, feed)

    def _deactivate(self) -> None:
        self._session = None
        self._sessions = {}


@functools.cache
def _load_cuda(ort: Any) -> None:
    """Load CUDA and cuDNN from pip's packages (nvidia-*), where ONNX Runtime itself does not look."""
    ort.set_default_logger_severity(3)  # it warns that CUDA is no plug-in, for every session
    if hasattr(ort, "preload_dlls"):  # since 1.21
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it misses; results go to stdout
            ort.preload_dlls()


def _unloadable(ort: Any) -> str:
    """Why the CUDA provider's library cannot be loaded, which ONNX Runtime only logs; "" if it can."""
    for library in Path(ort.__file__).parent.glob("capi/*onnxruntime_providers_cuda.*"):
        try:
            ctypes.CDLL(str(library))
        except OSError as error:
            return str(error)
    return ""


def _no_cuda(device: Device, why: str) -> DeviceError:
    return DeviceError(
        f"device '{device}' cannot be had, ONNX Runtime could not start {PROVIDERS['cuda']}: {why}. It "
        "needs an NVIDIA GPU with its driver (see nvidia-smi), and CUDA and cuDNN of its own version: "
        f"pip install {_PACKAGES['cuda']} brings them"
    )


def _spec(node: Any) -> TensorSpec:
    dtype = {"tensor(float)": "float32", "tensor(double)": "float64"}.get(node.type)
    if dtype is None:
        dtype = re.sub(r"^tensor\((.*)\)$", r"\1", node.type)
    shape = tuple(d if isinstance(d, int) else None for d in node.shape)
    return TensorSpec(node.name, dtype, shape)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]

"""Small networks and archives for tests, as they are published."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def tiny_network(outputs: dict[str, np.ndarray], size: tuple[int, int]) -> bytes:
    """An ONNX file (1,3,h,w) that always gives the same outputs."""
    width, height = size
    nodes = [helper.make_node("ReduceSum", ["input"], ["sum"], keepdims=0)]
    nodes.append(helper.make_node("Mul", ["sum", "nought"], ["nothing"]))
    tensors = [numpy_helper.from_array(np.float32(0), "nought")]
    infos = []
    for name, values in outputs.items():
        tensors.append(numpy_helper.from_array(values, f"{name}.value"))
        kind = TensorProto.FLOAT if values.dtype == np.float32 else TensorProto.INT64
        if values.dtype == np.float32:
            nodes.append(helper.make_node("Add", [f"{name}.value", "nothing"], [name]))
        else:
            nodes.append(helper.make_node("Identity", [f"{name}.value"], [name]))
        infos.append(helper.make_tensor_value_info(name, kind, values.shape))
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, height, width])
    graph = helper.make_graph(nodes, "tiny", [entry], infos, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


META_KEYS = [
    "img_shape",
    "pad_shape",
    "ori_shape",
    "img_norm_cfg",
    "scale_factor",
    "bbox_score",
    "center",
    "scale",
]


def simcc(
    keypoints: int, size: tuple[int, int], peak: tuple[int, int] = (100, 120)
) -> dict[str, np.ndarray]:
    """SimCC outputs whose peaks all lie at bins `peak`."""
    x = np.zeros((1, keypoints, 2 * size[0]), np.float32)
    y = np.zeros((1, keypoints, 2 * size[1]), np.float32)
    x[..., peak[0]], y[..., peak[1]] = 1.5, 1.2
    return {"simcc_x": x, "simcc_y": y}


def sdk_files(
    network: bytes, size: tuple[int, int], pth: str = "", affine: object = None
) -> dict[str, bytes]:
    """An MMDeploy SDK folder of a pose network, as name → content."""
    transforms = [
        {"type": "LoadImageFromFile"},
        {"type": "TopDownGetBboxCenterScale", "padding": 1.25, "image_size": affine or list(size)},
        {"type": "TopDownAffine", "image_size": affine or list(size)},
        {
            "type": "Normalize",
            "mean": [123.675, 116.28, 103.53],
            "std": [58.395, 57.12, 57.375],
            "to_rgb": True,
        },
        {"type": "ImageToTensor", "keys": ["img"]},
        {
            "type": "Collect",
            "keys": ["img"],
            "meta_keys": META_KEYS,
        },
    ]
    params = {
        "flip_test": False,
        "type": "SimCCLabel",
        "input_size": list(size),
        "sigma": [4.9, 5.66],
        "simcc_split_ratio": 2.0,
        "normalize": False,
        "use_dark": False,
        "export_postprocess": False,
    }
    tasks = [
        {
            "type": "Task",
            "module": "Transform",
            "name": "Preprocess",
            "input": ["img"],
            "output": ["prep_output"],
            "transforms": transforms,
        },
        {
            "name": "topdownposeestimator",
            "type": "Task",
            "module": "Net",
            "is_batched": False,
            "input": ["prep_output"],
            "output": ["infer_output"],
            "input_map": {"img": "input"},
            "output_map": {},
        },
        {
            "type": "Task",
            "module": "mmpose",
            "name": "postprocess",
            "component": "SimCCLabelDecode",
            "params": params,
            "output": ["post_output"],
            "input": ["prep_output", "infer_output"],
        },
    ]
    model = {
        "name": "topdownposeestimator",
        "net": "end2end.onnx",
        "weights": "",
        "backend": "onnxruntime",
        "precision": "FP32",
        "batch_size": 1,
        "dynamic_shape": True,
    }
    deploy = {"version": "1.0.0", "task": "PoseDetector", "models": [model], "customs": []}
    pipeline = {"pipeline": {"input": ["img"], "output": ["post_output"], "tasks": tasks}}
    files = {
        "end2end.onnx": network,
        "deploy.json": json.dumps(deploy).encode(),
        "pipeline.json": json.dumps(pipeline).encode(),
    }
    if pth:
        files["detail.json"] = json.dumps({"codebase": {"pth": pth}}).encode()
    return files


def zipped(files: dict[str, bytes], inside: str = "20230831/rtmpose_onnx/model") -> bytes:
    """An archive as OpenMMLab publishes it: the folder lies deep."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"{inside}/{name}" if inside else name, content)
    return buffer.getvalue()

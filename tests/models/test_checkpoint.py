"""Checkpoint files as they are published, and files that are broken or dangerous."""

from __future__ import annotations

import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from rtmpose_sdk.errors import CheckpointError
from rtmpose_sdk.models import PoseModel, build_model, load_checkpoint, read_checkpoint


@pytest.fixture(scope="module")
def model() -> PoseModel:
    return build_model("rtmpose-t", keypoint_set="coco17").eval()


def _same(model: PoseModel, path: Path) -> bool:
    other = build_model("rtmpose-t", keypoint_set="coco17")
    load_checkpoint(other, path)
    want = model.state_dict()
    return all(torch.equal(v, want[k]) for k, v in other.state_dict().items())


def test_bare_and_wrapped_and_prefixed(model: PoseModel, tmp_path: Path) -> None:
    state = model.state_dict()
    noise = {k: v + 1 for k, v in state.items()}
    files = {
        "bare": state,
        "wrapped": {
            "state_dict": state,
            "meta": {"epoch": 3, "best": np.float64(0.5), "tag": np.str_("a"), "n": np.uint8(3)},
        },
        "preprocessor": {"state_dict": {**state, "data_preprocessor.mean": torch.zeros(3)}},
        "module": {"state_dict": {f"module.{k}": v for k, v in state.items()}},
        "timm": {"state_dict": noise, "state_dict_ema": state},
        # As MMEngine's EMAHook saves: the averaged weights in state_dict, the others beside them.
        "mmengine": {
            "state_dict": state,
            "ema_state_dict": {
                "steps": torch.tensor(9),
                **{f"module.{k}": v for k, v in noise.items()},
            },
        },
    }
    for name, content in files.items():
        torch.save(content, tmp_path / f"{name}.pth")
        assert _same(model, tmp_path / f"{name}.pth"), name


def test_own_checkpoint_loads(own_checkpoint: Path) -> None:
    model = build_model("rtmpose-t", keypoint_set="coco17")
    before = model.state_dict()["head.cls_x.weight"].clone()
    load_checkpoint(model, own_checkpoint)
    assert not torch.equal(model.state_dict()["head.cls_x.weight"], before)


def test_published_files_with_a_training_log_load_without_mmengine(
    model: PoseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Early published files hold mmengine's HistoryBuffer, whose state names its own methods."""
    module = types.ModuleType("mmengine.logging.history_buffer")
    exec(
        "class HistoryBuffer:\n"
        "    def __init__(self, history): self.history = history\n"
        "    def mean(self): pass\n"
        "    def __getstate__(self): return {**self.__dict__, 'methods': {'mean': HistoryBuffer.mean}}\n",
        module.__dict__,
    )
    for name in ("mmengine", "mmengine.logging"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    log = module.HistoryBuffer(np.arange(5.0))
    file = tmp_path / "published.pth"
    torch.save({"state_dict": model.state_dict(), "message_hub": {"loss": log}}, file)
    for name in (module.__name__, "mmengine.logging", "mmengine"):
        monkeypatch.delitem(sys.modules, name)
    assert _same(model, file)


class _Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_a_pickle_with_code_is_refused_and_does_not_run(model: PoseModel, tmp_path: Path) -> None:
    target = tmp_path / "was-run"
    file = tmp_path / "evil.pth"
    torch.save({"state_dict": model.state_dict(), "meta": _Payload(target)}, file)
    with pytest.raises(CheckpointError, match=r"refused.*would run code.*mkdir.*weights_only=False"):
        read_checkpoint(file)
    assert not target.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_refusal_never_advises_to_load_unsafely_in_place(tmp_path: Path) -> None:
    """A plain pickle of a later protocol: torch's own message says to set weights_only=False."""
    target = tmp_path / "was-run"
    file = tmp_path / "plain.pth"
    file.write_bytes(pickle.dumps(_Payload(target)))
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(file)
    assert "weights_only" not in str(caught.value)
    assert not target.exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_files(model: PoseModel, tmp_path: Path, share: float) -> None:
    whole = tmp_path / "whole.pth"
    torch.save(model.state_dict(), whole)
    data = whole.read_bytes()
    file = tmp_path / "cut.pth"
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match=r"cut\.pth"):
        read_checkpoint(file)


@pytest.mark.parametrize("content", [b"this is no checkpoint", b"\x80\x02}q\x00.", b"PK\x03\x04junk"])
def test_files_that_are_no_checkpoints(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "other.pth"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"other\.pth"):
        read_checkpoint(file)


def test_missing_file_and_other_contents(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        read_checkpoint(tmp_path / "nowhere.pth")
    with pytest.raises(CheckpointError, match="is a folder"):
        read_checkpoint(tmp_path)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds a list"):
        read_checkpoint(tmp_path / "list.pth")
    torch.save({"state_dict": {"lr": 0.1}}, tmp_path / "numbers.pth")
    with pytest.raises(CheckpointError, match="'lr' is a float"):
        read_checkpoint(tmp_path / "numbers.pth")


def test_another_size_names_the_tensors_and_the_likely_network(model: PoseModel, tmp_path: Path) -> None:
    file = tmp_path / "t.pth"
    torch.save(model.state_dict(), file)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(build_model("rtmpose-s", keypoint_set="coco17"), file)
    text = str(caught.value)
    assert "backbone.stem.0.conv.weight is 12x3x3x3, expected 16x3x3x3" in text
    assert "seems to be rtmpose-t, 17 keypoints, 192x256" in text
    with pytest.raises(CheckpointError, match=r"head\.final_layer\.weight is 17x.*expected 26x"):
        load_checkpoint(build_model("rtmpose-t", keypoint_set="halpe26"), file)
    with pytest.raises(CheckpointError, match="missing: neck"):
        load_checkpoint(build_model("rtmdet-tiny"), file)


def test_persons_are_taken_of_cocos_classes(tmp_path: Path) -> None:
    """MMDetection's own checkpoints find 80 classes, persons first."""
    one = build_model("rtmdet-tiny")
    want = one.state_dict()
    rows = {k: v for k, v in want.items() if ".rtm_cls." in k}
    for classes in (80, 3):
        many = {k: torch.cat([v, torch.rand(classes - 1, *v.shape[1:])]) for k, v in rows.items()}
        torch.save({"state_dict": {**want, **many}}, tmp_path / f"{classes}.pth")
    other = build_model("rtmdet-tiny")
    load_checkpoint(other, tmp_path / "80.pth")
    assert all(torch.equal(v, want[k]) for k, v in other.state_dict().items())
    with pytest.raises(CheckpointError, match=r"rtm_cls\.0\.weight is 3x96x1x1, expected 1x96x1x1"):
        load_checkpoint(other, tmp_path / "3.pth")


def test_networks_of_ultralytics_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The advice for other pickles would not help: there is no state dict in theirs."""
    for name in ("ultralytics", "ultralytics.nn", "ultralytics.nn.tasks"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    kind = type("PoseModel", (), {"__module__": "ultralytics.nn.tasks"})
    monkeypatch.setattr(sys.modules["ultralytics.nn.tasks"], "PoseModel", kind, raising=False)
    torch.save({"model": kind()}, tmp_path / "yolo11n-pose.pt")
    with pytest.raises(CheckpointError, match=r"yolo11n-pose\.pt: is a network of Ultralytics"):
        read_checkpoint(tmp_path / "yolo11n-pose.pt")


def test_nothing_is_loaded_when_something_does_not_fit(model: PoseModel, tmp_path: Path) -> None:
    state = dict(model.state_dict())
    del state["head.cls_y.weight"]
    torch.save(state, tmp_path / "part.pth")
    other = build_model("rtmpose-t", keypoint_set="coco17")
    before = {k: v.clone() for k, v in other.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"missing: head\.cls_y\.weight"):
        load_checkpoint(other, tmp_path / "part.pth")
    assert all(torch.equal(v, before[k]) for k, v in other.state_dict().items())


def test_a_surplus_tensor_is_named(model: PoseModel, tmp_path: Path) -> None:
    torch.save({**model.state_dict(), "head.extra": torch.zeros(1)}, tmp_path / "more.pth")
    with pytest.raises(CheckpointError, match=r"not in the model: head\.extra"):
        load_checkpoint(build_model("rtmpose-t", keypoint_set="coco17"), tmp_path / "more.pth")


def test_mmpose_says_what_it_trained_on(tmp_path: Path) -> None:
    """AP-10K has as many keypoints as COCO, and no hint of it is in the name that MMPose gives a file."""
    from rtmpose_sdk.exporters.network import open_checkpoint
    from rtmpose_sdk.keypoint_sets import get_keypoint_set

    for name, names in (
        ("ap10k17", get_keypoint_set("ap10k17").names),
        ("tri", ("nose", "l_ear", "r_ear")),
    ):
        network = build_model("rtmpose-t", keypoint_set=len(names), input_size=(64, 64))
        meta = {
            "dataset_name": name,
            "keypoint_id2name": dict(enumerate(names)),
            "flip_indices": get_keypoint_set(name).flip_indices if name == "ap10k17" else [0, 2, 1],
            "skeleton_links": [(0, 1)],
            "sigmas": np.full(len(names), 0.05),
        }
        file = tmp_path / "best_coco_AP_epoch_200.pth"
        torch.save({"meta": {"epoch": 3, "dataset_meta": meta}, "state_dict": network.state_dict()}, file)
        card = open_checkpoint(file)[1]
        assert card.keypoints().names == tuple(names)
        assert (card.keypoint_set, bool(card.keypoint_definition)) == (name, name == "tri")

"""The architecture, held to by a test: lazy engines, one-way imports, every module importable bare."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

PACKAGE = Path(str(resources.files("rtmpose_sdk")))
LEAVES = {"closing", "errors", "keypoint_sets", "values", "_version"}
"""Modules of rtmpose_sdk that import nothing of ours but each other: every room may use them."""
MAY_IMPORT = {
    "runtimes": {"runtimes"},
    "models": {"models"},
    "rtmpose_sdk": {"rtmpose_sdk", "runtimes"},
    # The gate after an export measures AP as `rtmpose eval` does.
    "exporters": {"exporters", "benchmarks", "models", "runtimes", "rtmpose_sdk"},
    "benchmarks": {"benchmarks", "rtmpose_sdk", "runtimes"},
    # A run is measured as `rtmpose eval` does, and ends in an export: it stands above both rooms.
    "training": {"training", "benchmarks", "exporters", "models", "rtmpose_sdk", "runtimes"},
}
ROOMS = ("runtimes", "models", "exporters", "training", "benchmarks")


def _folder(room: str) -> Path:
    import importlib

    name = "rtmpose_sdk" if room == "rtmpose_sdk" else f"rtmpose_sdk.{room}"
    return Path(importlib.import_module(name).__path__[0])


def _imports(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_run_one_way(room: str) -> None:
    folder = _folder(room)
    files = [
        f
        for f in folder.rglob("*.py")
        if room != "rtmpose_sdk" or f.relative_to(folder).parts[0] not in (*ROOMS, "cli")
    ]
    assert files
    for file in files:
        for name in _imports(file):
            parts = name.split(".")
            own_engine = room == "runtimes" and file.name == "torch.py"
            if parts[0] == "torch" and room in ("rtmpose_sdk", "runtimes", "benchmarks") and not own_engine:
                raise AssertionError(f"{file} imports torch")
            if parts[0] != "rtmpose_sdk" or len(parts) < 2 or parts[1] in LEAVES:
                continue
            if file.name == "cli.py" and parts[1] == "cli":
                continue
            target = parts[1] if parts[1] in ROOMS else "rtmpose_sdk"
            assert target in MAY_IMPORT[room], f"{file} imports {name}"


def _in_the_systems_letters(call: ast.Call) -> bool:
    """Is text read or written in whatever encoding the system has? Windows has not UTF-8."""
    method = isinstance(call.func, ast.Attribute)
    name = getattr(call.func, "attr" if method else "id", "")
    given = {keyword.arg for keyword in call.keywords}
    mode = [getattr(each, "value", None) for each in call.args[0 if method else 1 :]][:1]
    is_text = bool(given & {"text", "universal_newlines"})
    if name in ("read_text", "write_text"):
        is_text = len(call.args) < (1 if name == "read_text" else 2)
    elif name == "open" and mode and isinstance(mode[0], str):
        is_text = set(mode[0]) <= set("rwax+t")
    return is_text and "encoding" not in given


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_text_is_utf8_on_every_system(room: str) -> None:
    for file in _folder(room).rglob("*.py"):
        calls = [n for n in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(n, ast.Call)]
        assert [f"{file}:{call.lineno}" for call in calls if _in_the_systems_letters(call)] == []


def _python(code: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_sdk_loads_no_engine(tmp_path: Path) -> None:
    loaded = _python("import sys, rtmpose_sdk; print(*sys.modules)", tmp_path).split()
    heavy = {"torch", "onnx", "onnxruntime", "openvino", "ncnn", "typer", "pandas", "scipy"}
    assert heavy.isdisjoint(loaded)
    assert {"numpy", "cv2"} <= set(loaded)


MODULES = sorted(
    ".".join((room_name, *file.relative_to(folder).with_suffix("").parts))
    for room_name, folder in (
        ("rtmpose_sdk", PACKAGE),
        ("rtmpose_sdk.runtimes", _folder("runtimes")),
        ("rtmpose_sdk.benchmarks", _folder("benchmarks")),
    )
    for file in folder.rglob("*.py")
    if file.name != "__init__.py"
    and (room_name != "rtmpose_sdk" or file.relative_to(folder).parts[0] not in ROOMS)
)


def test_every_module_for_users_imports_without_engine_or_torch(tmp_path: Path) -> None:
    code = (
        "import sys, importlib\n"
        "for name in ('torch', 'onnx', 'onnxruntime', 'onnxslim', 'faster_coco_eval'):\n"
        "    sys.modules[name] = None\n"
        f"for name in {MODULES!r}:\n"
        "    importlib.import_module(name)\n"
        "importlib.import_module('rtmpose_sdk.exporters.cli')\n"
        "print('all')"
    )
    assert len(MODULES) > 20
    assert _python(code, tmp_path).strip() == "all"


def test_missing_extras_say_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['onnxruntime'] = None\n"
        "from rtmpose_sdk import Pipeline\n"
        "from rtmpose_sdk.errors import MissingExtraError\n"
        "try:\n"
        "    Pipeline()\n"
        "except MissingExtraError as error:\n"
        "    print(error)"
    )
    assert "pip install 'rtmpose-sdk[cpu]'" in _python(code, tmp_path)


@pytest.mark.parametrize(
    ("package", "main", "arguments", "extra"),
    [
        ("torch", "exporters.cli", ["--weights", "w.pth", "--out", "o.onnx"], "export"),
        ("onnxslim", "exporters.cli", ["--weights", "w.pth", "--out", "o.onnx"], "export"),
        ("onnxruntime", "benchmarks.cli", [], "cpu"),
        ("faster_coco_eval", "cli.main", ["eval", "--annotations", "a", "--images", "i"], "eval"),
        ("lightning_fabric", "cli.main", ["train", "pose", "--data", "a.json"], "train"),
    ],
)
def test_commands_without_their_extra(
    tmp_path: Path, package: str, main: str, arguments: list[str], extra: str
) -> None:
    code = (
        "import sys\n"
        f"sys.modules[{package!r}] = None\n"
        f"sys.argv = ['command', *{arguments!r}]\n"
        f"from rtmpose_sdk.{main} import main\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert f"pip install 'rtmpose-sdk[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_checkout_runs_from_its_root() -> None:
    """`python -m rtmpose_sdk.benchmarks.NAME`, as the docs print it: the rooms lie beside it there."""
    root = Path(__file__).parents[1]
    code = "import rtmpose_sdk.runtimes, rtmpose_sdk.benchmarks.latency as it; print(it.__file__)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert ran.stdout.strip() == str(root / "benchmarks" / "latency.py"), ran.stderr


def test_version_is_said_once() -> None:
    from importlib.metadata import version

    import rtmpose_sdk

    assert version("rtmpose-sdk") == rtmpose_sdk.__version__


def test_package_data_is_installed() -> None:
    for name in (
        "py.typed",
        "data/keypoint_sets.json",
        "data/published_models.json",
        "data/rtmpose-t-own.onnx",
        "data/rtmdet-nano-own.onnx",
        "data/astronaut.jpg",
    ):
        assert (PACKAGE / name).is_file(), name

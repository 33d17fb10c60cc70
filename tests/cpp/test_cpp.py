"""The C++ example, built for each engine with warnings as errors and sanitizers, against Python."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from rtmpose_sdk import Detector, Pipeline, Predictor, read_image
from rtmpose_sdk.exporters.end2end_export import export_end2end, read_part

pytestmark = pytest.mark.skipif(
    "RTMPOSE_TEST_CPP" not in os.environ, reason="needs a C++ compiler and CMake: make test-cpp"
)
SOURCE = Path(__file__).parents[2] / "examples" / "cpp"
PHOTO = Path(__file__).parents[2] / "rtmpose_sdk" / "data" / "astronaut.jpg"


def call(*words: object, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, **more)


def engine_flags(engine: str) -> list[str]:
    """What CMake needs to find the engine."""
    if engine == "openvino":
        import openvino

        return [f"-DOpenVINO_DIR={Path(openvino.__file__).parent / 'cmake'}"]
    if "RTMPOSE_ONNXRUNTIME_CPP" not in os.environ:
        pytest.skip("needs the C++ files of ONNX Runtime in RTMPOSE_ONNXRUNTIME_CPP: make test-cpp")
    return ["-DRTMPOSE_ENGINE=onnxruntime", f"-DCMAKE_PREFIX_PATH={os.environ['RTMPOSE_ONNXRUNTIME_CPP']}"]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("openvino", "onnxruntime")
    ],
)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def build(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    flags = engine_flags(engine)
    folder = tmp_path_factory.mktemp("cpp")
    for step in (
        (
            *("cmake", "-S", SOURCE, "-B", folder / "build", *flags),
            *("-DRTMPOSE_SANITIZE=ON", "-DCMAKE_COMPILE_WARNING_AS_ERROR=ON"),
        ),
        ("cmake", "--build", folder / "build"),
        ("cmake", "--install", folder / "build", "--prefix", folder / "installed"),
    ):
        done = call(*step)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("artifacts")
    pose, detector = read_part("rtmpose-t-own", False), read_part("rtmdet-nano-own", False)
    export_end2end("pose", folder / "pose.onnx", pose=pose, detection_threshold=0.3)
    export_end2end("detector", folder / "detector.onnx", detector=detector, detection_threshold=0.3)
    export_end2end(
        "pipeline", folder / "pipeline.onnx", pose=pose, detector=detector, detection_threshold=0.3
    )
    return {file.stem: file for file in folder.iterdir()}


@pytest.fixture
def run(engine: str, build: Path):
    """The installed program; the sanitizers end it with another code than its own errors do."""

    def start(*words: object) -> subprocess.CompletedProcess[str]:
        # OpenVINO keeps what its plugins allocate until the process ends.
        leaks = int(engine == "onnxruntime")
        options = {"ASAN_OPTIONS": f"detect_leaks={leaks}:exitcode=99", "UBSAN_OPTIONS": "exitcode=99"}
        done = call(build / "installed" / "bin" / "rtmpose-cpp", *words, env=os.environ | options)
        assert done.returncode in (0, 1), done.stderr
        return done

    return start


def people(line: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes (N,4), scores (N,), and x, y, score, confidence (N,K,4)."""
    rows = json.loads(line)["people"]
    return tuple(np.array([row[key] for row in rows]) for key in ("box", "score", "keypoints"))


def test_pipeline_finds_what_python_finds(run, files: dict[str, Path], coco_persons: list) -> None:
    pictures = [path for path, _ in coco_persons[:6]]
    done = run(files["pipeline"], *pictures)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [json.loads(line)["picture"] for line in lines] == [str(p) for p in pictures]
    shifts = []
    with Pipeline() as pipeline:
        for path, line in zip(pictures, lines, strict=True):
            want = pipeline(read_image(path))
            boxes, scores, keypoints = people(line)
            # JPEG decoders differ by a grey level: boxes move a little, the last may be at the threshold.
            both = min(len(boxes), len(want))
            assert (scores[both:] < 0.32).all()
            assert (want.box_scores[both:] < 0.32).all()
            if both:
                assert np.abs(boxes[:both] - want.boxes[:both]).max() < 3
                np.testing.assert_allclose(scores[:both], want.box_scores[:both], atol=0.02)
                apart = keypoints[:both, :, :2] - want.keypoints[:both]
                shifts.append(np.hypot(*np.moveaxis(apart, -1, 0)).ravel())
    assert np.median(np.concatenate(shifts)) < 1


def test_pose_with_boxes_good_and_bad(
    run, files: dict[str, Path], tmp_path: Path, photo: np.ndarray
) -> None:
    picture = tmp_path / "photo.png"  # no two decoders differ on it
    cv2.imwrite(str(picture), photo)
    boxes = [(90, 5, 360, 500), (5, 0, 5, 5), (900, 900, 990, 990), (-40, 100, 300, 700)]
    done = run(files["pose"], picture, *[word for box in boxes for word in ("--box", *box)])
    assert done.returncode == 0, done.stderr
    found = np.array([row["keypoints"] for row in json.loads(done.stdout)["people"]])
    with Predictor("rtmpose-t-own") as predictor:
        want = predictor(photo, np.array([boxes[0], boxes[3]], np.float32))
    assert np.median(np.abs(found[[0, 3], :, :2] - want.keypoints)) < 0.1
    np.testing.assert_allclose(found[[0, 3], :, 3], want.confidences, atol=0.02)
    assert not found[1:3].any()


def _exif_jpeg(path: Path, picture: np.ndarray, tags: bytes) -> None:
    content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    exif = b"Exif\0\0" + tags
    head = content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2)
    path.write_bytes(head + exif + content[2:])


def test_pictures_that_lie_on_their_side(
    run, files: dict[str, Path], tmp_path: Path, photo: np.ndarray
) -> None:
    """EXIF turns them as it does in Python; tags that are none turn nothing."""
    photo = photo[:, :400]
    pictures = []
    for turn in range(1, 9):
        order = "<>"[turn % 2]
        tags = (b"II", b"MM")[turn % 2] + struct.pack(f"{order}HI", 42, 8)
        tags += struct.pack(f"{order}HHHIHHI", 1, 0x112, 3, 1, turn, 0, 0)
        pictures.append(tmp_path / f"{turn}.jpg")
        _exif_jpeg(pictures[-1], photo, tags)
    for i, tags in enumerate(
        (
            *(
                bytes(10),
                bytes(40),
                b"II*\0\xff\xff\xff\xff" + bytes(8),
                b"II*\0\x08\0\0\0\xff\xff" + bytes(6),
            ),
            b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHHI", 0x112, 3, 1, 9, 0, 0),
        )
    ):
        pictures.append(tmp_path / f"none{i}.jpg")
        _exif_jpeg(pictures[-1], photo, tags)
    done = run(files["detector"], *pictures)
    assert done.returncode == 0, done.stderr
    with Detector("rtmdet-nano-own") as detector:
        for path, line in zip(pictures, done.stdout.splitlines(), strict=True):
            want = detector(read_image(path))
            boxes, scores, _ = people(line)
            assert np.abs(boxes[0] - want.boxes[0]).max() < 3, path.name
            np.testing.assert_allclose(scores[0], want.scores[0], atol=0.02)


def test_a_detector_and_a_picture_of_nobody(run, files: dict[str, Path], tmp_path: Path) -> None:
    grey = tmp_path / 'a "grey"\n\\ one.png'
    cv2.imwrite(str(grey), np.full((40, 70, 3), 128, np.uint8))
    done = run(files["detector"], grey, PHOTO)
    empty, found = done.stdout.splitlines()
    assert json.loads(empty) == {"picture": str(grey), "people": []}
    boxes, _, keypoints = people(found)
    assert boxes.shape == (3, 4)
    assert keypoints.shape == (3, 0)


def test_errors_say_what_is_wrong(run, files: dict[str, Path], tmp_path: Path) -> None:
    whole = files["pipeline"].read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    names = ["nose", "left_eye"]
    for file, key, value in (
        ("odd", "skeleton", "[[1, 2], [3]]"),
        ("far", "skeleton", "[[1, 17]]"),
        ("open", "keypoint_names", '["nose", "left'),
        ("code", "keypoint_names", '["\\u00"]'),
        ("few", "keypoint_names", json.dumps(names)),
    ):
        with_metadata(files["pipeline"], tmp_path / f"{file}.onnx", {"skeleton": "[]"} | {key: value})
    for words, message in (
        (
            (tmp_path / "cut.onnx", PHOTO),
            "cut.onnx cannot be loaded; if it is damaged, copy or export it again",
        ),
        (
            (tmp_path / "none.onnx", PHOTO),
            "none.onnx: no such file, or it cannot be read; make one: rtmpose",
        ),
        *(
            ((tmp_path / f"{file}.onnx", PHOTO), "metadata is damaged; export it again")
            for file in ("odd", "far", "open", "code")
        ),
        ((tmp_path / "few.onnx", PHOTO), "another number of keypoints than the 2 that its metadata names"),
        (
            (PHOTO.with_name("rtmpose-t-own.onnx"), PHOTO),
            "is no end2end artifact; make one: rtmpose-export",
        ),
        ((files["pipeline"], files["pose"]), "expected a whole JPEG, PNG or BMP"),
        (
            (files["pipeline"], PHOTO, "--box", "0", "0", "5", "5"),
            "takes no boxes: it is an end2end pipeline",
        ),
        ((files["pose"], PHOTO), "needs the persons' boxes: it is an end2end pose artifact"),
        ((files["pipeline"], PHOTO, "--threads", "many"), "usage: rtmpose-cpp"),
        ((files["pipeline"], PHOTO, "--threads", "1.5"), "--threads '1.5'; expected a whole number from 0"),
        ((files["pipeline"], PHOTO, "--threads", "1e10"), "--threads '1e10'; expected a whole number"),
        ((files["pipeline"], PHOTO, "--runs", "-1"), "--runs '-1'; expected a whole number from 0"),
        ((files["pose"], PHOTO, "--box", "nan", "0", "5", "5"), "'nan' is not a number here"),
        ((files["pose"], PHOTO, "--box", "0", "0", "1e39", "5"), "expected a finite one"),
        ((), "usage: rtmpose-cpp"),
    ):
        done = run(*words)
        assert done.returncode == 1
        assert message in done.stderr
        assert not done.stdout


def with_metadata(source: Path, target: Path, changed: dict[str, str]) -> None:
    model = onnx.load(str(source))
    for entry in model.metadata_props:
        entry.value = changed.get(entry.key, entry.value)
    onnx.save(model, str(target))


def test_a_full_disk_is_no_success(build: Path, files: dict[str, Path]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [build / "installed" / "bin" / "rtmpose-cpp", files["detector"], PHOTO],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "standard output cannot be written" in done.stderr


def test_the_shortest_program(build: Path, files: dict[str, Path]) -> None:
    done = call(build / "build" / "minimal", files["pipeline"], PHOTO)
    assert done.stdout.startswith("person 0.88: left wrist at ")
    done = call(build / "build" / "minimal", files["pipeline"], "none.jpg")
    assert done.returncode == 1
    assert done.stderr.startswith("error: none.jpg: not a picture that can be read")


def test_a_users_own_program_against_the_installed_package(
    engine: str, build: Path, files: dict[str, Path], tmp_path: Path, photo: np.ndarray
) -> None:
    """find_package(rtmpose), a picture with gaps between its rows, and every misuse of the header."""
    project = (
        "cmake_minimum_required(VERSION 3.20)\nproject(user CXX)\n{}\n"
        "add_executable(main user.cpp)\ntarget_link_libraries(main rtmpose::rtmpose)\n"
    )
    (tmp_path / "CMakeLists.txt").write_text(project.format("find_package(rtmpose REQUIRED)"))
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "user.cpp").touch()
    (tmp_path / "inside" / "CMakeLists.txt").write_text(
        project.format(f"add_subdirectory({SOURCE} rtmpose)")
    )
    (tmp_path / "user.cpp").write_text("""#include <rtmpose.hpp>
#include <cstdio>
#include <fstream>
#include <iterator>
template <typename Action> void refused(Action action) {
    try {
        action();
        std::puts("accepted");
    } catch (const rtmpose::Error& error) { std::puts(error.what()); }
}
int main(int, char** arguments) {
    std::ifstream file(arguments[2], std::ios::binary);
    const std::vector<char> raw{std::istreambuf_iterator<char>(file), {}};
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(raw.data());
    rtmpose::Model model(arguments[1]);
    const auto people = model(bytes, 512, 512, 512 * 3 + 64);
    const float x = people.at(0).keypoints.at(9).x;
    std::printf("%zu %s %.3f\\n", people.size(), model.keypoint_names().at(9).c_str(), x);
    refused([&] { model(bytes, 0, 512); });
    refused([&] { model(nullptr, 512, 512); });
    refused([&] { model(bytes, 512, 512, 10); });
    refused([&] { model(bytes, 512, 512, std::vector<rtmpose::Box>{}); });
    rtmpose::Model pose(arguments[3]);
    std::printf("%zu\\n", pose(bytes, 512, 512, std::vector<rtmpose::Box>{}).size());
    for (const std::string& name : pose.keypoint_names()) std::puts(name.c_str());
}
""")
    flags = [f"-Drtmpose_DIR={build / 'installed' / 'lib' / 'cmake' / 'rtmpose'}", *engine_flags(engine)]
    for step in (
        ("cmake", "-S", tmp_path, "-B", tmp_path / "b", *flags),
        ("cmake", "--build", tmp_path / "b"),
        ("cmake", "-S", tmp_path / "inside", "-B", tmp_path / "inside" / "b", *flags),
    ):
        done = call(*step)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    rows = np.zeros((512, 512 * 3 + 64), np.uint8)
    rows[:, : 512 * 3] = photo.reshape(512, -1)
    (tmp_path / "rows.raw").write_bytes(rows.tobytes())
    odd = ['a "nose"', "l\\r", "左肩", "Schädel", *(f"k{i}" for i in range(4, 17))]
    with_metadata(files["pose"], tmp_path / "odd.onnx", {"keypoint_names": json.dumps(odd)})
    done = call(tmp_path / "b" / "main", files["pipeline"], tmp_path / "rows.raw", tmp_path / "odd.onnx")
    assert done.returncode == 0, done.stderr
    first, *refusals = done.stdout.splitlines()
    refusals, nobody, names = refusals[:4], refusals[4], refusals[5:]
    assert (nobody, names) == ("0", odd)
    with Pipeline() as pipeline:
        want = pipeline(photo)
    count, name, x = first.split()
    assert (int(count), name) == (len(want), "left_wrist")
    assert abs(float(x) - want.keypoints[0, 9, 0]) < 0.1
    expected = ["512x0 px; expected at least 1x1", "512x512 px", "stride is 10 bytes", "takes no boxes"]
    assert all(text in said for text, said in zip(expected, refusals, strict=True))

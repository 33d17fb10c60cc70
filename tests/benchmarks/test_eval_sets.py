"""Figures of COCO-WholeBody, CrowdPose, AP-10K and MPII: made-up people whose figures are known by hand."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from rtmpose_sdk.benchmarks.accuracy import Report, evaluate_poses
from rtmpose_sdk.benchmarks.coco_score import BOX_SHARE, FIGURES, UNKNOWN_SIGMA
from rtmpose_sdk.benchmarks.matched import match
from rtmpose_sdk.cli.main import app
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.keypoint_sets import KeypointSet, get_keypoint_set
from rtmpose_sdk.results import PoseResult

BOX = [20.0, 10.0, 100.0, 200.0]
AREA = 10_000.0
PARTS = {
    "keypoints": ("body", 0, 17),
    "foot_kpts": ("foot", 17, 23),
    "face_kpts": ("face", 23, 91),
    "lefthand_kpts": ("left hand", 91, 112),
    "righthand_kpts": ("right hand", 112, 133),
}


def points_of(keypoint_set: KeypointSet, seed: int = 0) -> np.ndarray:
    """(K,2) px in the box."""
    return np.random.default_rng(seed).uniform([20, 10], [120, 210], (len(keypoint_set), 2)).round(1)


def moved(points: np.ndarray, keypoint_set: KeypointSet, oks: Any, area: float = AREA) -> np.ndarray:
    """Points whose every OKS term is `oks`: COCO's formula solved for the distance."""
    sigmas = np.array(keypoint_set.oks_sigmas)
    distance = 2 * sigmas * np.sqrt(-2 * area * np.log(oks))
    return points + distance[:, None] * [0.6, 0.8]


def label(number: int, picture: int, points: np.ndarray, **more: Any) -> dict[str, Any]:
    flat = np.column_stack([points, np.full(len(points), 2)]).reshape(-1).tolist()
    return {
        "id": number, "image_id": picture, "category_id": 1, "bbox": BOX, "area": AREA,
        "keypoints": flat, "num_keypoints": len(points), "iscrowd": 0, **more,
    }  # fmt: skip


def truth_of(labels: list[dict[str, Any]], **pictures: list[Any]) -> dict[str, Any]:
    rows = [
        {"id": i, "file_name": f"{i}.jpg", **{key: values[i - 1] for key, values in pictures.items()}}
        for i in sorted({row["image_id"] for row in labels})
    ]
    return {"images": rows, "annotations": labels, "categories": [{"id": 1, "name": "person"}]}


def result(keypoint_set: KeypointSet, people: list[np.ndarray], scores: list[float]) -> PoseResult:
    n, k = len(people), len(keypoint_set)
    return PoseResult(
        np.tile(np.array([[20, 10, 120, 210]], np.float32), (n, 1)),
        np.ones(n, np.float32),
        np.array(people, np.float32).reshape(n, k, 2),
        np.repeat(np.array(scores, np.float32)[:, None], k, axis=1),
        np.full((n, k), 0.9, np.float32),
        keypoint_set,
        (640, 480),
    )


def measure(
    folder: Path, content: Any, keypoint_set: KeypointSet, found: dict[int, PoseResult], given: bool = True
) -> Report:
    file = folder / "mpii_val.json"
    file.write_text(json.dumps(content))
    return evaluate_poses(
        lambda tasks: (found[task.picture] for task in tasks), keypoint_set, file, folder, given
    )


def split(row: dict[str, Any]) -> dict[str, Any]:
    """A label of 133 keypoints in COCO-WholeBody's form."""
    flat = row["keypoints"]
    parts = {key: flat[3 * first : 3 * behind] for key, (_, first, behind) in PARTS.items()}
    valid = {key.replace("_kpts", "_valid"): True for key in parts if key != "keypoints"}
    return {**row, **parts, **valid, "num_keypoints": 17}


def test_wholebody_has_the_sigmas_of_each_part(tmp_path: Path) -> None:
    whole = get_keypoint_set("coco_wholebody133")
    points = points_of(whole)
    terms = np.repeat([0.72, 0.52, 0.98, 0.82, 0.62], [17, 6, 68, 21, 21])
    content = truth_of([split(label(1, 1, points))])
    found = {1: result(whole, [moved(points, whole, terms)], [0.9])}
    figures = measure(tmp_path, content, whole, found).figures
    # AP counts the thresholds 0.5, 0.55, ... 0.95 that an OKS reaches; terms.mean() is 0.8460.
    for name, want in {
        "body": 0.5, "foot": 0.1, "face": 1.0, "left hand": 0.7, "right hand": 0.3,
    }.items():  # fmt: skip
        assert figures[f"{name} AP"] == pytest.approx(want), name
        assert figures[f"{name} AR"] == pytest.approx(want), name
    assert figures["AP"] == pytest.approx(0.7)
    perfect = measure(tmp_path, content, whole, {1: result(whole, [points], [0.9])}).figures
    assert {v for k, v in perfect.items() if "large" not in k and "medium" not in k} == {1.0}


def test_wholebody_parts_that_are_not_valid_do_not_count(tmp_path: Path) -> None:
    whole = get_keypoint_set("coco_wholebody133")
    points = [points_of(whole, seed) for seed in range(3)]
    rows = [split(label(i + 1, i + 1, p)) for i, p in enumerate(points)]
    rows[1]["lefthand_valid"] = rows[2]["face_valid"] = False
    wrong = [p.copy() for p in points]
    wrong[0][112:] += 300  # a right hand
    wrong[1][91:112] += 60  # a left hand that nobody annotated, near the person as COCO asks
    found = {i + 1: result(whole, [p], [0.9 - i / 10]) for i, p in enumerate(wrong)}
    figures = measure(tmp_path, truth_of(rows), whole, found).figures
    assert figures["left hand AP"] == figures["face AP"] == figures["foot AP"] == figures["body AP"] == 1
    # The best scored of three is wrong: precision 0/1, 1/2, 2/3; recall reaches 2/3, 67 of 101 steps.
    assert figures["right hand AP"] == pytest.approx(67 / 101 * 2 / 3)
    for row in rows:
        row["face_valid"] = False
    assert measure(tmp_path, truth_of(rows), whole, found).figures["face AP"] == -1


def test_wholebody_agrees_with_pycocotools(tmp_path: Path) -> None:
    whole = get_keypoint_set("coco_wholebody133")
    rng = np.random.default_rng(5)
    rows, found = [], {}
    for picture in range(1, 13):
        people = [points_of(whole, 10 * picture + i) + 150 * i for i in range(3)]
        for i, p in enumerate(people):
            row = split(label(len(rows) + 1, picture, p, bbox=[20 + 150 * i, 10 + 150 * i, 100, 200]))
            row["righthand_valid"] = bool(rng.random() < 0.7)
            if not row["righthand_valid"]:
                row["righthand_kpts"] = [0] * 63
            rows.append(row)
        guesses = [moved(p, whole, rng.uniform(0.3, 1, 133)) for p in people[: rng.integers(1, 4)]]
        found[picture] = result(
            whole, [*guesses, people[0] + 40], rng.uniform(0, 1, len(guesses) + 1).tolist()
        )
    report = measure(tmp_path, truth_of(rows), whole, found, given=False)
    for key, (name, first, behind) in PARTS.items():
        sigmas = np.array(whole.oks_sigmas[first:behind])
        labels = [
            {**row, "keypoints": row[key], "num_keypoints": sum(v > 0 for v in row[key][2::3])}
            for row in rows
        ]
        cut = [{**row, "keypoints": row["keypoints"][3 * first : 3 * behind]} for row in report.results]
        want = by_pycocotools(truth_of(labels), cut, sigmas)
        assert 0.05 < want["AP"] < 0.95
        assert report.figures[f"{name} AP"] == pytest.approx(want["AP"], abs=1e-4)
        assert report.figures[f"{name} AR"] == pytest.approx(want["AR"], abs=1e-4)


def by_pycocotools(
    truth: dict[str, Any], results: list[dict[str, Any]], sigmas: np.ndarray
) -> dict[str, float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy({"info": {}, **truth})
        coco.createIndex()
        scoring = COCOeval(coco, coco.loadRes(copy.deepcopy(results)), "keypoints")
        scoring.params.kpt_oks_sigmas = sigmas
        scoring.evaluate()
        scoring.accumulate()
        scoring.summarize()
    return dict(zip(FIGURES, map(float, scoring.stats), strict=True))


def test_a_body_model_on_wholebody_annotations_is_measured_on_the_body(tmp_path: Path) -> None:
    body, whole = get_keypoint_set("coco17"), get_keypoint_set("coco_wholebody133")
    points = points_of(whole)
    content = truth_of([split(label(1, 1, points))])
    figures = measure(tmp_path, content, body, {1: result(body, [points[:17]], [0.9])}).figures
    assert figures["AP"] == 1
    assert "face AP" not in figures


def test_crowdpose_by_crowd_index_with_areas_of_boxes(tmp_path: Path) -> None:
    crowd = get_keypoint_set("crowdpose14")
    points = [points_of(crowd, seed) for seed in range(5)]
    rows = [label(i + 1, i + 1, p) for i, p in enumerate(points)]
    for row in rows:
        del row["area"]
    guesses = list(points)
    guesses[0] = moved(points[0], crowd, 0.72, area=0.53 * 100 * 200)
    guesses[2] = points[2] + 300
    found = {i + 1: result(crowd, [p], [0.9 - i / 10]) for i, p in enumerate(guesses)}
    content = truth_of(rows, crowdIndex=[0.19, 0.2, 0.8, 0.5, 0.81])
    figures = measure(tmp_path, content, crowd, found).figures
    assert figures["AP easy"] == pytest.approx(0.5)
    # Of 0.2, 0.8, 0.5 the second best scored is wrong: precision 1 to recall 1/3, 2/3 to 2/3, then 0.
    assert figures["AP medium"] == pytest.approx((34 + 33 * 2 / 3) / 101)
    assert figures["AP hard"] == 1
    assert set(figures) == {"AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP easy", "AP medium", "AP hard"}
    assert measure(tmp_path, truth_of(rows, crowdIndex=[0.5] * 5), crowd, found).figures["AP hard"] == -1
    del content["images"][3]["crowdIndex"]
    with pytest.raises(InputError, match=r"1 of 5 pictures have no crowdIndex \(the first: 4\)"):
        measure(tmp_path, content, crowd, found)


def test_ap10k_is_the_mean_over_species(tmp_path: Path) -> None:
    animal = get_keypoint_set("ap10k17")
    points = [points_of(animal, seed) for seed in range(4)]
    rows = [label(i + 1, i + 1, p, category_id=7 if i < 3 else 9) for i, p in enumerate(points)]
    content = {
        **truth_of(rows),
        "categories": [
            {"id": i, "name": name, "keypoints": animal.names}
            for i, name in {3: "ox", 7: "dog", 9: "cat"}.items()
        ],
    }
    guesses = [*points[:2], moved(points[2], animal, 0.72), points[3] + 300]
    found = {i + 1: result(animal, [p], [0.9 - i / 10]) for i, p in enumerate(guesses)}
    report = measure(tmp_path, content, animal, found)
    # Dogs: three right at 5 thresholds, two (67 of 101 steps of recall) at the others; the cat never.
    dogs = (5 * 1 + 5 * 67 / 101) / 10
    assert report.figures["AP"] == pytest.approx(dogs / 2)
    assert [row["category_id"] for row in report.results] == [7, 7, 7, 9]
    # A detector does not tell dogs from cats: 3 of 4 (76 steps), or 2 of 4 (51).
    together = measure(tmp_path, content, animal, found, given=False).figures
    assert together["AP"] == pytest.approx((5 * 76 + 5 * 51) / 10 / 101)


def mpii_rows(points: list[np.ndarray]) -> list[dict[str, Any]]:
    """As MMPose publishes them: 1-based pixels; a head of 30x40 px."""
    return [
        {
            "image": "1.jpg" if i < 2 else "2.jpg", "center": [101.0, 201.0], "scale": 1.0,
            "joints": (p + 1).tolist(), "joints_vis": [1] * 16, "bbox_head": [50, 20, 30, 40],
        }
        for i, p in enumerate(points)
    ]  # fmt: skip


def test_pckh_of_known_errors(tmp_path: Path) -> None:
    mpii = get_keypoint_set("mpii16")
    points = [points_of(mpii, seed) for seed in range(3)]
    rows = mpii_rows(points)
    guesses = [p.copy() for p in points]
    wrist, pelvis, head = (
        mpii.names.index("left_wrist"),
        mpii.names.index("pelvis"),
        mpii.names.index("head_top"),
    )
    guesses[0][wrist] += [14.9, 0]  # half a head of 0.6 x 50 px is 15, a tenth 3
    guesses[1][wrist] += [0, 15.1]
    guesses[2][wrist] += [0, 2.9]
    guesses[2][pelvis] += [0, 500]  # not in MPII's mean
    guesses[1][head] += [500, 0]
    rows[1]["joints_vis"][head] = 0  # not labelled
    found = {1: result(mpii, guesses[:2], [1, 1]), 2: result(mpii, guesses[2:], [1])}
    report = measure(tmp_path, rows, mpii, found)
    figures = report.figures
    with pytest.raises(InputError, match=r"measured by PCKh@0\.5, .* not by AP"):
        _ = report.ap
    labelled = 3 * 14 - 1
    assert figures["PCKh@0.5"] == pytest.approx((labelled - 1) / labelled)
    assert figures["PCKh@0.1"] == pytest.approx((labelled - 2) / labelled)
    assert figures["PCKh@0.5 wrist"] == pytest.approx((1 + 2 / 3) / 2)
    assert figures["PCKh@0.1 wrist"] == pytest.approx((1 + 1 / 3) / 2)
    others = ("head", "shoulder", "elbow", "hip", "knee", "ankle")
    assert all(figures[f"PCKh@{t} {name}"] == 1 for t in (0.5, 0.1) for name in others)


def test_mpii_rows_become_boxes_and_heads_come_from_matlab(tmp_path: Path) -> None:
    io_ = pytest.importorskip("scipy.io", reason="MPII's head boxes need scipy (extra 'mpii')")
    mpii = get_keypoint_set("mpii16")
    points = [points_of(mpii, seed) for seed in range(3)]
    rows = [{k: v for k, v in row.items() if k != "bbox_head"} for row in mpii_rows(points)]
    file = tmp_path / "mpii_val.json"
    file.write_text(json.dumps(rows))
    off = points[2] + [0, 14.9]
    found = {1: result(mpii, points[:2], [1, 1]), 2: result(mpii, [off], [1])}
    boxes = []

    def poser(tasks):
        for task in tasks:
            boxes.append((task.file.name, task.boxes.tolist()))
            yield found[task.picture]

    def run() -> dict[str, float]:
        return evaluate_poses(poser, mpii, file, tmp_path, True).figures

    with pytest.raises(InputError, match=r"no bbox_head.*no mpii_gt_val\.mat beside it"):
        run()
    corners = np.array([[[51, 51, 51], [21, 21, 21]], [[81, 81, 81], [61, 61, 61]]])
    io_.savemat(tmp_path / "mpii_gt_val.mat", {"headboxes_src": corners[..., :2]})
    with pytest.raises(InputError, match=r"\(2, 2, 2\); expected \(2, 2, 3\)"):
        run()
    io_.savemat(tmp_path / "mpii_gt_val.mat", {"headboxes_src": corners})
    assert run()["PCKh@0.5"] == 1
    one = [0, 115, 200, 315]  # 200 px around (100, 200 + 15)
    assert boxes == [("1.jpg", [one, one]), ("2.jpg", [one])]
    corners[1, :, 2] = [66, 41]  # the third's head is half as large
    io_.savemat(tmp_path / "mpii_gt_val.mat", {"headboxes_src": corners})
    assert run()["PCKh@0.5"] == pytest.approx(2 / 3)
    (tmp_path / "mpii_gt_val.mat").write_bytes(b"MATLAB 7.3")
    with pytest.raises(InputError, match=r"no headboxes_src can be read"):
        run()


def test_coco_form_with_head_boxes_is_pckh_through_a_detector_too(tmp_path: Path) -> None:
    mpii = get_keypoint_set("mpii16")
    a, b = points_of(mpii), points_of(mpii, 1) + 250
    rows = [label(1, 1, a, bbox_head=[0, 0, 30, 40]), label(2, 1, b, bbox_head=[0, 0, 30, 40])]
    rows[1]["bbox"] = [270, 260, 100, 200]
    swapped = {1: result(mpii, [b, a, a + 900], [1, 1, 1])}
    assert measure(tmp_path, truth_of(rows), mpii, swapped, given=False).figures["PCKh@0.1"] == 1
    alone = {1: result(mpii, [b], [1])}
    assert measure(tmp_path, truth_of(rows), mpii, alone, given=False).figures["PCKh@0.5"] == 0.5
    del rows[0]["bbox_head"]
    with pytest.raises(InputError, match="annotation 1 has bbox_head None"):
        measure(tmp_path, truth_of(rows), mpii, alone)


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    mpii, whole = get_keypoint_set("mpii16"), get_keypoint_set("coco_wholebody133")
    rows = mpii_rows([points_of(mpii)])
    with pytest.raises(InputError, match=r"\[16\] keypoints, the model 133"):
        measure(tmp_path, rows, whole, {})
    del rows[0]["center"]
    with pytest.raises(InputError, match=r"person 0 \(of 1\) is not MPII's.*center"):
        measure(tmp_path, rows, mpii, {})
    with pytest.raises(InputError, match="person 0"):
        measure(tmp_path, [3, *mpii_rows([points_of(mpii)])], mpii, {})
    torn = truth_of([split(label(5, 1, points_of(whole)))])
    del torn["annotations"][0]["face_kpts"]
    with pytest.raises(InputError, match="annotation 5 has none values in face_kpts; expected 204"):
        measure(tmp_path, torn, whole, {})


def test_the_command_prints_the_figures_of_the_annotations(coco: dict, tmp_path: Path) -> None:
    posed = [row for row in coco["annotations"] if row["num_keypoints"] > 8][:12]
    ids = {row["image_id"] for row in posed}
    rows = [row for row in coco["images"] if row["id"] in ids]
    crowds = [{**row, "crowdIndex": i % 2} for i, row in enumerate(rows)]
    content = {"images": crowds, "annotations": posed, "categories": coco["categories"]}
    (tmp_path / "crowd.json").write_text(json.dumps(content))
    words = ["eval", "--annotations", str(tmp_path / "crowd.json"), "--images", str(coco["folder"])]
    done = CliRunner().invoke(app, [*words, "--threads", "1", "--json", str(tmp_path / "figures.json")])
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert 0 < figures["AP easy"] < 1
    assert 0 < figures["AP hard"] < 1
    assert figures["AP medium"] == -1
    assert "AP hard" in done.output


@pytest.mark.parametrize("ids", [range(3), "abc"])
def test_annotations_may_have_any_ids(tmp_path: Path, ids: Any) -> None:
    """COCO's evaluation takes id 0 for no annotation."""
    coco = get_keypoint_set("coco17")
    points = [points_of(coco, seed) for seed in range(3)]
    rows = [label(i, f"p{n}", p) for i, n, p in zip(ids, range(3), points, strict=True)]
    found = {f"p{n}": result(coco, [p], [0.9]) for n, p in enumerate(points)}
    content = truth_of(rows)
    assert measure(tmp_path, content, coco, found).figures["AP"] == 1


@pytest.mark.parametrize("given", [True, False])
def test_what_is_no_person_is_not_posed(tmp_path: Path, given: bool) -> None:
    coco = get_keypoint_set("coco17")
    points, dog = points_of(coco), points_of(coco, 1)
    rows = [label(1, 1, dog, category_id=2), label(2, 1, points), label(3, 2, dog, category_id=2)]
    content = truth_of(rows)
    content["categories"].append({"id": 2, "name": "dog", "keypoints": list(coco.names)})
    nobody = result(coco, [], [])
    found = {1: result(coco, [points], [0.9]), 2: nobody}
    report = measure(tmp_path, content, coco, found, given)
    assert report.figures["AP"] == 1
    assert (report.pictures, report.persons) == (1 if given else 2, 1)


def test_details_have_the_oks_of_the_ap(tmp_path: Path) -> None:
    """Where no area is annotated, and where a set has no falloffs."""
    own = KeypointSet("own", ("a", "b", "c", "d"), (0, 1, 2, 3), (), ())
    points = points_of(own)
    row = label(1, 1, points)
    del row["area"]
    content = truth_of([row])
    file = tmp_path / "own.json"
    file.write_text(json.dumps(content))
    seen: list[Any] = []
    found = result(own, [points + np.array([0, 12])], [0.9])
    report = evaluate_poses(
        lambda tasks: (found for _ in tasks), own, file, tmp_path, True,
        watch=lambda picture, labels, poses: seen.extend(match(picture, labels, poses, in_order=True)),
    )  # fmt: skip
    area = BOX_SHARE * 100 * 200
    assert seen[0].oks == pytest.approx(np.exp(-(12**2) / (8 * area * UNKNOWN_SIGMA**2)), rel=1e-4)
    # AP counts the thresholds 0.5, 0.55, ... that this OKS (0.506) reaches.
    assert report.figures["AP"] == pytest.approx(0.1)

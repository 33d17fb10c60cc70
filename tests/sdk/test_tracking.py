"""Who is who, on made-up scenes with known truth and on the shared clips; OKS, NMS, Kalman."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpose_sdk import Detections, Pipeline, PoseResult, PoseStream, Tracking
from rtmpose_sdk.appearance import Wardrobe
from rtmpose_sdk.benchmarks.identity import People, identity
from rtmpose_sdk.benchmarks.scenes import COCO, SCENES, SIZE, Scene, crossing, walk
from rtmpose_sdk.benchmarks.scenes import Path as Way
from rtmpose_sdk.benchmarks.tracking import play
from rtmpose_sdk.boxes import iou
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.follow import follow
from rtmpose_sdk.motion import BoxMotion
from rtmpose_sdk.oks import sigmas_of, similarity, suppress_poses
from rtmpose_sdk.one_stage_stream import OneStageStream
from rtmpose_sdk.sources import ArraySource
from rtmpose_sdk.tracker import assign

BLACK = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)


@pytest.mark.parametrize("name", ["never hidden", "four cross", "false boxes", "double boxes", "noise"])
@pytest.mark.parametrize(("fps", "every"), [(10.0, 1), (10.0, 5), (30.0, 5), (60.0, 5)])
def test_four_people_cross_without_a_swap(name: str, fps: float, every: int) -> None:
    figures, _, _ = play(SCENES[name](fps), every)
    assert figures.switches == 0
    assert figures.ids == 4
    assert figures.idf1 > 0.95


def test_missed_detections_and_reentry() -> None:
    assert play(SCENES["misses 20 %"](30.0), 1)[0].switches == 0
    away, _, found = play(SCENES["away for 1 s"](30.0), 5)
    assert (away.switches, away.ids) == (0, 2)
    assert away.idf1 > 0.99
    assert [len(f.ids) for f in found[62:88]] == [1] * 26  # nobody is shown where nobody is


@pytest.mark.parametrize(("fps", "every"), [(10.0, 1), (10.0, 5), (30.0, 1), (30.0, 5)])
def test_people_in_like_clothes_cross_between_faulty_detections(fps: float, every: int) -> None:
    """Who is hidden is posed as who is in front, and either may be missed."""
    for seed in range(3):
        scene = Scene(crossing(), fps=fps, seed=seed, miss=0.15, ghosts=1, doubles=0.2, jitter=0.02)
        assert play(scene, every)[0].switches == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_box_around_two_people_moves_nobody(seed: int) -> None:
    """People who overlap are detected as one."""
    scene = Scene([walk((200, 600), (150, 0)), walk((1080, 620), (-150, 0), 310)], seconds=6, seed=seed)

    def detect(picture: np.ndarray) -> Detections:
        found = scene.detect(picture)
        low, high = found.boxes[:, :2].min(axis=0), found.boxes[:, 2:].max(axis=0)
        if len(found) < 2 or iou(found.boxes[:1], found.boxes[1:])[0, 0] < 0.05:
            return found
        return Detections(np.array([[*low, *high]], np.float32), found.scores[:1], SIZE)

    stream = PoseStream(detect, scene.pose, COCO, 5, None, None)
    truth, shown = [], []
    for index in range(scene.count):
        scene.time = index / scene.fps
        poses = stream(BLACK, scene.time).poses
        truth.append(scene.people(scene.time))
        shown.append(People(poses.boxes, poses.track_ids))
    figures = identity(truth, shown)
    assert (figures.switches, figures.ids) == (0, 2)
    assert figures.idf1 > 0.95


def test_clothes_tell_who_is_who_behind_a_wall() -> None:
    """Both turn round behind it: the motion alone leads each to where the other comes out."""

    def turns(side: int) -> Way:
        def path(time: float) -> tuple[float, float, float] | None:
            if 2 <= time < 3.5:
                return None
            off = 260 - 100 * time if time < 2 else 60 + 60 * (time - 3.5)
            return 640 + side * off, 600, 300

        return path

    scenes = [Scene([turns(-1), turns(1)], seconds=6, clothes=clothes) for clothes in (False, True)]
    assert [play(scene, 5)[0].switches for scene in scenes] == [2, 0]


@pytest.mark.parametrize("seed", range(3))
def test_people_walk_on_behind_a_wall(seed: int) -> None:
    """They pass each other there; who is hidden for three seconds does not slow down."""

    def walks(side: int) -> Way:
        def path(time: float) -> tuple[float, float, float] | None:
            return None if 2.5 < time < 5.5 else (640 + side * 60 * (time - 4), 600, 300)

        return path

    figures = play(Scene([walks(-1), walks(1)], seed=seed, jitter=0.03), 5)[0]
    assert (figures.switches, figures.ids) == (0, 2)


@pytest.mark.parametrize("fps", [1.0, 2.0])
@pytest.mark.parametrize("step", [100, 160])
def test_people_who_leave_their_own_box_from_frame_to_frame(fps: float, step: float) -> None:
    paths = [walk((100, 400), (step * fps, 0)), walk((1180, 700), (-step * fps, 0))]
    figures = play(Scene(paths, seconds=6.1 / fps, fps=fps), 1)[0]
    assert (figures.switches, figures.ids) == (0, 2)


def test_newcomers_get_new_ids_and_ids_are_never_given_again() -> None:
    scene = Scene(
        [walk((400, 600), (0, 0), away=(1.0, 9e9)), walk((420, 600), (0, 0), begin=5.0)], seconds=7
    )
    figures, truth, found = play(scene, 5)
    assert figures.ids == 2
    assert figures.ghosts == 0
    assert all(
        len(f.ids) == len(t.ids) or abs(i - 150) < 6
        for i, (t, f) in enumerate(zip(truth, found, strict=True))
    )
    assert found[-1].ids.tolist() == [2]


def test_the_detector_is_asked_when_it_must_be() -> None:
    scene = SCENES["never hidden"](30.0)
    play(scene, 5)
    assert scene.detections < 0.3 * scene.count
    empty = Scene([], seconds=1)
    play(empty, 5)
    assert empty.detections == empty.count  # nobody is tracked
    leaving = Scene([walk((400, 600), (0, 0), away=(0.7, 9e9)), walk((900, 600), (0, 0))], seconds=2)
    asked = []
    stream = PoseStream(leaving.detect, leaving.pose, COCO, 5)
    for index in range(leaving.count):
        leaving.time = index / 30
        result = stream(BLACK, leaving.time)
        asked.append(result.detected)
        assert len(result.poses) == (2 if index < 21 else 1)
    assert asked[21]  # at once, four frames before its turn
    assert sum(asked) == leaving.count // 5 + 1


def test_a_cut_begins_anew() -> None:
    scene = Scene([walk((400, 600), (0, 0))], seconds=2)
    stream = PoseStream(scene.detect, scene.pose, COCO, 5)
    rng = np.random.default_rng(0)
    one, other = (
        np.kron(rng.integers(0, 255, (9, 16, 3)), np.ones((80, 80, 1))).astype(np.uint8) for _ in "ab"
    )
    results = [stream(picture, i / 30) for i, picture in enumerate([one] * 8 + [other] * 4)]
    assert [r.cut for r in results] == [False] * 8 + [True] + [False] * 3
    assert results[8].detected
    assert [r.poses.track_ids.tolist() for r in results] == [[1]] * 8 + [[2]] * 4
    flash = [stream((other // 2 + 120).astype(np.uint8), 1 + i / 30) for i in range(2)]
    assert not any(r.cut for r in flash)  # a flash is no cut


def test_frames_of_another_size_and_times_that_go_back() -> None:
    scene = Scene([walk((400, 600), (0, 0))], seconds=2)

    def detect(picture: np.ndarray) -> Detections:
        return replace(scene.detect(picture), image_size=picture.shape[1::-1])

    stream = PoseStream(detect, scene.pose, COCO, 5)
    stream(BLACK, 0.0)
    assert stream(np.zeros((900, 1280, 3), np.uint8), 0.1).detected
    for time in (0.1, 0.05, float("nan"), float("inf")):
        with pytest.raises(InputError, match="expected seconds that grow"):
            stream(BLACK, time)
    assert len(stream(BLACK, 0.2).poses) == 1  # and it goes on


def test_wrong_settings() -> None:
    scene = Scene([])
    with pytest.raises(InputError, match="detect_every is 0"):
        PoseStream(scene.detect, scene.pose, COCO, 0)
    with pytest.raises(InputError, match="keep_score"):
        Tracking(keep_score=0.9)


def test_settings_survive_restoring() -> None:
    """What `--resume` does: a new stream that knows the last result goes on with the same people."""
    scene = SCENES["never hidden"](30.0)
    first, second = (PoseStream(scene.detect, scene.pose, COCO, 5) for _ in "ab")
    for index in range(60):
        scene.time = index / 30
        last = first(BLACK, scene.time)
    poses = PoseResult.from_dict(last.poses.to_dict())
    second.restore(first.count, last.time, poses, int(poses.track_ids.max()))
    scene.time = 2.0
    again = second(BLACK, scene.time)
    assert again.index == 60
    assert again.poses.track_ids.tolist() == last.poses.track_ids.tolist()
    for now, then in zip(again.poses, last.poses, strict=True):
        assert np.abs(now.boxes - then.boxes).max() < 30


def test_who_was_lost_comes_back_after_restoring_an_empty_frame() -> None:
    scene = Scene([walk((400, 600), (0, 0))], seconds=2)
    first, second = (PoseStream(scene.detect, scene.pose, COCO, 5) for _ in "ab")
    for index in range(5):
        scene.time = index / 30
        last = first(BLACK, scene.time)
    nobody = PoseResult.empty(COCO, last.poses.image_size)
    second.restore(10, 9 / 30, nobody, 1, [(last.time, last.poses)])
    scene.time = 10 / 30
    again = second(BLACK, scene.time)
    assert not again.cut
    assert again.poses.track_ids.tolist() == last.poses.track_ids.tolist() == [1]


def test_oks_is_cocos() -> None:
    """Against the formula by hand: d = 10 px at one of 17 keypoints of a person of 100 x 100 px."""
    a = np.zeros((1, 17, 2), np.float32)
    b = a.copy()
    b[0, 5, 0] = 10
    ones = np.ones((1, 17), np.float32)
    oks = similarity(a, b, ones, ones, np.array([1e4], np.float32), sigmas_of(COCO))
    k = 2 * COCO.oks_sigmas[5]
    assert oks[0, 0] == pytest.approx((16 + np.exp(-(10**2) / (2 * 1e4 * k**2))) / 17, rel=1e-5)
    few = ones.copy()
    few[0, 2:] = 0
    assert np.isnan(similarity(a, b, few, ones, np.array([1e4], np.float32), sigmas_of(COCO))).all()


def test_pose_nms_takes_doubles_and_leaves_embraces() -> None:
    rng = np.random.default_rng(0)
    pose = rng.uniform(0, 100, (17, 2)).astype(np.float32)
    poses, ones = np.stack([pose, pose + 1, pose + 1]), np.ones((3, 17), np.float32)
    boxes = np.array([[0, 0, 100, 100], [2, 0, 98, 100], [60, 0, 160, 100]], np.float32)
    scores = np.array([0.5, 0.9, 0.8], np.float32)
    assert suppress_poses(poses, ones, boxes, scores, sigmas_of(COCO), 0.7, 0.7) == [1, 2]
    assert suppress_poses(poses[:0], ones[:0], boxes[:0], scores[:0], sigmas_of(COCO), 0.7, 0.7) == []


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 999))
def test_assignment_is_the_best_one(rows: int, columns: int, seed: int) -> None:
    from itertools import permutations

    likeness = np.random.default_rng(seed).random((rows, columns)).astype(np.float32)
    pairs = assign(likeness, 0.0) if likeness.size else []
    assert len({r for r, _ in pairs}) == len(pairs) == min(rows, columns)
    square = np.zeros((5, 5))
    square[:rows, :columns] = likeness
    best = max(sum(square[i, p[i]] for i in range(5)) for p in permutations(range(5)))
    assert sum(likeness[r, c] for r, c in pairs) == pytest.approx(best, abs=1e-4)


def test_motion_is_in_seconds_and_body_sizes() -> None:
    """The same walk at 15 and 60 fps, near and far, is predicted to the same place."""
    places = []
    for fps in (15, 60):
        for size in (1.0, 5.0):
            motion = BoxMotion(size * np.array([0, 0, 40, 100], np.float32), 0.04)
            for i in range(1, 2 * fps + 1):
                motion.predict(1 / fps)
                x = 80 * i / fps
                motion.update(size * np.array([x, 0, x + 40, 100], np.float32), 0.04)
            np.testing.assert_allclose(motion.velocity / size, [80, 0], rtol=0.03, atol=0.5)
            motion.predict(0.5)
            places.append(motion.box / size)
    for place in places:
        np.testing.assert_allclose(place[0], 200, atol=4)


def test_what_hides_a_part_of_somebody_does_not_move_them() -> None:
    """Somebody walks behind a pillar: one side goes on, the other ends at it."""
    motion = BoxMotion(np.array([0, 0, 40, 100], np.float32), 0.04)
    for step in range(1, 20):
        motion.predict(0.1)
        motion.update(np.array([8 * step, 0, min(8 * step + 40, 160), 100], np.float32), 0.04)
    assert motion.velocity[0] > 60  # px / s, of 80


def test_identity_figures() -> None:
    box = np.array([[0, 0, 10, 10]], np.float32)
    truth = [People(box, np.array([7]))] * 10
    swapped = [People(box, np.array([1 if i < 6 else 2])) for i in range(10)]
    figures = identity(truth, swapped)
    assert (figures.idf1, figures.switches, figures.ids) == (pytest.approx(0.6), 1, 2)
    nobody = [People(box[:0], np.array([], int))] * 10
    assert identity(truth, nobody).misses == 1
    assert identity(nobody, swapped).ghosts == 1


@pytest.fixture(scope="module")
def pipeline(detector_folder: Path) -> Pipeline:
    return Pipeline(detector=detector_folder, threads=1)


def ids_of(
    pipeline: Pipeline, clip: Path, every: int = 5, stride: int = 1, **part: float
) -> dict[int, list[int]]:
    pytest.importorskip("av")
    from rtmpose_sdk import open_source

    seen = defaultdict(list)
    with open_source(clip, stride=stride, **part) as source:
        for frame, found in pipeline.follow(source, every):
            for number in found.poses.track_ids.tolist():
                seen[number].append(frame.index)
    return seen


def test_everybody_keeps_one_id(pipeline: Pipeline, shared: Path) -> None:
    meet = ids_of(pipeline, shared / "video" / "two_people_meet.mp4")
    assert {n: (s[0], s[-1], len(s)) for n, s in meet.items()} == {1: (0, 71, 72), 2: (0, 71, 72)}
    many = ids_of(pipeline, shared / "video" / "multi_person.mp4", stride=2)
    assert set(many) == {1, 2, 3}
    assert min(len(seen) for seen in many.values()) >= 45


def test_no_ghost_on_empty_frames(pipeline: Pipeline, shared: Path) -> None:
    """Frames 195 to 228 are empty; one woman goes before, one man comes after."""
    seen = ids_of(pipeline, shared / "video" / "one_by_one.mp4", start=17.0, end=25.0)
    assert set(seen) == {1, 2}
    assert max(seen[1]) <= 198
    assert 225 <= min(seen[2]) <= 232


def test_one_pipeline_serves_streams_in_threads(pipeline: Pipeline, shared: Path) -> None:
    pytest.importorskip("av")
    from rtmpose_sdk import open_source

    with open_source(shared / "video" / "two_people_meet.mp4") as source:
        frames = list(islice(source, 12))

    def work(out: list[PoseResult]) -> None:
        stream = pipeline.stream()
        out.extend(stream(frame.image, frame.time).poses for frame in frames)

    alone: list[PoseResult] = []
    work(alone)
    several: list[list[PoseResult]] = [[] for _ in range(3)]
    threads = [threading.Thread(target=work, args=(out,)) for out in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for out in several:
        for mine, reference in zip(out, alone, strict=True):
            np.testing.assert_array_equal(mine.track_ids, reference.track_ids)
            np.testing.assert_allclose(mine.keypoints, reference.keypoints, atol=1e-3)


def test_detections_of_the_callers_own() -> None:
    scene = Scene([walk((400, 600), (0, 0))], seconds=1)

    def never(_: object) -> Detections:
        raise AssertionError("asked the detector")

    stream = PoseStream(never, scene.pose, COCO, 5)
    for index in range(5):
        scene.time = index / 30
        assert len(stream(BLACK, scene.time, scene.detect(BLACK)).poses) == 1


def asked_in(stream: PoseStream, scene: Scene, fps: float, count: int) -> list[int]:
    """Frames in which the detector was asked."""
    asked = []
    for index in range(count):
        scene.time = index / fps
        found = stream(BLACK, scene.time)
        if found.detected:
            asked.append(index)
        assert len(found.poses) == 1
    return asked


def test_a_low_pose_that_detections_support_is_not_asked_for_again() -> None:
    """Somebody seen from behind: detected every time, the pose below the limit every time."""
    scene = Scene([walk((400, 600), (0, 0))], seconds=2)

    def unsure(picture: np.ndarray, boxes: Detections) -> PoseResult:
        return replace(scene.pose(picture, boxes), confidences=np.full((len(boxes), 17), 0.2, np.float32))

    stream = PoseStream(scene.detect, unsure, COCO, 5)
    assert asked_in(stream, scene, 30.0, 30) == [0, 5, 10, 15, 20, 25]


def with_confidences(scene: Scene, *each: float) -> Callable[[np.ndarray, Detections], PoseResult]:
    """The scene's poses from left to right with these confidences, all keypoints alike."""

    def pose(picture: np.ndarray, boxes: Detections) -> PoseResult:
        found = scene.pose(picture, boxes)
        order = np.argsort(np.argsort(found.boxes[:, 0]))
        sure = np.array(each, np.float32)[order, None]
        return replace(found, confidences=np.repeat(sure, 17, axis=1))

    return pose


def test_a_pose_that_fell_by_half_is_nobodys_however_often_it_is_looked_at() -> None:
    """The frame is looked at without detections and, as nobody is there, with a weak one."""
    scene = Scene([walk((400, 600), (0, 0))], seconds=1, jitter=0.0)
    strong, now = 0.8, 0.8

    def detect(picture: np.ndarray) -> Detections:
        found = scene.detect(picture)
        return replace(found, scores=np.full(len(found), strong, np.float32))

    stream = PoseStream(detect, lambda *seen: with_confidences(scene, now)(*seen), COCO, 10)
    for index in range(6):
        if index == 5:
            strong, now = 0.2, 0.47 * 0.8
        found = stream(BLACK, index / 30)
    assert found.detected
    assert len(found.poses) == 0


def test_who_stands_beside_somebody_lost_is_as_sure_as_before() -> None:
    """What is seen in a frame that is looked at again counts once: no pose fell by half unnoticed."""
    scene = Scene([walk((300, 600), (0, 0)), walk((900, 600), (0, 0))], seconds=1, jitter=0.0)
    each = [[0.8, 0.8]] * 5 + [[0.41, 0.05], [0.38, 0.05]]
    stream = PoseStream(
        lambda picture: scene.detect(picture)[: 1 if stream.count > 0 else 2],
        lambda *seen: with_confidences(scene, *each[stream.count])(*seen),
        COCO,
        10,
    )
    found = [stream(BLACK, index / 30) for index in range(7)]
    assert [len(f.poses) for f in found] == [2] * 5 + [1, 1]
    assert [f.detected for f in found] == [True] + [False] * 4 + [True, True]


def test_clothes_that_do_not_count_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("looked at the clothes")

    monkeypatch.setattr(Wardrobe, "__call__", never)
    scene = Scene([walk((400, 600), (0, 0))], seconds=1)
    stream = PoseStream(scene.detect, scene.pose, COCO, 5, Tracking(look_weight=0))
    assert [stream(BLACK, index / 30).poses.track_ids.tolist() for index in range(7)] == [[1]] * 7


@pytest.mark.parametrize(("fps", "every", "asked"), [(30.0, 60, [0, 60]), (1.0, 5, [0, 5, 10, 15, 20, 25])])
def test_few_detections_are_enough(fps: float, every: int, asked: list[int]) -> None:
    """More than a second from one detection to the next: by a large K, or by few frames a second."""
    scene = Scene([walk((400, 600), (0, 0))], seconds=2)
    stream = PoseStream(scene.detect, scene.pose, COCO, every)
    assert asked_in(stream, scene, fps, asked[-1] + 3) == asked


def test_depths_go_through_a_stream_and_back_from_a_file() -> None:
    scene = Scene([walk((400, 600), (0, 0)), walk((900, 600), (0, 0))], seconds=1)

    def deep(picture: np.ndarray, boxes: Detections) -> PoseResult:
        found = scene.pose(picture, boxes)
        return replace(found, depths=found.keypoints[..., 0] / 1000)

    stream = PoseStream(scene.detect, deep, COCO, 5, smoothing=None)
    for index in range(7):
        scene.time = index / 30
        poses = stream(BLACK, scene.time).poses
        np.testing.assert_allclose(poses.depths, poses.keypoints[..., 0] / 1000)
    back = PoseResult.from_dict(poses.to_dict())
    np.testing.assert_allclose(back.depths, poses.depths, atol=1e-4)
    assert len(poses) == 2


def test_every_fifth_frame_shows_the_same_people_as_every_frame() -> None:
    """K = 5 against K = 1: same persons, keypoints by less than 1 % of body size apart (median)."""
    shown = {}
    for every in (1, 5):
        scene = Scene([walk((300, 600), (90, 0)), walk((900, 640), (-60, 0))], seconds=3, jitter=0.0)
        stream = PoseStream(scene.detect, scene.pose, COCO, every)
        shown[every] = []
        for index in range(scene.count):
            scene.time = index / scene.fps
            shown[every].append(stream(BLACK, scene.time).poses)
        assert scene.detections <= (scene.count if every == 1 else 0.3 * scene.count)
    apart = []
    for one, five in zip(shown[1], shown[5], strict=True):
        np.testing.assert_array_equal(one.track_ids, five.track_ids)
        size = np.sqrt((one.boxes[:, 2:] - one.boxes[:, :2]).prod(axis=1))
        apart.append(np.linalg.norm(one.keypoints - five.keypoints, axis=2) / size[:, None])
    assert set(shown[5][-1].track_ids.tolist()) == {1, 2}
    assert np.median(np.concatenate(apart)) < 0.01


@pytest.mark.parametrize("overlap", [True, False])
def test_a_network_in_one_stage_serves_a_stream(overlap: bool) -> None:
    """Its boxes bring their poses: it is asked once in a frame, and everybody keeps one id."""
    scene = Scene([walk((300, 600), (90, 0)), walk((900, 640), (-60, 0))], seconds=1, jitter=0.0)
    calls = []

    def find(picture: np.ndarray) -> PoseResult:
        scene.time = len(calls) / 30
        calls.append(picture)
        return scene.pose(picture, scene.detect(picture))

    both = OneStageStream(find, COCO)
    stream = PoseStream(both.detect, both.pose, COCO, 1)
    frames = ArraySource((BLACK.copy() for _ in range(30)), 30.0)
    results = [found.poses for _, found in follow(frames, stream, overlap)]
    assert len(calls) == len(results) == 30
    assert [r.track_ids.tolist() for r in results] == [[1, 2]] * 30
    assert min(r.confidences.mean() for r in results) > 0.5
    nobody = both.pose(calls[-1], Detections(np.ones((1, 4), np.float32), np.ones(1, np.float32), SIZE))
    assert nobody.confidences.max() == 0


def test_one_stage_with_a_buffer_that_is_used_again() -> None:
    """As `cap.read(buffer)` gives them: every frame is the same object."""
    scene = Scene([walk((300, 600), (90, 0)), walk((900, 640), (-60, 0))], seconds=1, jitter=0.0)
    buffer = BLACK.copy()

    def find(picture: np.ndarray) -> PoseResult:
        scene.time = picture[0, 0, 0] / 30
        return scene.pose(picture, scene.detect(picture))

    both = OneStageStream(find, COCO)
    stream = PoseStream(both.detect, both.pose, COCO, 1, smoothing=None)
    for index in range(8):
        buffer[0, 0, 0] = index
        found = stream(buffer, index / 30)
        assert found.poses.confidences.min() > 0.3
        np.testing.assert_allclose(found.poses.keypoints, find(buffer).keypoints, atol=1e-4)

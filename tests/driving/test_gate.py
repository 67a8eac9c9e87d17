import dataclasses
import json
from typing import cast

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import to_dict
from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.evaluation.intervals import Interval
from core.training.trainer import TrainConfig, Trainer
from driving.gate import calibrate, checks, figures, report, score
from driving.gate.boxes import CLASSES, CONDITION, NEAR, Boxes, boxes_condition, boxes_of, class_of, project, visible_share
from driving.gate.corruptions import CORRUPTIONS
from driving.gate.detector import Detections, Detector, DetectorConfig
from driving.gate.egomotion import EgoMotionReader
from driving.gate.train import Batch, StoreSampler, loss, targets, train
from driving.rig import Rig, nuscenes_rig
from driving.road.network import Road
from driving.scene import RATE, Actor, Ambience, Scene

FULL = nuscenes_rig()
RIG = Rig(cameras=(FULL.cameras[5], FULL.cameras[0], FULL.cameras[1]))
SIZE = (RIG.width, RIG.height)
PAINT = np.array([(220, 40, 40), (40, 60, 220), (230, 200, 40)], float)
KINDS = (class_of("car"), class_of("truck"), class_of("pedestrian"))


def rows(*bodies: tuple[float, ...]) -> np.ndarray:
    """Bodies (class, x, y, yaw, width, length, height, speed) as a frame's condition."""
    out = np.zeros((len(bodies), 12), np.float32)
    for n, (kind, x, y, yaw, width, length, height, speed) in enumerate(bodies):
        out[n] = (1, kind, x, y, height / 2, yaw, width, length, height, speed, n, 1)
    return out


def cast_rays(boxes: Boxes, pose: np.ndarray, k: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Brute force: the depth at which each pixel's ray enters each body, (N, h, w), infinite where it misses."""
    u, v = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    return cast_at(boxes, pose, k, u, v)


def cast_at(boxes: Boxes, pose: np.ndarray, k: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The same at places (...) of the picture: (N, ...)."""
    ray = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(k).T @ pose[:3, :3].T
    out = np.full((len(boxes.yaw), *u.shape), np.inf)
    for n in range(len(boxes.yaw)):
        cos, sin = np.cos(boxes.yaw[n]), np.sin(boxes.yaw[n])
        turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        start, way = turn @ (pose[:3, 3] - boxes.centre[n]), ray @ turn.T
        half = boxes.size[n][[1, 0, 2]] / 2
        with np.errstate(all="ignore"):
            sides = np.sort(np.stack([(-half - start) / way, (half - start) / way]), 0)
        enter, leave = np.maximum(sides[0].max(-1), NEAR), sides[1].min(-1)
        out[n] = np.where(leave > enter, enter, np.inf)
    return out


def world(seed: int = 0, steps: int = 20, still: bool = False) -> Episode:
    """A drawn world: mottled ground, bodies in plain paint, exact depth. The ego drives on and turns a little.

    `still`: the bodies do not move.
    """
    rng = np.random.default_rng(seed)
    mottle = cv2.GaussianBlur(rng.uniform(0, 255, (256, 256)), (0, 0), 1.5)
    speed, turn = rng.uniform(4, 6), rng.uniform(-0.15, 0.15)
    way, yaw = np.arange(steps) / RATE * speed, np.arange(steps) / RATE * turn
    ego = np.stack([way * np.cos(yaw / 2), way * np.sin(yaw / 2), yaw], 1)  # an arc, but for its third order
    bodies = [
        (KINDS[0], 14, 2.0, 0.1, 2.0, 4.5, 1.7, speed + 1.5),
        (KINDS[1], 36, -3.0, 0.0, 2.5, 8.0, 3.3, -6.0),
        (KINDS[0], 30, 14.0, 1.6, 2.0, 4.5, 1.7, -4.0),
        (KINDS[2], 16, -4.5, 1.5, 0.9, 0.9, 1.9, 0.0),
    ]
    boxes = np.stack([rows(*bodies) for _ in range(steps)])
    boxes[..., 9] *= not still
    along = np.arange(steps)[:, None] / RATE * boxes[..., 9]
    boxes[..., 2] += along * np.cos(boxes[..., 5])
    boxes[..., 3] += along * np.sin(boxes[..., 5])
    poses, k = np.stack([RIG.poses(*e) for e in ego]), RIG.intrinsics()
    frames = np.zeros((steps, 3, SIZE[1], SIZE[0], 3), np.uint8)
    depth = np.zeros(frames.shape[:-1], np.float16)
    u, v = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    for t in range(steps):
        told = Boxes.read(boxes[t])
        for c in range(3):
            ray = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(k[c]).T @ poses[t, c, :3, :3].T
            fall = np.where(ray[..., 2] < -1e-6, -poses[t, c, 2, 3] / np.minimum(ray[..., 2], -1e-6), np.inf)
            near = fall < 60
            place = poses[t, c, :2, 3] + ray[..., :2] * np.where(near, fall, 0)[..., None]
            at = (place / 0.5 + 100).astype(np.float32)
            tone = cv2.remap(mottle.astype(np.float32), at[..., 0] % 255, at[..., 1] % 255, cv2.INTER_LINEAR)
            tone = 128 + (tone - 128) * np.clip(1.5 - fall / 20, 0, 1)  # far off it would flicker
            picture = np.where(near[..., None], tone[..., None], (150.0, 180.0, 210.0))
            deep = np.where(near, fall, 0)
            enter = cast_rays(told, poses[t, c], k[c], SIZE)
            for n in np.argsort(-told.centre[:, 0]):
                hit = enter[n] < np.where(deep > 0, deep, np.inf)
                spot = poses[t, c, :3, 3] + ray * np.where(hit, enter[n], 0)[..., None] - told.centre[n]
                wave = 18 * np.sin(5 * spot[..., 0] + 2) * np.cos(5 * spot[..., 2]) + 10 * np.sin(7 * spot[..., 1])
                picture[hit] = PAINT[KINDS.index(told.kind[n])] + wave[hit][:, None]
                deep[hit] = enter[n][hit]
            frames[t, c], depth[t, c] = np.clip(picture, 0, 255), deep
    action = np.full((steps, 2), (speed, turn), np.float32)
    return Episode(frames=frames, action=action, pose=poses, intrinsics=k, depth=depth, conditions={CONDITION: boxes})


class PaintFinder:
    """Finds bodies by their paint, as a detector would."""

    def find(self, pictures: np.ndarray, focal: np.ndarray) -> Detections:
        out = []
        for p, picture in enumerate(pictures):
            for kind, paint in zip(KINDS, PAINT):
                rest = picture.astype(float) - paint
                mask = np.abs(rest - rest.mean(-1, keepdims=True)).max(-1) < 25
                count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
                out += [(p, kind, 0.9, *s[:2], s[0] + s[2], s[1] + s[3]) for s in stats[1:] if s[4] >= 12]
        a = np.array(out, float).reshape(-1, 7)
        middle = (a[:, 3:5] + a[:, 5:7]) / 2
        kinds = a[:, 1].astype(int)
        return Detections(a[:, 0].astype(int), kinds, a[:, 2], a[:, 3:7], middle, np.full(len(a), 10.0))


FINDER = cast(Detector, PaintFinder())


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    return [world(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def thresholds(episodes: list[Episode]) -> checks.Thresholds:
    return calibrate.calibrate(FINDER, episodes)


# --- boxes ---


bodies = st.tuples(
    st.floats(-12, 25), st.floats(-12, 12), st.floats(-3.1, 3.1), st.floats(0.4, 3), st.floats(0.4, 12), st.floats(0.5, 4)
)


@settings(max_examples=20, deadline=None)
@given(bodies, st.floats(-3, 3))
def test_projection_is_where_rays_hit(body, yaw):
    boxes = Boxes.read(rows((0, *body, 0.0)))
    poses, k = FULL.poses(0.0, 0.0, yaw), FULL.intrinsics()
    sight = project(boxes, poses, k, *SIZE)
    reach = np.hypot(body[3], body[4]) / 2 + 0.3
    for camera in range(6):
        if np.hypot(*(poses[camera, :2, 3] - body[:2])) < reach:
            continue  # it may touch the camera
        hit = np.isfinite(cast_rays(boxes, poses[camera], k[camera], SIZE)[0])
        if not hit.any():
            assert min(sight.box[camera, 0, 2:] - sight.box[camera, 0, :2]) <= 3  # a sliver between rays at most
            continue
        assert sight.shown[camera, 0]
        y, x = np.nonzero(hit)
        brute = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
        inner = sight.box[camera, 0]
        assert (inner[:2] <= brute[:2] + 0.5).all() and (inner[2:] >= brute[2:] - 0.5).all()
        x0, y0, x1, y1 = inner
        line = np.linspace(0.001, 0.999, 3000)
        if min(x1 - x0, y1 - y0) > 4:  # something of the body is within a pixel of each side
            for u, v in ((x0 + 1, None), (x1 - 1, None), (None, y0 + 1), (None, y1 - 1)):
                across = np.full(3000, u) if u is not None else x0 + line * (x1 - x0)
                down = np.full(3000, v) if v is not None else y0 + line * (y1 - y0)
                assert np.isfinite(cast_at(boxes, poses[camera], k[camera], across, down)).any()
        assert (inner >= 0).all() and (inner[[0, 2]] <= SIZE[0]).all() and (inner[[1, 3]] <= SIZE[1]).all()


def test_projection_equals_corners_where_nothing_is_cut():
    boxes = Boxes.read(rows((0, 20.0, 1.0, 0.4, 2.0, 4.0, 1.5, 0.0)))
    poses, k = FULL.poses(0, 0, 0.0), FULL.intrinsics()
    sight = project(boxes, poses, k, *SIZE)
    spin = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    flat = np.array([[a * 2.0, b * 1.0] for a in (-1, 1) for b in (-1, 1)]) @ spin.T + (20.0, 1.0)
    corners = np.array([[*p, z, 1] for p in flat for z in (0.0, 1.5)])
    local = (np.linalg.inv(poses[0]) @ corners.T).T[:, :3] @ k[0].T
    pixels = local[:, :2] / local[:, 2:]
    np.testing.assert_allclose(sight.box[0, 0], [*pixels.min(0), *pixels.max(0)], atol=1e-3)
    np.testing.assert_allclose(sight.amodal[0, 0], sight.box[0, 0], atol=1e-3)
    assert sight.shown[:, 0].tolist() == [True] + [False] * 5 and sight.inside[0, 0] == pytest.approx(1)
    assert sight.depth[0, 0] == pytest.approx(20 - 1.7, abs=1e-3)


def test_a_body_around_the_picture_fills_it():
    boxes = Boxes.read(rows((0, 5.0, 0.0, 0.0, 60.0, 1.0, 30.0, 0.0)))
    sight = project(boxes, FULL.poses(0, 0, 0)[:1], FULL.intrinsics()[:1], *SIZE)
    np.testing.assert_allclose(sight.box[0, 0], [0, 0, *SIZE], atol=36)
    assert sight.box[0, 0, [0, 1, 2]].tolist() == [0, 0, SIZE[0]]


def test_visible_share():
    boxes = Boxes.read(rows((0, 20.0, 0.0, 0.0, 2.0, 4.0, 1.5, 0.0), (1, 12.0, 0.0, 0.0, 2.6, 2.0, 3.0, 0.0)))
    poses, k = FULL.poses(0, 0, 0)[:1], FULL.intrinsics()[:1]
    sight = project(boxes, poses, k, *SIZE)
    enter = cast_rays(boxes, poses[0], k[0], SIZE)
    open_road = np.zeros((1, SIZE[1], SIZE[0]), np.float32)
    assert visible_share(boxes, sight, poses, k, open_road, SIZE).tolist() == [[1, 1]]
    drawn = enter.min(0)[None]
    hidden = visible_share(boxes, sight, poses, k, drawn, SIZE)
    assert hidden[0, 0] < 0.1 and hidden[0, 1] == 1
    np.testing.assert_allclose(visible_share(boxes, sight, poses, k, None, SIZE), hidden, atol=0.05)
    ids = np.where(np.isfinite(drawn), enter.argmin(0)[None] + 1, 0)
    np.testing.assert_allclose(visible_share(boxes, sight, poses, k, drawn, SIZE, ids), hidden, atol=0.1)
    half = np.where(np.arange(SIZE[0]) < 64, 5.0, 100.0).astype(np.float32) * np.ones((1, SIZE[1], 1), np.float32)
    assert visible_share(boxes, sight, poses, k, half, SIZE)[0] == pytest.approx([0.5, 0.5], abs=0.1)


def _scene() -> Scene:
    from shapely.geometry import box

    road = Road(name="r", kind="straight", lanes={}, drivable=box(-50, -5, 50, 5), walkways=box(-50, 5, 50, 8))
    actors = (
        Actor(id=0, category="ambulance", size=(2.2, 6.0, 2.7), colour=(1, 2, 3)),
        Actor(id=1, category="child", size=(0.5, 0.5, 1.2), colour=(1, 2, 3)),
    )
    tracks = np.zeros((2, 3, 4))
    tracks[0] = [[20, 1, 0.3, 5], [20.5, 1, 0.3, 5], [21, 1, 0.3, 5]]
    tracks[1] = [[np.nan] * 4, [8, -4, 1.0, 1], [8, -3.9, 1.0, 1]]
    ego = np.zeros((3, 4))
    return Scene(name="s", road=road, rig=FULL, ambience=Ambience(), ego=ego, actors=actors, tracks=tracks)


def test_boxes_travel_through_an_episode():
    scene = _scene()
    condition = boxes_condition(scene)
    assert condition.shape == (3, 2, 12) and condition.dtype == np.float32
    assert condition[0, 1].tolist() == [0] * 12 and condition[:, 0, -1].all()
    back, there = Boxes.read(condition)[1], boxes_of(scene.moment(1))
    for name in ("present", "kind", "centre", "yaw", "size", "speed", "id"):
        np.testing.assert_allclose(getattr(back, name), getattr(there, name), atol=1e-5)
    assert CLASSES[there.kind[0]] == "emergency" and CLASSES[there.kind[1]] == "pedestrian"
    empty = dataclasses.replace(scene, actors=(), tracks=np.zeros((0, 0, 4)))
    assert boxes_condition(empty).shape == (3, 0, 12) and len(boxes_of(empty.moment(0)).yaw) == 0


# --- detector ---


def _batch(step: int = 0) -> Batch:
    episode = world(0, 2)
    boxes = Boxes.read(episode.conditions[CONDITION][0])
    assert episode.pose is not None and episode.intrinsics is not None
    sight = project(boxes, episode.pose[0], episode.intrinsics, *SIZE)
    pictures = torch.from_numpy(episode.frames[0].transpose(0, 3, 1, 2).copy())
    return Batch(pictures, *targets(boxes.kind, sight, np.ones(sight.shown.shape), episode.intrinsics[:, 0, 0], SIZE))


def _learnt(steps: int) -> tuple[list[float], Detector]:
    torch.manual_seed(0)
    detector, batch, seen = Detector(DetectorConfig(channels=(8, 16, 16, 16), head=16)), _batch(), []
    optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-2)
    for _ in range(steps):
        value, _ = loss(detector, batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        seen.append(float(value.detach()))
    return seen, detector.eval()


def test_loss_falls_and_bodies_are_found():
    values, detector = _learnt(60)
    assert values[19] < 0.6 * values[0]
    episode = world(0, 2)
    found = score.find(detector, episode, every=2)
    assert found.demanded.any()
    assert (score.match(found).score[found.demanded] > 0.3).mean() > 0.7
    close = score.match(found, "ground", 4.0)
    assert (close.score[found.demanded] > 0.3).mean() > 0.7


def test_targets_invert_to_boxes():
    batch = _batch()
    v, _, row, column = (int(x[0]) for x in torch.nonzero(batch.known[:, :1], as_tuple=True))
    cell = batch.geometry[v, :, row, column]
    sides = cell[:2].exp() * 4
    centre = (torch.tensor([column, row]) + cell[2:4]) * 4
    sight = project(Boxes.read(world(0, 2).conditions[CONDITION][0]), RIG.poses(0, 0, 0), RIG.intrinsics(), *SIZE)
    box = torch.cat([centre - sides / 2, centre + sides / 2]).numpy()
    assert np.abs(sight.box[v] - box).max(-1).min() < 0.01


def test_detector_is_small_and_saves_exactly(tmp_path):
    detector = Detector(DetectorConfig()).eval()
    assert sum(p.numel() for p in detector.parameters()) <= 600_000
    detector.save(tmp_path)
    back = Detector.load(tmp_path)
    pictures = np.random.default_rng(0).integers(0, 255, (2, 72, 128, 3), np.uint8)
    with torch.inference_mode():
        for a, b in zip(
            detector(torch.from_numpy(pictures.transpose(0, 3, 1, 2))), back(torch.from_numpy(pictures.transpose(0, 3, 1, 2)))
        ):
            assert torch.equal(a, b)
    (tmp_path / "detector.safetensors").write_bytes(b"no")
    with pytest.raises(ZoetropeError, match="detector.safetensors"):
        Detector.load(tmp_path)
    (tmp_path / "detector.safetensors").unlink()
    with pytest.raises(ZoetropeError, match="no weights"):
        Detector.load(tmp_path)


def test_training_goes_on_where_it_was_cut_off(tmp_path):
    store = EpisodeStore(tmp_path / "data")
    store.write(0, world(1, 4))
    sampler = StoreSampler(store, store.indices(), rigs=1, seed=3)
    first, again = sampler(5), sampler(5)
    for name in ("pictures", "heat", "weight", "geometry", "known"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert first.pictures.shape == (3, 3, 72, 128) and first.heat.shape == (3, len(CLASSES), 18, 32)
    small = DetectorConfig(channels=(8, 8, 8, 8), head=8)
    config = TrainConfig(steps=4, batch=1, seed=1)
    whole = train(small, sampler, config, tmp_path / "whole", progress=False)
    torch.manual_seed(1)
    cut = Trainer(Detector(small), lambda b, _: (_ for _ in ()).throw(RuntimeError()), sampler, config, tmp_path / "cut")
    cut.loss = lambda b, _: loss(cast(Detector, cut.module), b)
    for step in range(2):
        cut._update(sampler(step))
        cut.step += 1
    cut.save()
    resumed = train(small, sampler, config, tmp_path / "cut", progress=False)
    for a, b in zip(whole.parameters(), resumed.parameters()):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    with pytest.raises(ZoetropeError, match="no episodes"):
        StoreSampler(store, [], rigs=1)


# --- scores ---


def _found(told: list[tuple], seen: list[tuple]) -> score.Found:
    """Told (kind, box, demanded) and seen (kind, score, box) of one picture."""
    n = len(told)
    box = np.array([b for _, b, _ in told], np.float32).reshape(1, 1, n, 4)
    kind = np.array([k for k, _, _ in told]).reshape(1, n)
    centre = np.concatenate([box[0, :, :, :2], np.zeros((1, n, 1))], -1)
    ones = np.ones((1, 1, n))
    boxes = Boxes(ones[0] > 0, kind, centre, ones[0], np.ones((1, n, 3)), ones[0], np.arange(n)[None])
    sight = score.Sight(ones > 0, box, box, box[..., :2], ones, ones * 5)
    visible = np.array([float(d) for _, _, d in told]).reshape(1, 1, n)
    m = np.array([b for _, _, b in seen], np.float32).reshape(-1, 4)
    kinds, scores = np.array([k for k, _, _ in seen], int), np.array([s for _, s, _ in seen], float)
    detections = Detections(np.zeros(len(m), int), kinds, scores, m, m[:, :2], np.ones(len(m)))
    return score.Found(boxes, sight, visible, detections, np.concatenate([m[:, :2], np.zeros((len(m), 1))], 1), 1)


A, B, C = (0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)


def value(interval: Interval | None) -> float:
    assert interval is not None
    return interval.value


def ap(found: score.Found, kinds: tuple[int, ...] = (0,), rule: score.Rule = "overlap", limit: float = 0.3) -> float:
    return value(score.precision([found], rule, limit).of(kinds))


def test_average_precision_of_hand_made_cases():
    perfect = _found([(0, A, True), (0, B, True)], [(0, 0.9, A), (0, 0.8, B)])
    assert ap(perfect) == pytest.approx(1)
    half = _found([(0, A, True), (0, B, True)], [(0, 0.9, A)])
    assert ap(half) == pytest.approx(0.5)
    wrong_first = _found([(0, A, True), (0, B, True)], [(0, 0.95, C), (0, 0.9, A), (0, 0.8, B)])
    assert ap(wrong_first) == pytest.approx(2 / 3)  # the envelope: 2 of 3 right at full recall
    twice = _found([(0, A, True)], [(0, 0.9, A), (0, 0.8, A)])
    assert ap(twice) == pytest.approx(1)
    excused = _found([(0, A, True), (0, B, False)], [(0, 0.95, B), (0, 0.9, A)])
    assert ap(excused) == pytest.approx(1)
    other_class = _found([(0, A, True)], [(1, 0.9, A)])
    assert ap(other_class) == 0
    assert not np.isfinite(ap(perfect, kinds=(3,)))
    aside = _found([(0, A, True)], [(0, 0.9, (4, 0, 14, 10))])  # overlap 6/14
    assert ap(aside, limit=0.3) == 1 and ap(aside, limit=0.5) == 0
    assert ap(aside, rule="ground", limit=4.0) == 1 and ap(aside, rule="ground", limit=2.0) == 0


def test_ratio_and_recall_have_intervals_over_scenes():
    good = _found([(0, A, True), (2, B, True)], [(0, 0.9, A), (2, 0.8, B)])
    bad = _found([(0, A, True), (2, B, True)], [(0, 0.9, A), (0, 0.8, C)])
    worse, source = score.precision([bad] * 4), score.precision([good] * 4)
    assert value(worse.over(source, (0, 2))) == pytest.approx(0.5)
    recall = score.recall([good, bad, good, bad], 0.5)
    rate = recall.rate()
    assert rate is not None and rate.value == 0.75 and rate.low <= 0.75 <= rate.high
    table = recall.table(["CAM_FRONT"])
    assert table["class"]["car"]["recall"] == 1 and table["class"]["bus"]["recall"] == 0.5
    assert list(table["distance"]) == ["0-10 m"] and table["camera"]["CAM_FRONT"]["count"] == 8


# --- checks ---


def test_clean_scenes_are_accepted(episodes, thresholds):
    for episode in episodes:
        measured = checks.measure(episode, FINDER, thresholds.expectation)
        assert all(v is not None for v in measured.figures.values())
        assert checks.judge(measured, thresholds).accepted
    unseen = checks.judge(checks.measure(world(9), FINDER, thresholds.expectation), thresholds)
    assert unseen.accepted, unseen.reasons


@pytest.mark.parametrize(
    "name, reason",
    [
        ("shifted_boxes", "told_boxes"),
        ("lagging_boxes", "unknown_bodies"),
        ("missing_actor", "worst_actor"),
        ("untold_actor", "unknown_bodies"),
        ("swapped_cameras", "overlap"),
        ("frozen_video", "stillness"),
        ("blur", "sharpness"),
        ("drifting_colours", "drift"),
    ],
)
def test_each_corruption_is_caught_with_its_reason(episodes, thresholds, name, reason):
    wrong = CORRUPTIONS[name](episodes[0], np.random.default_rng(1))
    verdict = checks.judge(checks.measure(wrong, FINDER, thresholds.expectation), thresholds)
    assert not verdict.accepted
    assert any(r.startswith(reason) for r in verdict.reasons), (verdict.reasons, verdict.figures)


def test_motion_of_boxes_that_move_otherwise(episodes):
    episode = episodes[0]
    assert episode.pose is not None and episode.intrinsics is not None

    def agreement(condition: np.ndarray) -> float | None:
        boxes = Boxes.read(condition)
        sight = project(boxes, episode.pose, episode.intrinsics, *SIZE)
        return figures.motion_agreement(episode.frames, boxes, sight, sight.demanded())

    told = episode.conditions[CONDITION]
    right, wrong = agreement(told), agreement(told[::-1].copy())
    assert right is not None and right > 0.9
    assert wrong is not None and wrong < right - 0.2


def test_what_cannot_be_measured_is_no_reason(episodes, thresholds):
    bare = dataclasses.replace(episodes[0].window(0, 3), depth=None)
    measured = checks.measure(bare, FINDER, thresholds.expectation)
    assert measured.figures["overlap"] is None and measured.figures["drift"] is None
    with pytest.raises(ZoetropeError, match="lacks boxes"):
        checks.measure(dataclasses.replace(bare, conditions={}), FINDER, thresholds.expectation)


def test_thresholds_travel_as_yaml(tmp_path, thresholds):
    calibrate.save(thresholds, tmp_path / "t.yaml")
    assert checks.Thresholds.load(tmp_path / "t.yaml") == thresholds
    wrong = to_dict(thresholds)
    wrong["limits"][0]["check"] = "beauty"
    (tmp_path / "w.yaml").write_text(json.dumps(wrong))
    with pytest.raises(ZoetropeError, match="beauty"):
        checks.Thresholds.load(tmp_path / "w.yaml")


def test_error_rates_of_clean_and_corrupted_scenes(episodes, thresholds):
    rates = calibrate.error_rates(FINDER, thresholds, episodes[:2])
    assert list(rates) == ["false_reject", *CORRUPTIONS]
    assert rates["false_reject"] is not None and rates["false_reject"].value == 0
    assert rates["frozen_video"] is not None and rates["frozen_video"].value == 0


def test_quality_report(tmp_path, episodes, thresholds):
    frozen = CORRUPTIONS["frozen_video"](episodes[1], np.random.default_rng(0))
    judged = []
    for name, episode in (("good", episodes[0]), ("frozen", frozen)):
        measured = checks.measure(episode, FINDER, thresholds.expectation)
        verdict = checks.judge(measured, thresholds)
        picture = None
        if not verdict.accepted:
            picture = "rejected/frozen.png"
            drawn = report.rejection_picture(episode, measured, verdict, thresholds.expectation.score)
            report.write_picture(tmp_path / picture, drawn)
            stored = cv2.imread(str(tmp_path / picture))
            assert stored is not None and stored.shape == drawn.shape
        judged.append(
            {
                "scene": name,
                "accepted": verdict.accepted,
                "reasons": list(verdict.reasons),
                "picture": picture,
                "figures": verdict.figures,
                "cameras": [camera.name for camera in RIG.cameras],
                "found": score.recall([measured.found], thresholds.expectation.score).rows(),
            }
        )
    content = report.quality(judged)
    text = json.loads(json.dumps(content, allow_nan=False))
    assert text["accepted"] == ["good"] and text["acceptance_rate"] == 0.5
    (rejected,) = text["rejected"]
    assert rejected["scene"] == "frozen" and rejected["picture"] == "rejected/frozen.png"
    assert any("freezes" in reason for reason in rejected["reasons"])
    assert set(text["recall"]) == {"class", "distance", "camera"} and "car" in text["recall"]["class"]
    assert {"recall", "ci95", "count"} == set(text["recall"]["class"]["car"])


# --- ego motion ---


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("deep", [True, False])
def test_ego_motion_is_read_back(seed, deep):
    episode = world(seed, 3, still=True)
    read = EgoMotionReader(RIG).read(episode.frames, episode.depth if deep else None)
    assert read.shape == (2, 2)
    np.testing.assert_allclose(read[:, 0], episode.action[:-1, 0], atol=0.25 if deep else 0.8)
    np.testing.assert_allclose(read[:, 1], episode.action[:-1, 1], atol=0.03)

"""What the network is told, and the dream in the source world's place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Polygon

from core.episodes.episode import FACTS
from core.memory.sketch import SKETCH, SKETCH_DEPTH
from driving import worlds
from driving.dream import Dream
from driving.evaluation.rollouts import without_scenery
from driving.facts import FACTS_SIZE, facts
from driving.record import SKY_DEPTH, RigSpread, bared, to_episode, told, varied
from driving.rig import nuscenes_rig
from driving.road.build import build
from driving.road.network import Building, Plant
from driving.scene import EGO_CENTRE, Actor, Ambience, Images, Moment, Scene, State
from driving.sketch import Sketcher
from driving.solids import FARTHEST, meet_spheroid
from driving.synthesize import Gate

ROAD = build("straight", 5)
AMBIENCE = Ambience(rain=0.5)


def ahead(metres: float, left: float = 0.0, **kind) -> tuple[Actor, State]:
    """A car so far ahead of the ego's rear axle, and the ego's state on the road."""
    actor = Actor(id=0, category="car", size=(1.9, 4.5, 1.6), colour=(200, 20, 20), **kind)
    ego = start()
    c, s = np.cos(ego.yaw), np.sin(ego.yaw)
    return actor, State(ego.x + metres * c - left * s, ego.y + metres * s + left * c, ego.yaw, 3.0)


def start(along: int = 40) -> State:
    centre = ROAD.lanes[0].centre
    step = centre[along + 1] - centre[along]
    return State(*centre[along], float(np.arctan2(step[1], step[0])), 8.0)


class Grey:
    """An imager that shows nothing but counts."""

    def __init__(self) -> None:
        self.shown = 0

    def begin(self, road, rig, ambience, seed) -> None:
        self.rig, self.shown = rig, 0

    def show(self, moment: Moment) -> Images:
        self.shown += 1
        view = (len(self.rig.cameras), self.rig.height, self.rig.width)
        return Images(np.full((*view, 3), 90, np.uint8), np.full(view, 12.0, np.float32), np.zeros(view, np.int32))

    def close(self) -> None: ...


def test_the_sketch_knows_the_distance_of_ground_and_bodies():
    rig = nuscenes_rig()
    drawn = Sketcher(bared(ROAD), rig).draw(Moment(0.0, start(), (ahead(16.0),)))
    picture, depth = drawn[SKETCH], drawn[SKETCH_DEPTH].astype(float)
    assert picture.shape == (6, 72, 128, 4) and depth.shape == (6, 72, 128)
    camera, focal = rig.cameras[0], rig.cameras[0].focal * rig.width
    row = 66  # the road just before the car
    assert depth[0, row, 64] == pytest.approx(camera.position[2] * focal / (row + 0.5 + 0.25 - 36), rel=0.02)
    body = picture[0, ..., 3] > 0
    assert depth[0][body].min() == pytest.approx(16.0 - 2.25 - camera.position[0], abs=0.05)
    rows, columns = np.nonzero(body)
    half = 0.95 / (16.0 - 2.25 - camera.position[0]) * focal
    assert columns.min() == pytest.approx(64 - half, abs=1.5) and columns.max() == pytest.approx(63 + half, abs=1.5)
    assert (picture[0][body][:, 0] > picture[0][body][:, 1]).any(), "in its own paint"
    assert not (picture[3, ..., 3] > 0).any(), "the camera to the back does not see it"
    assert depth.max() <= FARTHEST and (depth[0, :20] == 0).all(), "nothing is known of the sky"


def test_what_stands_for_good_is_no_moving_body():
    sketcher = Sketcher(ROAD, nuscenes_rig())
    parked, moving = (sketcher.draw(Moment(0.0, start(), (ahead(16.0, parked=p),)))[SKETCH] for p in (True, False))
    assert np.array_equal(parked[..., :3], moving[..., :3])
    assert not parked[..., 3].any() and moving[..., 3].any()


def test_facts_turn_with_the_ego():
    ego = start()
    one, other = facts(AMBIENCE, ego), facts(AMBIENCE, replace(ego, yaw=ego.yaw + np.pi))
    assert one.shape == (FACTS_SIZE,) and one[0] == 1
    assert np.allclose(one[8:10], -other[8:10], atol=1e-6) and np.array_equal(one[:8], other[:8])


def test_rigs_vary_within_their_spread():
    rig, spread = nuscenes_rig(), RigSpread()
    other = varied(rig, spread, np.random.default_rng(0))
    for a, b in zip(rig.cameras, other.cameras):
        assert abs(b.yaw - a.yaw) <= spread.yaw and abs(b.focal / a.focal - 1) <= spread.focal and a.name == b.name
    assert other == varied(rig, spread, np.random.default_rng(0))


def test_an_episode_of_a_scene_says_what_the_dream_is_told(rig):
    ego = np.array([[start(40 + t).x, start(40 + t).y, start().yaw, 10.0] for t in range(4)])
    scene = Scene(name="s", road=ROAD, rig=rig, ambience=AMBIENCE, ego=ego)
    imager = Grey()
    imager.begin(ROAD, rig, AMBIENCE, 0)
    episode = to_episode(scene, [imager.show(scene.moment(t)) for t in range(4)])
    assert len(episode) == 4 and set(episode.conditions) >= {SKETCH, SKETCH_DEPTH, FACTS, "boxes"}
    assert np.isfinite(episode.depth).all() and episode.depth.max() <= SKY_DEPTH
    assert episode.action[0, 0] == pytest.approx(10.0, rel=0.05)
    assert np.array_equal(told(ROAD, rig, AMBIENCE)(scene.moment(2))[SKETCH], episode.conditions[SKETCH][2])


def test_a_recorded_scene_can_be_told_as_a_map_without_buildings_would(rig):
    ego = np.array([[start(40 + t).x, start(40 + t).y, start().yaw, 10.0] for t in range(3)])
    scene = Scene(name="s", road=ROAD, rig=rig, ambience=AMBIENCE, ego=ego)
    imager = Grey()
    imager.begin(ROAD, rig, AMBIENCE, 0)
    shown = [imager.show(scene.moment(t)) for t in range(3)]
    whole, bare = to_episode(scene, shown), to_episode(scene, shown, bare=True)
    assert (whole.conditions[SKETCH] != bare.conditions[SKETCH]).any()
    again = without_scenery(whole, scene)
    assert all(np.array_equal(again.conditions[name], bare.conditions[name]) for name in bare.conditions)


@pytest.mark.parametrize("with_first", [True, False])
def test_the_dream_stands_in_for_the_source(world, rig, with_first):
    """Its first frames are another imager's, or its own; then it goes on alone; the same seed dreams the same."""
    first = Grey() if with_first else None

    def dream(seed: int) -> list[Images]:
        imager = Dream(world, first)
        imager.begin(ROAD, rig, AMBIENCE, seed)
        return [imager.show(Moment(t / 10, start(40 + t), (ahead(14.0),))) for t in range(6)]

    shown = dream(1)
    if first is not None:
        assert first.shown == 3 and (shown[2].colour == 90).all()
    assert shown[-1].colour.shape == (6, rig.height, rig.width, 3) and shown[-1].ids is None
    again, other = dream(1), dream(2)
    assert all(np.array_equal(a.colour, b.colour) for a, b in zip(shown, again))
    assert (shown[-1].colour != other[-1].colour).any()


def test_a_dream_forks(world, rig):
    imager = Dream(world)
    imager.begin(ROAD, rig, AMBIENCE, 0)
    for t in range(3):
        imager.show(Moment(t / 10, start(40 + t), ()))
    twin = imager.fork()
    far = Moment(0.3, start(43), (ahead(14.0 + EGO_CENTRE),))
    one = twin.show(far).colour
    again, otherwise = imager.fork().show(far).colour, imager.fork(seed=9).show(far).colour
    assert np.array_equal(again, one) and (otherwise != one).any()
    assert (imager.show(Moment(0.3, start(43), ())).colour != one).any()


def test_what_comes_along_loads():
    """World, detector and the gate's limits fit this code."""
    world = worlds.load_world()
    assert world.config.frame_shape == worlds.load().world.frame_shape
    assert Gate.load().thresholds.limits


# --- what stands beside the road ---


def test_walls_and_plants_are_drawn_where_the_source_has_them():
    """A house straight ahead: its wall at its distance; and nothing of it where the map does not know it."""
    ego = start()
    forward, left = np.array([np.cos(ego.yaw), np.sin(ego.yaw)]), np.array([-np.sin(ego.yaw), np.cos(ego.yaw)])
    corner = lambda a, b: np.array([ego.x, ego.y]) + a * forward + b * left  # noqa: E731
    house = Building(
        footprint=Polygon([corner(30, -20), corner(40, -20), corner(40, 20), corner(30, 20)]), height=9.0, colour=(200, 100, 50)
    )
    bush = Plant(position=tuple(corner(15, 0)), height=1.0, kind="bush")
    road, rig = replace(ROAD, buildings=(house,), plants=(bush,)), nuscenes_rig()
    here = Moment(0.0, ego, ())
    drawn, bare = Sketcher(road, rig).draw(here), Sketcher(bared(road), rig).draw(here)
    depth, away = drawn[SKETCH_DEPTH][0].astype(float), 30 - rig.cameras[0].position[0]
    assert np.abs(depth[22:36] - away).max() < 0.05 and (drawn[SKETCH][0, 25, :, 3] == 0).all()
    assert (drawn[SKETCH][0, 25, 64, :3] > (150, 70, 35)).all() and drawn[SKETCH][0, 25, 64, 0] > drawn[SKETCH][0, 25, 64, 2]
    shrub = depth[38:50, 64]
    assert np.abs(shrub[(shrub > 0) & (shrub < away - 1)] - (away - 15)).min() < 0.7
    assert (bare[SKETCH_DEPTH][0, 22:34] == 0).all()
    alone = Sketcher(replace(ROAD, buildings=(), plants=()), rig).draw(here)
    assert all(np.array_equal(bare[name], alone[name]) for name in bare)


def test_a_wall_that_reaches_behind_the_camera_is_cut_not_lost():
    ego = start()
    left = np.array([-np.sin(ego.yaw), np.cos(ego.yaw)])
    forward = np.array([np.cos(ego.yaw), np.sin(ego.yaw)])
    at = lambda a, b: np.array([ego.x, ego.y]) + a * forward + b * left  # noqa: E731
    house = Building(footprint=Polygon([at(-40, 5), at(40, 5), at(40, 15), at(-40, 15)]), height=12.0, colour=(90, 90, 90))
    rig = nuscenes_rig()
    depth = Sketcher(replace(ROAD, buildings=(house,), plants=()), rig).draw(Moment(0.0, ego, ()))[SKETCH_DEPTH]
    names = [c.name for c in rig.cameras]
    for name in ("CAM_FRONT_LEFT", "CAM_BACK_LEFT"):
        assert (depth[names.index(name), :36] > 0).mean() > 0.9
    assert (depth[names.index("CAM_FRONT_RIGHT"), :30] == 0).all()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_a_spheroid_is_met_on_its_surface(seed):
    rng = np.random.default_rng(seed)
    size, start_ = rng.uniform(0.2, 3, 3), rng.normal(0, 6, 3)
    look = -start_ + rng.normal(0, 1.0, (40, 3))
    near = meet_spheroid(start_, look.astype(np.float32), size)
    hit = np.isfinite(near) & bool(((start_ / size) ** 2).sum() > 1.01)
    at = start_ + near[hit, None] * look[hit]
    assert np.abs(((at / size) ** 2).sum(1) - 1).max(initial=0) < 0.02

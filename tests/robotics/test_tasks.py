"""The tabletop tasks: seeds decide, physics pushes, snapshots are exact, looks change nothing but looks."""

import sys
from copy import deepcopy

import numpy as np
import pytest

from core.errors import ZoetropeError
from robotics import tasks
from robotics.scene import arm
from robotics.scene.variation import Variation
from robotics.task import HOLD, Observation, clipped, state_size

pytest.importorskip("mujoco")


def same(one: Observation, other: Observation) -> bool:
    return one.frames.tobytes() == other.frames.tobytes() and one.state.tobytes() == other.state.tobytes()


@pytest.mark.parametrize("name", tasks.NAMES)
def test_shapes_and_seeds(name):
    task = tasks.make(name)
    first = task.reset(3)
    assert first.frames.shape == (2, 64, 64, 3) and first.frames.dtype == np.uint8
    assert first.state.shape == (state_size(task),) and first.state.dtype == np.float32
    assert task.intrinsics.shape == (2, 3, 3) and task.poses.shape == (2, 4, 4)
    assert task.cameras == ("front", "side") and len(task.object_names) == len(first.known_objects)
    assert not np.array_equal(task.reset(4).state, first.state)
    assert same(task.reset(3), first) and same(tasks.make(name).reset(3), first)


@pytest.mark.parametrize("name", tasks.NAMES)
def test_snapshot_is_exact(name):
    task, rng = tasks.make(name), np.random.default_rng(0)
    task.reset(1)
    for _ in range(12):
        task.step(rng.uniform(-1, 1, task.action_size))
    kept = deepcopy(task.snapshot())
    actions = rng.uniform(-1, 1, (8, task.action_size))
    seen = [task.step(a) for a in actions]
    twin = tasks.make(name)
    for other in (task, twin):  # the second has never seen this seed
        other.restore(kept)
        again = [other.step(a) for a in actions]
        assert all(same(a.observation, b.observation) and a.reward == b.reward for a, b in zip(seen, again))


def test_inverse_kinematics_reaches_all_of_the_box():
    for x in np.linspace(arm.LOW[0], arm.HIGH[0], 9):
        for y in np.linspace(arm.LOW[1], arm.HIGH[1], 9):
            shoulder, elbow, wrist, *_ = arm.joints(x, y, 0.05, 0.02)
            place = np.array(arm.BASE) + arm.LINK * (
                np.array([np.cos(shoulder), np.sin(shoulder)]) + [np.cos(shoulder + elbow), np.sin(shoulder + elbow)]
            )
            assert np.allclose(place, (x, y)) and np.isclose(shoulder + elbow + wrist, 0)


def test_hand_goes_where_it_is_told_and_stays_in_its_box():
    task = tasks.make("reach", pictures=False)
    start = task.reset(0).proprioception
    moved = task.step(np.array([1.0, -1.0, 0.0])).observation
    for _ in range(3):
        moved = task.step(np.zeros(3)).observation
    assert np.allclose(moved.proprioception[:3] - start[:3], [0.025, -0.025, 0], atol=0.002)
    for _ in range(40):
        moved = task.step(np.array([3.0, 3.0, 3.0])).observation
    assert np.allclose(moved.proprioception[:3], arm.HIGH, atol=0.004)


def test_a_push_moves_the_block_and_a_block_alone_lies_still():
    task = tasks.make("push", pictures=False)
    block = task.reset(5).known_objects[:3]
    for _ in range(10):
        rest = task.step(np.zeros(2)).observation
    assert np.allclose(rest.known_objects[:3], block, atol=5e-4)
    for _ in range(30):
        offset = block[:2] - rest.proprioception[:2]
        rest = task.step(offset / 0.02).observation
    assert np.linalg.norm(rest.known_objects[:2] - block[:2]) > 0.01
    assert abs(rest.known_objects[2] - block[2]) < 0.003  # pushed, not tipped or sunk


def test_an_episode_out_of_time_ends_without_success():
    task = tasks.make("slide", pictures=False)
    task.reset(0)
    outcomes = [task.step(np.zeros(2)) for _ in range(task.horizon - 1)]
    assert [o.ended for o in outcomes] == [False] * (task.horizon - 2) + [True]
    assert not outcomes[-1].success and outcomes[-1].reward == 0.0
    assert HOLD > 1


def test_variation_changes_looks_and_nothing_else():
    plain = tasks.make("push")
    varied = tasks.make("push", variation=Variation(colours=1.0, textures=True, camera=0.05, light=1.0, distractors=6))
    for seed in range(3):
        one, other = plain.reset(seed), varied.reset(seed)
        assert np.array_equal(one.state, other.state) and not np.array_equal(one.frames, other.frames)
        for _ in range(10):
            action = np.ones(2)
            one, other = plain.step(action).observation, varied.step(action).observation
            assert np.array_equal(one.state, other.state)
        assert not np.array_equal(plain.poses, varied.poses)


@pytest.mark.parametrize("wrong", [{"colours": 2.0}, {"distractors": 7}, {"camera": -0.1}])
def test_variation_out_of_range_is_refused(wrong):
    with pytest.raises(ZoetropeError, match="variation"):
        Variation(**wrong)


def test_bad_use_is_told_in_one_line():
    with pytest.raises(ZoetropeError, match="unknown task 'fold'.*reach, push, slide, pick"):
        tasks.make("fold")
    with pytest.raises(ZoetropeError, match="reset it"):
        tasks.make("push").step(np.zeros(2))
    with pytest.raises(ZoetropeError, match="expected 2 numbers"):
        clipped([1.0], 2)
    with pytest.raises(ZoetropeError, match="NaN"):
        clipped([np.nan, 0.0], 2)


def test_a_missing_simulator_names_what_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(ZoetropeError, match=r"zoetrope\[robotics\]"):
        tasks.make("push")

"""Tasks of benchmark suites: the adapter on a suite of our own, the painter on shapes we know, the suites where they are."""

import importlib.util
import sys
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from itertools import count, cycle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ZoetropeError
from robotics import policies, tasks
from robotics.scene.cameras import Camera
from robotics.scene.variation import Variation
from robotics.suites import suite as suites
from robotics.suites.catalog import TASKS
from robotics.suites.suite import Suite, SuiteTask
from robotics.suites.surfels import SurfelPainter, scattered
from robotics.task import HOLD, Observation, state_size

mujoco = pytest.importorskip("mujoco")

HERE = [name for name in TASKS if importlib.util.find_spec(name.partition("/")[0])]
"""Tasks whose suite is installed."""
TETRAHEDRON = "0 0 0  0.3 0 0  0 0.3 0  0 0 0.3"
ROOM = f"""<mujoco>
  <asset><mesh name="thing" vertex="{TETRAHEDRON}"/></asset>
  <worldbody>
    <geom name="table" type="box" size="0.5 0.5 0.02" pos="0 0 -0.02" rgba="0 0 1 1"/>
    <body name="stand"><geom name="stand" type="mesh" mesh="thing" rgba="0 1 0 1" contype="0" conaffinity="0"/></body>
    <body name="puck" pos="0 0 0.2">
      <joint name="x" type="slide" axis="1 0 0" damping="30"/><joint name="y" type="slide" axis="0 1 0" damping="30"/>
      <geom name="puck" type="sphere" size="0.1" mass="1" rgba="1 0 0 1" contype="0" conaffinity="0"/>
    </body>
    <site name="goal" size="0.05" rgba="1 1 0 1"/>
  </worldbody>
  <actuator><motor joint="x" gear="20"/><motor joint="y" gear="20"/></actuator>
</mujoco>"""
TOP = Camera(name="top", position=(0.0, -0.01, 2.0), looks_at=(0.0, 0.0, 0.2), field=40.0)
SLANTED = Camera(name="slanted", position=(1.0, -1.0, 1.0), looks_at=(0.0, 0.0, 0.1), field=40.0)


class Puck:
    """A suite of one task: a puck on two rails, a goal and a stand that each start puts elsewhere."""

    marks: tuple[int, ...] = (0,)
    colours: Mapping[int, tuple[float, float, float]] = {}

    def __init__(self):
        self.model = mujoco.MjModel.from_xml_string(ROOM)
        self.data = mujoco.MjData(self.model)
        self.placed = (self.model.geom("stand").id,)

    def reset(self, seed):
        rng = np.random.default_rng(seed)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = rng.uniform(-0.2, 0.2, 2)
        self.model.site_pos[0, :2] = rng.uniform(-0.2, 0.2, 2)
        self.model.body("stand").pos += rng.uniform(-0.2, 0.2, 3)  # onto what it was: a reset begins from the compiled model

    def advance(self, action):
        self.data.ctrl[:] = action
        mujoco.mj_step(self.model, self.data, 20)

    def measure(self):
        return self.data.qpos.copy(), self.model.site_pos[0, :2].copy()


def towards(observation):
    return 8 * (observation.known_objects - observation.proprioception)


PUCK = SuiteTask(
    name="fake/puck",
    instruction="bring the puck to the goal",
    action_names=("x", "y"),
    proprioception_names=("puck_x", "puck_y"),
    object_names=("goal_x", "goal_y"),
    cameras=(TOP, SLANTED),
    horizon=60,
    reached=lambda robot, objects: bool(np.linalg.norm(robot - objects) < 0.1),
    expert=lambda: towards,
    simulator=Puck,
)


def same(one: Observation, other: Observation) -> bool:
    return one.frames.tobytes() == other.frames.tobytes() and one.state.tobytes() == other.state.tobytes()


def check_seeds(make) -> None:
    task = make()
    first = task.reset(3)
    assert first.frames.shape == (2, *task.size, 3) and first.frames.dtype == np.uint8
    assert first.state.shape == (state_size(task),) and first.state.dtype == np.float32
    assert task.intrinsics.shape == (2, 3, 3) and task.poses.shape == (2, 4, 4)
    assert not same(task.reset(4), first)
    assert same(task.reset(3), first) and same(make().reset(3), first)


def check_snapshot(make) -> None:
    task, rng = make(), np.random.default_rng(0)
    task.reset(1)
    for _ in range(6):
        task.step(rng.uniform(-1, 1, task.action_size))
    kept = deepcopy(task.snapshot())
    actions = rng.uniform(-1, 1, (5, task.action_size))
    seen = [task.step(a) for a in actions]
    strange = make()
    strange.reset(2)
    for other in (task, make(), strange):
        other.restore(kept)
        again = [other.step(a) for a in actions]
        assert all(same(a.observation, b.observation) and a.reward == b.reward for a, b in zip(seen, again))


def played(task, policy, seed=0):
    observation, outcomes = task.reset(seed), []
    while not (outcomes and outcomes[-1].ended):
        outcomes.append(task.step(policy(observation)))
        observation = outcomes[-1].observation
    return outcomes


def test_the_adapter_keeps_the_contract_of_a_task():
    check_seeds(lambda: Suite(PUCK, (24, 32)))
    check_snapshot(lambda: Suite(PUCK, (24, 32)))


def test_an_episode_is_won_when_the_goal_has_held():
    task = Suite(PUCK, pictures=False)
    outcomes = played(task, lambda seen: towards(seen).clip(-1, 1))
    assert outcomes[-1].success and [o.reward for o in outcomes[-HOLD:]] == [1.0] * HOLD
    assert not any(o.success for o in outcomes[:-1])
    assert task.reached(outcomes[-1].observation) and not outcomes[-1].observation.frames.any()


def test_an_episode_out_of_time_ends_without_success():
    outcomes = played(Suite(PUCK, pictures=False), lambda seen: np.ones(2))
    assert len(outcomes) == PUCK.horizon - 1 and not outcomes[-1].success


def test_bad_use_is_told_in_one_line():
    with pytest.raises(ZoetropeError, match="fake/puck.*reset it"):
        Suite(PUCK).step(np.zeros(2))
    with pytest.raises(ZoetropeError, match="fake/puck.*reset it"):
        Suite(PUCK).snapshot()
    with pytest.raises(ZoetropeError, match="metaworld/push.*variation"):
        tasks.make("metaworld/push", variation=Variation(colours=1.0))
    with pytest.raises(ZoetropeError, match="unknown task 'metaworld/fold'.*metaworld/reach"):
        tasks.make("metaworld/fold")


@pytest.mark.parametrize("name", TASKS)
def test_a_missing_suite_names_the_extra_that_brings_it(name, monkeypatch):
    package = name.partition("/")[0]
    for module in (package, f"{package}.suite", f"{package}.policies"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ZoetropeError, match=rf"not installed.*pip install 'zoetrope\[{package}\]'"):
        tasks.make(name)


def test_a_missing_gl_library_names_what_brings_it(monkeypatch):
    def broken(name):
        raise AttributeError("'NoneType' object has no attribute 'glGetError'")

    monkeypatch.setattr(suites.importlib, "import_module", broken)
    with pytest.raises(ZoetropeError, match="glGetError.*unset MUJOCO_GL.*libosmesa6"):
        tasks.make("metaworld/push")


def test_signatures_are_known_without_the_suite():
    for name in (*tasks.NAMES, *TASKS):
        says = tasks.signature(name)
        assert len(says.cameras) == 2 and says.action and says.proprioception and says.objects
    push = tasks.make("push", (8, 8))
    assert tasks.signature("push")[1:] == (push.proprioception_names, push.object_names, push.cameras)


def painter(cameras, size, **options) -> tuple[SurfelPainter, Puck]:
    puck = Puck()
    mujoco.mj_kinematics(puck.model, puck.data)
    return SurfelPainter(puck.model, puck.data, cameras, size, **options), puck


@pytest.mark.parametrize("size", [(32, 32), (48, 64), (128, 128)])
def test_a_ball_is_painted_as_large_as_it_is_and_without_holes(size):
    paints, puck = painter((TOP,), size)
    puck.data.qpos[:] = (-0.25, -0.25)  # clear of the mesh
    mujoco.mj_kinematics(puck.model, puck.data)
    picture = paints.paint(puck.data)[0].astype(int)
    red = (picture[..., 0] > 100) & (picture[..., 2] < 50)
    focal = TOP.intrinsics(*size)[0, 0]
    assert np.isclose(red.sum(), np.pi * (focal * 0.1 / 1.8) ** 2, rtol=0.25)
    row, column = np.argwhere(red).mean(0)
    assert np.isclose(column + 0.5, size[1] / 2 - focal * 0.25 / 1.8, atol=1)
    assert np.isclose(row + 0.5, size[0] / 2 + focal * 0.25 / 1.8, atol=1)
    table = picture[size[0] // 2 - 2 : size[0] // 2, size[1] // 4 : size[1] // 3]
    assert (table[..., 2] > table[..., 0] + 50).all()


def test_what_is_nearer_hides_what_is_behind_and_shades_the_table():
    paints, puck = painter((TOP,), (64, 64))
    away, over = paints.paint(puck.data)[0].astype(int), None
    puck.data.qpos[:] = (0.1, 0.1)  # over the mesh, whose tip is lower there
    mujoco.mj_kinematics(puck.model, puck.data)
    over = paints.paint(puck.data)[0].astype(int)
    green = [int(((p[..., 1] > 60) & (p[..., 0] < 60) & (p[..., 2] < 60)).sum()) for p in (away, over)]
    assert 0 < green[1] < green[0]
    blue = (away[..., 0] < 40) & (away[..., 1] < 40) & (over[..., 0] < 40) & (over[..., 1] < 40)
    assert len(np.unique(away[blue][:, 2] // 20)) > 1  # in the light, and in shadow


def test_marks_colours_and_placed_things_are_shown():
    plain, puck = painter((SLANTED,), (48, 48))
    told, _ = painter((SLANTED,), (48, 48), marks=(0,), colours={puck.model.geom("puck").id: (0.0, 1.0, 1.0)})
    assert not np.array_equal(plain.paint(puck.data), told.paint(puck.data))
    placed, other = painter((SLANTED,), (48, 48), placed=(puck.model.geom("stand").id,))
    other.model.body("stand").pos = (-0.4, 0.1, 0.0)
    mujoco.mj_kinematics(other.model, other.data)
    assert not np.array_equal(placed.paint(other.data), plain.paint(other.data))


@given(st.integers(0, 1000), st.integers(1, 6))
def test_points_lie_on_their_triangles_as_dense_as_asked(seed, count):
    triangles = np.random.default_rng(seed).uniform(-1, 1, (count, 3, 3))
    points, normals = scattered(triangles, 0.05)
    area = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1).sum() / 2
    assert len(points) == max(1, round(area / 0.05**2))
    planes = np.abs(np.einsum("nfj,nj->nf", points[:, None] - triangles[:, 0], normals)).min(1)
    assert np.allclose(planes, 0, atol=1e-9) and np.allclose(np.linalg.norm(normals, axis=1), 1)
    low, high = triangles.min((0, 1)), triangles.max((0, 1))
    assert ((points >= low - 1e-9) & (points <= high + 1e-9)).all()


@cache
def installed(name: str, copy: int) -> Suite:
    """A task of a suite that is here: compiling one takes seconds."""
    return Suite(TASKS[name], (16, 16))


@pytest.mark.skipif(not HERE, reason="no suite is installed")
@pytest.mark.parametrize("name", [n for n in HERE if n in ("metaworld/push", "metaworld/door-open", "dm_control/reacher")])
def test_an_installed_suite_keeps_the_contract(name):
    def make():
        return installed(name, next(copies))

    copies = count()
    check_seeds(make)
    copies = cycle((0, 1))
    check_snapshot(make)


@pytest.mark.skipif(not HERE, reason="no suite is installed")
@pytest.mark.parametrize("name", HERE)
def test_an_installed_suite_is_won_by_its_expert_and_not_by_chance(name):
    task, says = installed(name, 0), tasks.signature(name)
    assert (task.action_size, task.proprioception_names, task.object_names, task.cameras) == (len(says.action), *says[1:])
    assert played(task, policies.make("expert", task))[-1].success
    if name == "metaworld/push":  # one is enough: these episodes take seconds; reacher's large target can be met by chance
        chance = policies.make("random", task)
        chance.reset(0)
        assert not played(task, chance)[-1].success
    for behaviour in ("noisy:0.5", "burst:0.25", "delay:5", "bias:0.25"):
        policy = policies.make(behaviour, task)
        policy.reset(0)
        assert policy(task.reset(0)).shape == (task.action_size,)


@pytest.mark.parametrize("name", [name for name in HERE if name.startswith("metaworld/")])
def test_metaworld_success_is_the_suites_own(name):
    task: Any = installed(name, 0)
    policy, observation = policies.make("expert", task), task.reset(0)
    env, told = task._simulator._env, []
    for _ in range(150):
        outcome = task.step(policy(observation))
        observation = outcome.observation
        told.append((outcome.reward, env.evaluate_state(env._get_obs(), np.zeros(4, np.float32))[1]["success"]))
        if outcome.success:
            break
    ours, theirs = np.array(told).T
    assert ours[0] == theirs[0] == 0 and ours[-1] == theirs[-1] == 1
    assert np.array_equal(ours, theirs)

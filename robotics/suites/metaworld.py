"""Meta-World's Sawyer tasks with their scripted experts (Yu et al., CoRL 2019; https://metaworld.farama.org).

Needs the extra `metaworld`. A frame is one step of the suite (12.5 ms of its time, a centimetre of the hand at full action), so
that episodes play eight times slower than they happen. Success is the suite's own rule, held for HOLD frames; the distance of
`reach` is taken from the middle of the open jaws, which is within 5 mm of the suite's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from robotics.scene.cameras import Camera
from robotics.suites.suite import Act, Simulator, SuiteTask, load
from robotics.task import Observation

NAME, EXTRA = "Meta-World", "metaworld"
ACTION = ("hand_x", "hand_y", "hand_z", "grip")
"""How far the hand goes along each axis, and how hard the jaws close."""
PROPRIOCEPTION = ("hand_x", "hand_y", "hand_z", "gap")
"""Position of the hand, metres, and gap between the jaws, 0 to 1."""
OBJECTS = ("object_x", "object_y", "object_z", "target_x", "target_y", "target_z")
"""What is to be moved (the puck, a handle, for `reach` the middle between the jaws), and where to, metres."""
HORIZON = 200
FRONT = Camera(name="front", position=(0.55, 0.13, 0.645), looks_at=(0.0, 0.68, 0.10), field=50.0)
"""Over the hand's shoulder: nothing lies behind the arm."""
SIDE = Camera(name="side", position=(-0.75, 0.35, 0.40), looks_at=(0.0, 0.66, 0.10), field=50.0)
_PUCK = (0.95, 0.78, 0.20)
"""The suite's brown puck is lost on its brown table."""
_PLACED = ("drawer", "door", "faucetBase")
"""Bodies under the world that a reset puts elsewhere."""
_PADDING = 14 - 3
"""Numbers in the suite's description of objects, after the position of the first."""


class _Sawyer(Simulator):
    """One of the suite's environments, driven without its rewards."""

    def __init__(self, task: str, mark: str | None):
        suite = load("metaworld", NAME, EXTRA)
        self._mujoco = load("mujoco", "MuJoCo", "robotics")
        self._env: Any = suite.ALL_V3_ENVIRONMENTS[f"{task}-v3"]()
        self._env._freeze_rand_vec, self._env.seeded_rand_vec = False, True  # starts are drawn, from the seed
        self._env._partially_observable, self._env._set_task_called = False, True
        self._reaches = task == "reach"
        self.model, self.data = self._env.model, self._env.data
        bodies = {self.model.body(i).name: i for i in range(self.model.nbody)}
        geoms = {self.model.geom(i).name: i for i in range(self.model.ngeom)}
        placed = [bodies[name] for name in _PLACED if name in bodies]
        roots = self.model.body_rootid[self.model.geom_bodyid]
        self.placed = tuple(int(geom) for geom in np.flatnonzero(np.isin(roots, placed)))
        self._goal = self.model.site("goal_open" if task == "faucet-open" else "goal").id
        self.marks = () if mark is None else (self._goal,)
        self.colours = {} if mark is None else {geoms["objGeom"]: _PUCK}

    def reset(self, seed: int) -> None:
        self._env.seed(seed)
        self._mujoco.mj_resetData(self.model, self.data)
        self._env.reset_model()

    def advance(self, action: np.ndarray) -> None:
        self._env.set_xyz_action(action[:3])
        self._env.do_simulation([action[3], -action[3]], self._env.frame_skip)

    def measure(self) -> tuple[np.ndarray, np.ndarray]:
        told = self._env._get_curr_obs_combined_no_goal()
        moved = self._env.tcp_center if self._reaches else told[4:7]
        return told[:4], np.concatenate([moved, self.model.site_pos[self._goal]])


def _expert(policy: str) -> Act:
    """The suite's policy of that name, over what our tasks tell."""
    script = getattr(load("metaworld.policies", NAME, EXTRA), policy)()

    def act(observation: Observation) -> np.ndarray:
        objects = observation.known_objects.astype(float)
        now = np.concatenate([observation.proprioception, objects[:3], np.zeros(_PADDING)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that its gains are high
            return np.clip(script.get_action(np.concatenate([now, now, objects[3:]])), -1, 1)

    return act


def _at_target(near: float, offset: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Callable[[np.ndarray, np.ndarray], bool]:
    return lambda robot, objects: bool(np.linalg.norm(objects[:3] + offset - objects[3:]) <= near)


def _swung(robot: np.ndarray, objects: np.ndarray) -> bool:
    return bool(abs(objects[0] - objects[3]) <= 0.08)


def _task(
    task: str, instruction: str, policy: str, reached: Callable[[np.ndarray, np.ndarray], bool], mark: str | None = None
) -> SuiteTask:
    return SuiteTask(
        name=f"metaworld/{task}",
        instruction=instruction,
        action_names=ACTION,
        proprioception_names=PROPRIOCEPTION,
        object_names=OBJECTS,
        cameras=(FRONT, SIDE),
        horizon=HORIZON,
        reached=reached,
        expert=partial(_expert, policy),
        simulator=partial(_Sawyer, task, mark),
    )


TASKS = (
    _task("reach", "reach the ball", "SawyerReachV3Policy", _at_target(0.05), "goal"),
    _task("push", "push the puck to the ball", "SawyerPushV3Policy", _at_target(0.05), "goal"),
    _task("pick-place", "bring the puck to the ball", "SawyerPickPlaceV3Policy", _at_target(0.07), "goal"),
    _task("drawer-open", "open the drawer", "SawyerDrawerOpenV3Policy", _at_target(0.03)),
    _task("door-open", "open the door", "SawyerDoorOpenV3Policy", _swung),
    _task("faucet-open", "turn the faucet on", "SawyerFaucetOpenV3Policy", _at_target(0.07, (-0.04, 0.0, 0.03))),
)

"""Reacher of the DeepMind Control Suite, with its large target (Tassa et al., arXiv:1801.00690).

Needs the extra `dm_control`. The suite has no scripted experts; ours pulls the finger to the target as a damped spring would.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from robotics.scene.cameras import Camera
from robotics.suites.suite import Act, Simulator, SuiteTask, load
from robotics.task import RATE, Observation

NAME, EXTRA = "dm_control", "dm_control"
ACTION = ("shoulder", "wrist")
"""Torques, as shares of the largest."""
PROPRIOCEPTION = (
    *("shoulder_cos", "shoulder_sin", "wrist_cos", "wrist_sin"),
    *("finger_x", "finger_y", "shoulder_speed", "wrist_speed"),
)
"""Joint angles, the finger's place, metres, and joint speeds, radians a second."""
OBJECTS = ("target_x", "target_y")
HORIZON = 100
ABOVE = Camera(name="above", position=(0.0, -0.05, 0.75), looks_at=(0.0, 0.0, 0.0), field=48.0)
SIDE = Camera(name="side", position=(0.45, -0.45, 0.35), looks_at=(0.0, 0.0, 0.0), field=48.0)
LINK = 0.12
"""Length of each of the two links, metres."""
NEAR = 0.06
"""Radii of the target and the finger together, metres."""
_PULL, _DAMPING = 80.0, 0.25
"""Torque a square metre, and torque a radian a second."""


class _TwoLinks(Simulator):
    """The suite's environment, driven without its time limit and rewards."""

    marks: tuple[int, ...] = ()

    def __init__(self) -> None:
        suite = load("dm_control.suite", NAME, EXTRA)
        self._mujoco = load("mujoco", "MuJoCo", "robotics")
        self._env: Any = suite.load("reacher", "easy")
        physics = self._env.physics
        self.model, self.data = physics.model.ptr, physics.data.ptr
        self._target, self._finger = self.model.geom("target").id, self.model.geom("finger").id
        self.placed = (self._target,)
        self.colours: dict[int, tuple[float, float, float]] = {}
        self._substeps = round(1 / RATE / self.model.opt.timestep)

    def reset(self, seed: int) -> None:
        self._env.task.random.seed(seed)
        with self._env.physics.reset_context():
            self._env.task.initialize_episode(self._env.physics)

    def advance(self, action: np.ndarray) -> None:
        self.data.ctrl[:] = action
        self._mujoco.mj_step(self.model, self.data, self._substeps)

    def measure(self) -> tuple[np.ndarray, np.ndarray]:
        shoulder, wrist = self.data.qpos
        angles = [np.cos(shoulder), np.sin(shoulder), np.cos(wrist), np.sin(wrist)]
        finger, target = (self.data.geom_xpos[geom, :2] for geom in (self._finger, self._target))
        return np.concatenate([angles, finger, self.data.qvel]), target.copy()


def _reached(robot: np.ndarray, objects: np.ndarray) -> bool:
    return bool(np.linalg.norm(robot[4:6] - objects) <= NEAR)


def act(observation: Observation) -> np.ndarray:
    """The expert: a spring from the finger to the target, as torques of the joints, against a damper on each."""
    robot = observation.proprioception.astype(float)
    finger, speeds = robot[4:6], robot[6:8]
    pull = observation.known_objects.astype(float) - finger
    arms = (finger, finger - LINK * robot[:2])  # from each joint to the finger
    torques = np.array([x * pull[1] - y * pull[0] for x, y in arms])
    return np.clip(_PULL * torques - _DAMPING * speeds, -1, 1)


def _expert() -> Act:
    return act


TASKS = (
    SuiteTask(
        name="dm_control/reacher",
        instruction="bring the finger to the disc",
        action_names=ACTION,
        proprioception_names=PROPRIOCEPTION,
        object_names=OBJECTS,
        cameras=(ABOVE, SIDE),
        horizon=HORIZON,
        reached=_reached,
        expert=_expert,
        simulator=_TwoLinks,
    ),
)

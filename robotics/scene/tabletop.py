"""A challenge on our table, as a task: MuJoCo moves, the painter shows."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from core.errors import ZoetropeError
from robotics.scene import arm
from robotics.scene.cameras import FRONT, SIDE, Camera
from robotics.scene.challenges import Challenge, Start
from robotics.scene.painter import Painter
from robotics.scene.variation import TABLE, TABLE_Y, Look, Variation, draw_look
from robotics.task import HOLD, RATE, Observation, Outcome, clipped

TIMESTEP = 0.004
"""Seconds of one step of the physics."""
SUBSTEPS = round(1 / RATE / TIMESTEP)
CAMERAS = (FRONT, SIDE)
_SETTLE = 10
"""Physics steps before the first frame: things come to rest on the table."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state of a tabletop episode."""

    seed: int
    physics: np.ndarray
    """MuJoCo's integration state, float64."""
    goal: np.ndarray
    """Where the hand was told to be: (4,)."""
    frame: int
    held: int


class Tabletop:
    """The arm and one challenge. Raises ZoetropeError when MuJoCo is not installed."""

    proprioception_names: tuple[str, ...] = arm.PROPRIOCEPTION

    def __init__(
        self,
        challenge: Challenge,
        size: tuple[int, int] = (64, 64),
        variation: Variation | None = None,
        cameras: tuple[Camera, ...] = CAMERAS,
        pictures: bool = True,
        looks: int = 1,
    ):
        """`size` is height and width; without `pictures` frames stay black and only physics costs time.

        Another number of `looks` (>= 1) gives the same starts other looks, as far as `variation` lets them differ.
        """
        self._mujoco = _mujoco()
        self._challenge = challenge
        self._variation, self._placed = variation or Variation(), cameras
        self._pictures, self._looks = pictures, looks
        self.name, self.instruction = challenge.name, challenge.instruction
        self.action_size = len(challenge.axes)
        self.object_names = challenge.object_names
        self.horizon = challenge.horizon
        self.size = size
        self.cameras = tuple(camera.name for camera in cameras)
        self._seed: int | None = None

    @property
    def intrinsics(self) -> np.ndarray:
        return np.stack([c.intrinsics(*self.size) for c in self._placed]).astype(np.float32)

    @property
    def poses(self) -> np.ndarray:
        return np.stack([c.pose() for c in self._look.cameras]).astype(np.float32)

    def reset(self, seed: int) -> Observation:
        start = self._build(seed)
        self._goal = np.array(start.hand)
        self._data.qpos[:6] = self._data.ctrl[:6] = arm.joints(*self._goal)
        self._frame = self._held = 0
        self._mujoco.mj_step(self._model, self._data, _SETTLE)
        return self._observe()

    def step(self, action: np.ndarray) -> Outcome:
        moved = clipped(action, self.action_size)
        if self._seed is None:
            raise ZoetropeError(f"task '{self.name}': reset it before the first step")
        hand = self._hand()
        for axis, amount in zip(self._challenge.axes, moved):
            self._goal[axis] += amount * (arm.JAW_SPEED if axis == 3 else arm.SPEED) / RATE
        ahead = np.clip(self._goal[:3], hand[:3] - arm.LEASH, hand[:3] + arm.LEASH)
        free = [axis for axis in self._challenge.axes if axis < 3]
        self._goal[free] = ahead.clip(arm.LOW, arm.HIGH)[free]
        self._goal[3] = self._goal[3].clip(0, arm.JAW_OPEN)
        self._data.ctrl[:6] = arm.joints(*self._goal)
        self._mujoco.mj_step(self._model, self._data, SUBSTEPS)
        self._frame += 1
        observation = self._observe()
        reached = self._challenge.reached(self._hand(), self._challenge.objects(self._data))
        self._held = self._held + 1 if reached else 0
        success = self._held >= HOLD
        return Outcome(observation, float(reached), success, success or self._frame + 1 >= self.horizon)

    def reached(self, observation: Observation) -> bool:
        return self._challenge.reached(observation.proprioception, observation.known_objects)

    def snapshot(self) -> Snapshot:
        if self._seed is None:
            raise ZoetropeError(f"task '{self.name}': reset it before taking a snapshot")
        kind = self._mujoco.mjtState.mjSTATE_INTEGRATION
        physics = np.empty(self._mujoco.mj_stateSize(self._model, kind))
        self._mujoco.mj_getState(self._model, self._data, physics, kind)
        return Snapshot(self._seed, physics, self._goal.copy(), self._frame, self._held)

    def restore(self, snapshot: Snapshot) -> Observation:
        if snapshot.seed != self._seed:
            self._build(snapshot.seed)
        kind = self._mujoco.mjtState.mjSTATE_INTEGRATION
        self._mujoco.mj_setState(self._model, self._data, snapshot.physics, kind)
        self._goal, self._frame, self._held = snapshot.goal.copy(), snapshot.frame, snapshot.held
        return self._observe()

    def _build(self, seed: int) -> Start:
        """Make the scene of a seed. Looks and places are drawn apart, so that variation moves nothing."""
        places, looks = np.random.default_rng((seed, 0)), np.random.default_rng((seed, self._looks))
        self._look = draw_look(self._variation, self._placed, looks)
        start = self._challenge.start(places, self._look.colours)
        self._model = self._mujoco.MjModel.from_xml_string(_scene(self._look, start.bodies))
        self._data = self._mujoco.MjData(self._model)
        self._seed = seed
        if self._pictures:
            self._painter = Painter(self._model, self._look.cameras, self.size, self._look.light, self._look.texture)
        return start

    def _hand(self) -> np.ndarray:
        """Position of the hand and gap of the jaws now: (4,)."""
        return np.array([*self._data.site_xpos[0], self._data.qpos[4] + self._data.qpos[5]])

    def _observe(self) -> Observation:
        self._mujoco.mj_kinematics(self._model, self._data)  # a step leaves positions of before it
        frames = self._painter.paint(self._data) if self._pictures else np.zeros((len(self.cameras), *self.size, 3), np.uint8)
        return Observation(
            frames=frames,
            proprioception=self._hand().astype(np.float32),
            objects=self._challenge.objects(self._data).astype(np.float32),
        )


def _mujoco() -> ModuleType:
    try:
        import mujoco
    except ImportError:
        raise ZoetropeError("MuJoCo is not installed; run: pip install 'zoetrope[robotics]'") from None
    return mujoco


def _scene(look: Look, things: str) -> str:
    """The whole scene as MJCF: floor, table, arm (its six joints first), things."""
    bodies, actuators = arm.mjcf(look.colours)
    ghost = 'contype="0" conaffinity="0"'
    return f"""<mujoco>
  <compiler angle="degree" autolimits="true"/>
  <option timestep="{TIMESTEP}" integrator="implicitfast" cone="elliptic" impratio="10"/>
  <worldbody>
    <geom name="floor" type="plane" size="0 0 1" pos="0 0 -0.5" rgba="{look.colours["floor"]}" {ghost}/>
    <geom name="table" type="box" size="{TABLE[0]} {TABLE[1]} 0.02" pos="0 {TABLE_Y} -0.02" rgba="{look.colours["table"]}"
      friction="0.6 0.005 0.0001"/>
    {bodies}
    {look.distractors}
    {things}
  </worldbody>
  <actuator>{actuators}</actuator>
</mujoco>"""

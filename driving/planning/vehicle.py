"""How the ego moves: a kinematic bicycle with limits, and the driver that makes it follow a planned trajectory.

A plan is where the rear axle should be at each tenth of a second; what a car can do of it is what the bicycle does when its
pedals close the gap along the plan and its wheel chases a point ahead on it (pure pursuit, Coulter 1992).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from driving.geometry import wrapped
from driving.scene import RATE, State

STEP = 1 / RATE


@dataclass(frozen=True, kw_only=True, slots=True)
class Vehicle:
    """What the ego can do; the sizes are those of nuScenes' car."""

    wheelbase: float = 2.588
    brake: float = 8.0
    """Hardest braking, m/s^2."""
    throttle: float = 3.0
    """Hardest acceleration, m/s^2."""
    steer: float = 0.6
    """Largest angle of the front wheels, radians."""
    steer_rate: float = 0.8
    """How fast they turn, radians a second."""
    grip: float = 7.0
    """Largest lateral acceleration, m/s^2."""

    def step(
        self, states: np.ndarray, steer: np.ndarray, pedal: np.ndarray, wheel: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Move states (K, 4) on by one frame towards wheel angles `steer` (K,) with accelerations `pedal` (K,).

        `wheel` (K,) are the wheels' angles now. Gives the new states and angles. It never rolls backwards.
        """
        x, y, yaw, speed = states.T
        bound = np.minimum(self.steer, np.arctan(self.grip * self.wheelbase / np.maximum(speed, 1.0) ** 2))
        turned = np.clip(steer, wheel - self.steer_rate * STEP, wheel + self.steer_rate * STEP)
        wheel = np.clip(turned, -bound, bound)
        after = np.maximum(speed + np.clip(pedal, -self.brake, self.throttle) * STEP, 0.0)
        gone = (speed + after) / 2 * STEP
        turn = gone * np.tan(wheel) / self.wheelbase
        middle = yaw + turn / 2
        return np.stack([x + gone * np.cos(middle), y + gone * np.sin(middle), yaw + turn, after], -1), wheel


EGO = Vehicle()
SOON = 0.8
"""Seconds ahead of the point that the wheel chases..."""
NEAR = 3.5
"""...which is at least this many metres away."""
GAIN = 1.0
"""Share of the gap along the plan that is closed in a second."""


def follow(
    start: State, plans: np.ndarray, steps: int, wheel: float = 0.0, vehicle: Vehicle = EGO
) -> tuple[np.ndarray, np.ndarray]:
    """Drive K plans (K, N, 3) in the world, of N frames after now, from `start`: states (K, steps + 1, 4), wheel angles alike.

    After its last frame a plan goes straight on at its last speed.
    """
    plans = _lengthened(start, np.asarray(plans, float), steps + 2 * RATE)
    states = np.tile(np.array([start.x, start.y, start.yaw, start.speed], float), (len(plans), 1))
    wheels = np.full(len(plans), float(wheel))
    out, angles = [states], [wheels]
    planned = np.linalg.norm(np.diff(plans[..., :2], axis=1), axis=-1) * RATE  # speeds between frames
    for t in range(steps):
        ahead = np.stack([np.cos(states[:, 2]), np.sin(states[:, 2])], -1)
        late = ((plans[:, t, :2] - states[:, :2]) * ahead).sum(-1)  # how far behind the plan it is
        speed = np.maximum(planned[:, t] + GAIN * late, 0.0)
        states, wheels = vehicle.step(states, _pursuit(states, plans[:, t:], vehicle), (speed - states[:, 3]) / STEP, wheels)
        out.append(states)
        angles.append(wheels)
    return np.stack(out, 1), np.stack(angles, 1)


def _lengthened(start: State, plans: np.ndarray, frames: int) -> np.ndarray:
    """Plans (K, 1 + frames, 3) from now on."""
    now = np.tile(np.array([start.x, start.y, start.yaw]), (len(plans), 1, 1))
    plans = np.concatenate([now, plans], 1)
    missing = frames + 1 - plans.shape[1]
    if missing <= 0:
        return plans[:, : frames + 1]
    last, before = plans[:, -1], plans[:, -2]
    pace = np.linalg.norm(last[:, :2] - before[:, :2], axis=-1)
    heading = np.stack([np.cos(last[:, 2]), np.sin(last[:, 2])], -1)
    more = np.arange(1, missing + 1)[None, :, None] * (pace[:, None] * heading)[:, None]
    tail = np.concatenate([last[:, None, :2] + more, np.repeat(last[:, None, 2:], missing, 1)], -1)
    return np.concatenate([plans, tail], 1)


def _pursuit(states: np.ndarray, plans: np.ndarray, vehicle: Vehicle) -> np.ndarray:
    """Wheel angles (K,) whose circle meets the plan some way ahead; straight where the plan goes nowhere."""
    away = plans[..., :2] - states[:, None, :2]
    reach = np.linalg.norm(away, axis=-1)
    ahead = np.cos(wrapped(np.arctan2(away[..., 1], away[..., 0]) - states[:, None, 2])) > 0
    far = np.maximum(NEAR, SOON * states[:, 3])
    reached = ahead & (reach >= far[:, None])
    some = reached.any(1)
    index = np.where(some, reached.argmax(1), np.where(ahead, reach, -1.0).argmax(1))
    rows = np.arange(len(states))
    target, distance = away[rows, index], reach[rows, index]
    angle = wrapped(np.arctan2(target[:, 1], target[:, 0]) - states[:, 2])
    useful = ahead[rows, index] & (distance > 0.5)
    return np.where(useful, np.arctan(2 * vehicle.wheelbase * np.sin(angle) / np.maximum(distance, NEAR)), 0.0)

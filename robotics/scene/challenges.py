"""What there is to do on the table: which things lie where, which axes of the hand are free, and when the goal is reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

GHOST = 'contype="0" conaffinity="0"'
"""MJCF of what is seen and not touched."""
BLOCK = 0.024
"""Half the edge of the block, metres."""
_FREE = {"x": 0, "y": 1, "z": 2, "jaw": 3}


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """How an episode begins."""

    hand: tuple[float, ...]
    """x, y, z and gap of the jaws, metres."""
    bodies: str
    """MJCF of the things."""


class Challenge(Protocol):
    """A task's rules, without the arm and the pictures."""

    name: str
    instruction: str
    axes: tuple[int, ...]
    """Which of hand x, y, z and jaw the action moves."""
    horizon: int
    object_names: tuple[str, ...]

    def start(self, rng: np.random.Generator, colours: dict[str, str]) -> Start: ...

    def objects(self, data: Any) -> np.ndarray:
        """Where the things are: float64 (O,)."""
        ...

    def reached(self, hand: np.ndarray, objects: np.ndarray) -> bool:
        """Whether the goal holds, from hand (4,) and objects (O,) alone."""
        ...


def _axes(*names: str) -> tuple[int, ...]:
    return tuple(_FREE[name] for name in names)


def _block(place: np.ndarray, yaw: float, colours: dict[str, str], half: float = BLOCK) -> str:
    return f"""<body name="block" pos="{place[0]:.5f} {place[1]:.5f} {half}" euler="0 0 {np.degrees(yaw):.4f}"><freejoint/>
      <geom type="box" size="{half} {half} {half}" mass="0.12" rgba="{colours["block"]}" group="1"
        friction="0.7 0.01 0.001" condim="4"/></body>"""


def _block_pose(data: Any) -> list[float]:
    """x, y, z and the cosine and sine of four times the yaw: a cube looks the same after a quarter turn."""
    block = data.body("block")
    yaw = 4 * np.arctan2(block.xmat[3], block.xmat[0])
    return [*block.xpos, np.cos(yaw), np.sin(yaw)]


_BLOCK_NAMES = ("block_x", "block_y", "block_z", "block_cos4", "block_sin4")


class Reach(Challenge):
    """Bring the hand to a ball in the air."""

    name = "reach"
    instruction = "reach the ball"
    axes = _axes("x", "y", "z")
    horizon = 100
    object_names = ("target_x", "target_y", "target_z")
    near = 0.03

    def start(self, rng: np.random.Generator, colours: dict[str, str]) -> Start:
        while True:
            hand, ball = rng.uniform((-0.18, -0.16, 0.02), (0.18, 0.12, 0.11), (2, 3))
            if np.linalg.norm(hand - ball) > 0.12:
                break
        place = " ".join(f"{v:.5f}" for v in ball)
        bodies = f"""<body name="target" pos="{place}">
          <geom type="sphere" size="0.018" rgba="{colours["target"]}" {GHOST} group="1"/></body>"""
        return Start(hand=(*map(float, hand), 0.0), bodies=bodies)

    def objects(self, data: Any) -> np.ndarray:
        return data.body("target").xpos.copy()

    def reached(self, hand: np.ndarray, objects: np.ndarray) -> bool:
        return bool(np.linalg.norm(hand[:3] - objects) < self.near)


class Push(Challenge):
    """Push a block onto a disc; the hand stays low."""

    name = "push"
    instruction = "push the block onto the disc"
    axes = _axes("x", "y")
    horizon = 150
    object_names = (*_BLOCK_NAMES, "target_x", "target_y")
    near = 0.025
    radius = 0.045

    def start(self, rng: np.random.Generator, colours: dict[str, str]) -> Start:
        while True:
            hand, block, target = rng.uniform((-0.13, -0.11), (0.13, 0.07), (3, 2))
            if np.linalg.norm(block - target) > 0.10 and np.linalg.norm(hand - block) > 0.07:
                break
        bodies = _block(block, rng.uniform(-np.pi / 4, np.pi / 4), colours)
        bodies += f"""<body name="target" pos="{target[0]:.5f} {target[1]:.5f} 0.0005">
          <geom type="cylinder" size="{self.radius} 0.0005" rgba="{colours["target"]}" {GHOST}/></body>"""
        return Start(hand=(float(hand[0]), float(hand[1]), 0.012, 0.0), bodies=bodies)

    def objects(self, data: Any) -> np.ndarray:
        return np.array([*_block_pose(data), *data.body("target").xpos[:2]])

    def reached(self, hand: np.ndarray, objects: np.ndarray) -> bool:
        return bool(np.linalg.norm(objects[:2] - objects[5:7]) < self.near)


class Slide(Challenge):
    """Slide a door along its rail until its handle stands over a line; the hand stays low."""

    name = "slide"
    instruction = "slide the door until its handle stands at the line"
    axes = _axes("x", "y")
    horizon = 150
    object_names = ("handle_x", "handle_y", "goal_x")
    near = 0.015
    reach = 0.13
    """Metres either way that the handle can stand from the middle."""

    def start(self, rng: np.random.Generator, colours: dict[str, str]) -> Start:
        rail = rng.uniform(0.10, 0.14)
        while True:
            handle, goal = rng.uniform(-self.reach, self.reach, 2)
            if abs(handle - goal) > 0.09:
                break
        hand = rng.uniform((-0.15, -0.15), (0.15, rail - 0.14))
        y = rail - 0.052
        left, right = (side * (self.reach + 0.02) - handle for side in (-1, 1))
        bodies = f"""
          <body name="goal" pos="{goal:.5f} {y:.5f} 0.0005">
            <geom type="box" size="0.008 0.04 0.0005" rgba="{colours["target"]}" {GHOST}/></body>
          <body name="door" pos="{handle:.5f} {rail:.5f} 0.05">
            <joint name="door" type="slide" axis="1 0 0" range="{left:.5f} {right:.5f}"
              damping="2" frictionloss="1.2"/>
            <geom type="box" size="0.075 0.008 0.045" mass="0.3" rgba="{colours["door"]}" group="1"/>
            <body name="handle" pos="0 -0.052 -0.01">
              <geom type="cylinder" size="0.012 0.028" mass="0.05" rgba="{colours["handle"]}" group="1"/>
              <geom type="box" size="0.005 0.016 0.006" pos="0 0.028 0" mass="0.02" rgba="{colours["handle"]}" group="1"/>
            </body>
          </body>"""
        return Start(hand=(float(hand[0]), float(hand[1]), 0.02, 0.0), bodies=bodies)

    def objects(self, data: Any) -> np.ndarray:
        return np.array([*data.body("handle").xpos[:2], data.body("goal").xpos[0]])

    def reached(self, hand: np.ndarray, objects: np.ndarray) -> bool:
        return bool(abs(objects[0] - objects[2]) < self.near)


class Pick(Challenge):
    """Take a block between the jaws and lift it."""

    name = "pick"
    instruction = "pick up the block"
    axes = _axes("x", "y", "z", "jaw")
    horizon = 150
    object_names = _BLOCK_NAMES
    half = 0.020
    height = 0.07
    """Of the block's middle, metres."""

    def start(self, rng: np.random.Generator, colours: dict[str, str]) -> Start:
        while True:
            hand, block = rng.uniform((-0.15, -0.13), (0.15, 0.10), (2, 2))
            if np.linalg.norm(hand - block) > 0.08:
                break
        bodies = _block(block, rng.uniform(-0.25, 0.25), colours, self.half)
        return Start(hand=(float(hand[0]), float(hand[1]), float(rng.uniform(0.07, 0.11)), 0.03), bodies=bodies)

    def objects(self, data: Any) -> np.ndarray:
        return np.array(_block_pose(data))

    def reached(self, hand: np.ndarray, objects: np.ndarray) -> bool:
        return bool(objects[2] > self.height)


CHALLENGES: dict[str, type[Challenge]] = {c.name: c for c in (Reach, Push, Slide, Pick)}

"""Scripted experts of the tabletop tasks: from what the hand and the things measure to an action, without memory.

They read `Observation.objects`, so outside a simulator they need somebody who tells them where things are. Lengths in metres.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from core.errors import ZoetropeError
from robotics.scene import arm
from robotics.scene.challenges import BLOCK, Pick, Push, Reach, Slide
from robotics.suites.catalog import TASKS as SUITES
from robotics.task import RATE, Observation

STEP = arm.SPEED / RATE
"""How far the hand goes in a frame at full action."""


def _towards(offset: np.ndarray) -> np.ndarray:
    """The action that goes by `offset` in a frame, or straight that way as far as a frame allows."""
    wanted = offset / STEP
    return wanted / max(1.0, float(np.abs(wanted).max()))


def _gently(left: float) -> float:
    """How far to move what is pushed when it has `left` to go: it must not run on."""
    return min(STEP, 0.5 * left + 0.003)


def reach(observation: Observation) -> np.ndarray:
    """Straight to the ball."""
    return _towards(observation.known_objects[:3].astype(float) - observation.proprioception[:3])


def push(observation: Observation) -> np.ndarray:
    """Around the block to the side away from the disc, then against it, staying behind it."""
    hand = observation.proprioception[:2].astype(float)
    things = observation.known_objects.astype(float)
    block, target = things[:2], things[5:7]
    left = float(np.linalg.norm(target - block))
    if left < 0.4 * Push.near:
        return np.zeros(2)
    ahead = (target - block) / left
    aside = np.array([-ahead[1], ahead[0]])
    offset = hand - block
    turn = np.arctan2(offset @ aside, -offset @ ahead)  # 0 straight behind the block, growing clockwise
    distance = float(np.linalg.norm(offset))
    if abs(turn) > 0.45:
        clear = 3.2 * BLOCK  # of the block's corner and the fingers
        angle = turn - np.clip(turn, -0.6, 0.6)
        if distance < 0.85 * clear:
            angle = turn - np.clip(turn, -0.15, 0.15)  # too close to go around: first away
        return _towards(block + clear * (np.sin(angle) * aside - np.cos(angle) * ahead) - hand)
    gap = -float(offset @ ahead) - 2.1 * BLOCK
    forward = _gently(left) if gap < 0.01 else min(STEP, gap)
    return _towards(forward * ahead - np.clip(offset @ aside, -0.015, 0.015) * aside)


def slide(observation: Observation) -> np.ndarray:
    """To the handle's far side, keeping in front of it, then against it."""
    x, y = observation.proprioception[:2].astype(float)
    handle_x, handle_y, goal = observation.known_objects.astype(float)
    left = abs(goal - handle_x)
    if left < 0.5 * Slide.near:
        return np.zeros(2)
    way = np.sign(goal - handle_x)
    behind = (handle_x - x) * way
    beside, clear = 0.042, 0.055
    if behind > 0.02 and abs(y - handle_y) < 0.012:
        gap = behind - 0.026
        return _towards(np.array([way * (_gently(left) if gap < 0.008 else min(STEP, gap)), handle_y - y]))
    stand = handle_x - way * beside
    if behind > 0.032:
        return _towards(np.array([stand - x, handle_y - y]))
    if y > handle_y - 0.75 * clear:
        return _towards(np.array([0.0, handle_y - clear - y]))
    return _towards(np.array([stand - x, handle_y - clear - y]))


def pick(observation: Observation) -> np.ndarray:
    """Open over the block, down, close, up."""
    hand, jaw = observation.proprioception[:3].astype(float), float(observation.proprioception[3])
    block = observation.known_objects[:3].astype(float)
    aside = block[:2] - hand[:2]
    off = float(np.linalg.norm(aside))
    over, low, high = 0.075, 0.012, arm.HIGH[2]
    width = 2 * Pick.half
    between = off < 0.015 and abs(hand[2] - block[2]) < 0.022

    def act(xy: np.ndarray, z: float, grip: float) -> np.ndarray:
        return np.append(_towards(np.append(xy, z - hand[2])), grip)

    if between and jaw < width + 0.002:
        return act(0 * aside, high, -1.0)
    if between and hand[2] < low + 0.008:
        return act(aside, low, -1.0)
    if off < 0.010 and jaw > width + 0.012:
        return act(aside, low, 1.0)
    if off > 0.020 and hand[2] < 0.7 * over:
        return act(0 * aside, over, 1.0)
    return act(aside, over, 1.0)


_EXPERTS: dict[str, Callable[[Observation], np.ndarray]] = {
    Reach.name: reach,
    Push.name: push,
    Slide.name: slide,
    Pick.name: pick,
}


def expert(task: str) -> Callable[[Observation], np.ndarray]:
    """The expert of a task. Raises ZoetropeError where there is none."""
    if task in SUITES:
        return SUITES[task].expert()
    if task not in _EXPERTS:
        raise ZoetropeError(f"task '{task}' has no scripted expert; those that have: {', '.join(_EXPERTS)}")
    return _EXPERTS[task]

"""Plans along a route behind whatever is ahead, by the Intelligent Driver Model (Treiber et al. 2000, cond-mat/0002177)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from driving.geometry import corners
from driving.planning.lines import place, project
from driving.road.query import LanePath
from driving.scene import EGO_CENTRE, EGO_SIZE, RATE
from driving.traffic.idm import Style, acceleration

FRONT = EGO_CENTRE + EGO_SIZE[1] / 2
"""How far the ego's front is ahead of its rear axle."""
RETURN = 12.0
"""Metres over which a driver beside its line comes back to it (to a third)."""
FRAMES = 4 * RATE


@dataclass(frozen=True, kw_only=True, slots=True)
class Temper:
    """How a planner drives."""

    style: Style = Style()
    pace: float = 1.0
    """Wished speed as share of the limit, and of what is comfortable in bends."""
    margin: float = 0.3
    """Metres kept free on both sides."""


@dataclass(frozen=True, slots=True)
class Leader:
    """Something ahead on the route."""

    gap: float
    """Metres from the ego's front to it."""
    speed: float
    """Along the route, m/s."""


def pedal(style: Style, speed: float, wish: float, leaders: Iterable[Leader]) -> float:
    """What the model does with its pedals, m/s^2: the least over all that is ahead."""
    free = acceleration(style, speed, wish, math.inf, 0.0)
    return min((acceleration(style, speed, wish, leader.gap, leader.speed) for leader in leaders), default=free)


def ahead(route: np.ndarray, boxes: np.ndarray, speeds: np.ndarray, margin: float) -> list[Leader]:
    """Which of the boxes (M, 5), all in the ego's axes, stand on the ego's way along the route (M', 2).

    `speeds` (M,) are theirs along the route.
    """
    if not len(boxes):
        return []
    along, left = project(route, corners(boxes))
    start = float(project(route, np.zeros(2))[0])
    half = EGO_SIZE[0] / 2 + margin
    near = along.min(1) - start - FRONT
    mine = (left.min(1) < half) & (left.max(1) > -half) & (along.max(1) > start + EGO_CENTRE)
    return [Leader(float(max(g, 0.0)), float(v)) for g, v in zip(near[mine], speeds[mine])]


def roll_out(temper: Temper, route: np.ndarray, speed: float, limit: float, leaders: list[Leader]) -> np.ndarray:
    """The plan (FRAMES, 3) that the model drives along the route, all in the ego's axes; leaders keep their speeds."""
    gone, out = 0.0, []
    bends = LanePath(points=route, lanes=(), starts=(), ends=False).bend_speeds.tolist()  # a point a metre
    gaps = [leader.gap for leader in leaders]
    for _ in range(FRAMES):
        now = [Leader(gap - gone, leader.speed) for gap, leader in zip(gaps, leaders)]
        wish = temper.pace * min(limit, bends[min(int(gone), len(bends) - 1)])
        after = max(speed + pedal(temper.style, speed, wish, now) / RATE, 0.0)
        gone += (speed + after) / 2 / RATE
        gaps = [gap + leader.speed / RATE for gap, leader in zip(gaps, leaders)]
        speed = after
        out.append(gone)
    return along_route(route, np.array(out))


def along_route(route: np.ndarray, gone: np.ndarray, beside: float = 0.0) -> np.ndarray:
    """Poses (N, 3) after `gone` (N,) metres along the route, coming smoothly from beside it to `beside` metres left of it."""
    start, left = (float(v) for v in project(route, np.zeros(2)))
    offset = beside + (left - beside) * np.exp(-gone / RETURN)
    poses = place(route, start + gone, offset)
    poses[:, 2] += np.arctan(-(left - beside) / RETURN * np.exp(-gone / RETURN))
    return poses

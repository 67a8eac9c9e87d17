"""What is ahead on a path: bodies seen as rows of circles, as fast to ask as it must be at every step of every driver."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from driving.road.query import LanePath
from driving.scene import EGO_CENTRE, EGO_SIZE, Moment

EGO = -1
"""The ego's number among bodies."""
WALKERS = ("pedestrian", "child", "animal", "ball")
"""Categories whose next steps drivers foresee."""
FORESEEN = (0.8, 1.6, 2.4)
"""Seconds ahead at which they do."""
EARLY = 0.6
"""Who has passed a place this long before a walker gets there need not wait, seconds."""
STRIDE = 2
"""Every which point of a path is compared with the bodies."""
ASIDE = 6.0
"""Bodies farther than this from a path are not on it, metres."""
MARGIN = 0.25
"""Room that drivers want on either side, metres."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bodies:
    """C circles that cover everybody present. float64 (C,) each."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    vx: np.ndarray
    vy: np.ndarray
    when: np.ndarray
    """Seconds from now that it is there: 0, or one of `FORESEEN`."""
    owner: np.ndarray
    """int (C,): the actor's id, or `EGO`."""

    @staticmethod
    def of(moment: Moment) -> Bodies:
        """Everybody, with the foreseen steps of those who walk as circles at rest."""
        ids, local, radius = _circles(tuple((actor.id, actor.size) for actor, _ in moment.actors))
        states = [(s.x, s.y, s.yaw, s.speed) for _, s in moment.actors]
        ego = moment.ego
        states.append((ego.x + EGO_CENTRE * math.cos(ego.yaw), ego.y + EGO_CENTRE * math.sin(ego.yaw), ego.yaw, ego.speed))
        at = np.array(states)[ids]
        cos, sin = np.cos(at[:, 2]), np.sin(at[:, 2])
        numbers = np.array([actor.id for actor, _ in moment.actors] + [EGO])
        parts = [
            (at[:, 0] + cos * local[:, 0] - sin * local[:, 1]),
            (at[:, 1] + sin * local[:, 0] + cos * local[:, 1]),
            radius,
            cos * at[:, 3],
            sin * at[:, 3],
            np.zeros(len(ids)),
            numbers[ids].astype(float),
        ]
        steps = [
            (s.x + t * s.speed * math.cos(s.yaw), s.y + t * s.speed * math.sin(s.yaw), actor.size[0] / 2, 0.0, 0.0, t, actor.id)
            for actor, s in moment.actors
            if actor.category in WALKERS and s.speed > 0.3
            for t in FORESEEN
        ]
        if steps:
            parts = [np.concatenate([a, b]) for a, b in zip(parts, np.array(steps).T)]
        return Bodies(
            x=parts[0], y=parts[1], radius=parts[2], vx=parts[3], vy=parts[4], when=parts[5], owner=parts[6].astype(int)
        )


@lru_cache(maxsize=64)
def _circles(
    sizes: tuple[tuple[int, tuple[float, float, float]], ...],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row of the body, place in its axes and radius of each circle; the ego comes last."""
    rows, local, radius = [], [], []
    for row, (width, length, _) in enumerate([size for _, size in sizes] + [EGO_SIZE]):
        r, reach = min(width, length) / 2, (max(width, length) - min(width, length)) / 2
        for shift in np.linspace(-reach, reach, math.ceil(max(width, length) / (2 * r) - 1e-6)) if reach > 0.01 else [0.0]:
            rows.append(row)
            local.append((shift, 0.0) if length >= width else (0.0, shift))
            radius.append(r)
    return np.array(rows), np.array(local, float), np.array(radius)


@dataclass(frozen=True, kw_only=True, slots=True)
class Follower:
    """A body on a path, for the question of what is ahead of it."""

    owner: int
    path: LanePath
    s: float
    """Of its middle."""
    lateral: tuple[float, float]
    """Where it is and where it is going, metres left of the path."""
    half_width: float
    half_length: float
    speed: float


def reach(speed: float) -> float:
    """How far ahead somebody looks, metres."""
    return 20.0 + 2.0 * speed + speed**2 / 5


def ahead(bodies: Bodies, me: Follower) -> tuple[float, float]:
    """Metres from the follower's front to the first body in its way, infinite where there is none, and how fast that body
    moves along the path."""
    path, far = me.path, reach(me.speed)
    first = max(int(np.searchsorted(path.along, me.s)) - 2, 0)
    last = int(np.searchsorted(path.along, me.s + far)) + 1
    points = path.points[first:last:STRIDE]
    if len(points) < 2:
        return math.inf, 0.0
    (west, south), (east, north) = points.min(0) - ASIDE, points.max(0) + ASIDE
    x, y = bodies.x, bodies.y
    near = np.flatnonzero((x > west) & (x < east) & (y > south) & (y < north) & (bodies.owner != me.owner))
    if not len(near):
        return math.inf, 0.0
    bx, by, r = bodies.x[near], bodies.y[near], bodies.radius[near]
    dx, dy = bx - points[:, :1], by - points[:, 1:]
    best = (dx * dx + dy * dy).argmin(0)
    columns = np.arange(len(near))
    dx, dy = dx[best, columns], dy[best, columns]
    at = first + STRIDE * best
    yaw = path.yaws[at]
    cos, sin = np.cos(yaw), np.sin(yaw)
    s = path.along[at] + cos * dx + sin * dy
    d = cos * dy - sin * dx
    now = me.lateral[0]
    low, high = min(me.lateral) - me.half_width - MARGIN, max(me.lateral) + me.half_width + MARGIN
    front = me.s + me.half_length
    in_way = (d + r > low) & (d - r < high) & (s > front - 0.3)
    touching = (np.abs(d - now) < r + me.half_width) & (s > me.s)
    passed = (s + r + me.half_length - me.s) < (bodies.when[near] - EARLY) * me.speed
    blocking = np.flatnonzero((in_way | touching) & ~passed & (s < me.s + far))
    if not len(blocking):
        return math.inf, 0.0
    nearest = blocking[(s - r)[blocking].argmin()]
    k = near[nearest]
    return float(s[nearest] - r[nearest] - front), float(bodies.vx[k] * cos[nearest] + bodies.vy[k] * sin[nearest])

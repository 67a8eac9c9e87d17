"""How good a future is: a map term, an object term, certainty and progress (after Drive-WM, arXiv 2311.17918).

    reward = map x object x certainty x (1 + 2 progress) / 3

Map and object terms are read from pictures of that future; certainty is Vista's (arXiv 2405.17398): exp(-mean variance) of
several samples of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from driving.geometry import corners, ego_boxes, overlap, wrapped
from driving.planning.idm import FRONT
from driving.planning.lines import place, project
from driving.planning.perception import seen_points
from driving.planning.vehicle import EGO
from driving.rig import Rig
from driving.scene import EGO_CENTRE, EGO_SIZE, RATE, Images

TOUCH = 0.3
"""Metres at which it counts as touched: pictures are not exact."""
HEADWAY = 0.5
"""Seconds of its speed that the ego should have free ahead."""
ASIDE = 0.5
"""Metres that it should have free beside."""
WIDE = 5.0
"""Metres from the route at which consistency with its centre has fallen to a third."""
NEAR, FAR = 4.0, 12.0
"""The road is judged from this many metres ahead of the rear axle to that many."""
HALF = 1.0
"""...and to both sides."""
GROUND = 0.2
"""Points this near to height 0 are ground, metres."""
LIKE = 3.0
"""Standard deviations within which a colour is that of the road."""
GRAIN = 8.0
"""Colours of the road differ by at least this much, of 255."""
FEW = 10
"""With fewer points nothing is said about the road."""
DOUBT = 50.0
"""How much variance of colours (0 to 1) counts against certainty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What one picture of the future says."""

    boxes: np.ndarray
    """float64 (M, 5): bodies around the ego, in its axes."""
    road: float
    """Share of the ground just ahead that is road."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reward:
    """Its terms, each from 0 to 1, and their product."""

    map: float
    object: float
    certainty: float
    progress: float

    @property
    def total(self) -> float:
        return self.map * self.object * self.certainty * (1 + 2 * self.progress) / 3


def reward(
    states: np.ndarray,
    samples: Sequence[Sequence[Reading]],
    certainty: float,
    route: np.ndarray,
    limit: float,
    stride: int = 1,
) -> Reward:
    """Judge ego states (T + 1, 4), `stride` frames apart, by the readings of 1 to T in one or more samples; the worst counts.

    `route` (M, 2) is in the scene's coordinates, `limit` in m/s.
    """
    along, _ = project(route, states[[0, -1], :2])
    wished = limit * stride * (len(states) - 1) / RATE
    return Reward(
        map=min(float(np.mean([r.road for r in readings])) for readings in samples) * centred(states, route),
        object=min(
            min(free(r.boxes, s[3]) for readings in samples for r, s in zip(readings, states[1:])),
            min(float(can_stop(readings[-1].boxes, states[-1, 3])) for readings in samples),
        ),
        certainty=certainty,
        progress=float(np.clip((along[1] - along[0]) / max(wished, 1e-6), 0, 1)),
    )


def free(boxes: np.ndarray, speed: float) -> float:
    """How much room the bodies (M, 5) leave an ego at `speed`, 0 to 1: ahead in its corridor, and beside it."""
    if not len(boxes):
        return 1.0
    ego = ego_boxes(np.zeros(3))
    ego[3:] += 2 * TOUCH
    if overlap(ego, boxes).any():
        return 0.0
    at = corners(boxes)
    x0, x1 = at[..., 0].min(1), at[..., 0].max(1)
    aside = np.maximum(at[..., 1].min(1), -at[..., 1].max(1)) - EGO_SIZE[0] / 2
    gap = x0 - FRONT
    mine = (aside < TOUCH) & (gap > 0)
    ahead = np.clip((gap[mine] - TOUCH) / (1.0 + HEADWAY * speed), 0, 1)
    beside = (x1 > EGO_CENTRE - EGO_SIZE[1] / 2) & (x0 < FRONT) & (aside >= TOUCH)
    room = np.clip(aside[beside] / ASIDE, 0, 1)
    return float(min(ahead.min(initial=1.0), room.min(initial=1.0)))


def can_stop(boxes: np.ndarray, speed: float) -> bool:
    """Whether an ego at `speed` that brakes as hard as it can stops before the bodies (M, 5) ahead of it, if they stood."""
    if not len(boxes):
        return True
    at = corners(boxes)
    gap, aside = at[..., 0].min(1) - FRONT, np.maximum(at[..., 1].min(1), -at[..., 1].max(1)) - EGO_SIZE[0] / 2
    ahead = gap[(aside < TOUCH) & (gap > 0)]
    return bool(ahead.min(initial=np.inf) - TOUCH > speed**2 / (2 * EGO.brake))


def centred(states: np.ndarray, route: np.ndarray) -> float:
    """How well the end of a trajectory agrees with the route: its distance from the centre and its heading."""
    along, left = project(route, states[-1, :2])
    turn = wrapped(states[-1, 2] - place(route, along)[2])
    return float(np.exp(-((left / WIDE) ** 2)) * max(np.cos(turn), 0.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class RoadColour:
    """What the road looks like, learned from where the ego is now, which is on it (after Dahlkamp et al., RSS 2006)."""

    mean: np.ndarray
    inverse: np.ndarray
    """Of the covariance, (3, 3)."""

    @classmethod
    def of(cls, images: Images, rig: Rig) -> RoadColour | None:
        """From the ground ahead in these pictures; None where none is seen."""
        colours = _ground(images, rig)
        if len(colours) < FEW:
            return None
        middle = np.median(colours, 0)
        near = np.linalg.norm(colours - middle, axis=1)
        colours = colours[near <= np.quantile(near, 0.8)]  # paint on the road and what stands on it are not the road
        spread = np.cov(colours.T) + GRAIN**2 * np.eye(3)
        return cls(mean=colours.mean(0), inverse=np.linalg.inv(spread))

    def share(self, images: Images, rig: Rig) -> float:
        """Share of the ground ahead that looks like it; 1 where no ground is seen, for then something else is said."""
        colours = _ground(images, rig)
        if len(colours) < FEW:
            return 1.0
        away = colours - self.mean
        return float((np.einsum("pi,ij,pj->p", away, self.inverse, away) < LIKE**2).mean())


def certainty(samples: Sequence[Sequence[Images]]) -> float:
    """exp(-mean variance) over samples of the same frames; 1 with one sample."""
    if len(samples) < 2:
        return 1.0
    variance = [np.var(np.stack([s.colour for s in frame]).astype(np.float32) / 255, axis=0).mean() for frame in zip(*samples)]
    return float(np.exp(-DOUBT * np.mean(variance)))


def _ground(images: Images, rig: Rig) -> np.ndarray:
    """float64 (P, 3): colours of the ground just ahead of the ego."""
    points, colours = seen_points(images, rig)
    x, y, z = points.T
    return colours[(x > NEAR) & (x < FAR) & (np.abs(y) < HALF) & (np.abs(z) < GROUND)].astype(float)

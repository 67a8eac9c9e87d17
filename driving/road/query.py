"""Fast questions to a road: where its lanes lead, what is near, what one may drive on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely

from core.errors import ZoetropeError
from driving.road.lines import headings, lengths
from driving.road.network import Lane, Road

LATERAL_COMFORT = 2.2
"""Sideways acceleration in bends that drivers are content with, m/s2."""
SLOWING_COMFORT = 1.4
"""Braking before bends, m/s2."""


@dataclass(frozen=True, kw_only=True)
class LanePath:
    """A line to follow: the centres of a lane and of those after it. P points about a metre apart."""

    points: np.ndarray
    """float64 (P, 2)."""
    lanes: tuple[int, ...]
    """Those it is made of, in order."""
    starts: tuple[float, ...]
    """Where each begins, metres along the path."""
    ends: bool
    """Whether the road ends where the path does, rather than that it was cut to a length."""

    @cached_property
    def along(self) -> np.ndarray:
        """(P,) metres from the beginning."""
        return lengths(self.points)

    @cached_property
    def yaws(self) -> np.ndarray:
        """(P,) headings without jumps."""
        return headings(self.points)

    @cached_property
    def curvatures(self) -> np.ndarray:
        """(P,) 1/m, positive to the left."""
        raw = np.gradient(self.yaws, self.along)
        return np.convolve(np.pad(raw, 2, mode="edge"), np.full(5, 0.2), mode="valid")

    @cached_property
    def bend_speeds(self) -> np.ndarray:
        """(P,) m/s: the most that is comfortable in the bends here and ahead."""
        speed = np.sqrt(LATERAL_COMFORT / np.maximum(np.abs(self.curvatures), 1e-3))
        for i in range(len(speed) - 2, -1, -1):
            ahead = speed[i + 1] ** 2 + 2 * SLOWING_COMFORT * (self.along[i + 1] - self.along[i])
            speed[i] = min(speed[i], ahead**0.5)
        return speed

    @property
    def length(self) -> float:
        return float(self.along[-1])

    def position(self, s: float, lateral: float = 0.0) -> tuple[float, float, float]:
        """x, y and the path's heading at `s` metres along and `lateral` metres to its left; straight on beyond its ends."""
        i = min(max(int(np.searchsorted(self.along, s)) - 1, 0), len(self.points) - 2)
        share = (s - self.along[i]) / (self.along[i + 1] - self.along[i])
        inner = min(max(share, 0.0), 1.0)
        yaw = float(self.yaws[i] + inner * (self.yaws[i + 1] - self.yaws[i]))
        (x0, y0), (x1, y1) = self.points[i], self.points[i + 1]
        return (
            float(x0 + share * (x1 - x0) - lateral * np.sin(yaw)),
            float(y0 + share * (y1 - y0) + lateral * np.cos(yaw)),
            yaw,
        )

    def project(self, x: float, y: float) -> tuple[float, float]:
        """Metres along the path of its point nearest to (x, y), and how far left of it (x, y) is."""
        s, d = project(self.points, self.along, np.array([[x, y]]))
        return float(s[0]), float(d[0])

    def bend_speed(self, s: float) -> float:
        return float(np.interp(s, self.along, self.bend_speeds))

    def lane_at(self, s: float) -> int:
        """The id of the lane at `s`."""
        return self.lanes[max(int(np.searchsorted(self.starts, s, side="right")) - 1, 0)]

    def end_of(self, index: int) -> float:
        """Where the path's lane number `index` ends."""
        return self.starts[index + 1] if index + 1 < len(self.starts) else self.length


def project(line: np.ndarray, along: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K,) metres along a polyline and (K,) metres to its left of points (K, 2). Beyond its ends the outer segments go on."""
    a, delta = line[:-1], np.diff(line, axis=0)
    size = np.diff(along)
    rel = points[:, None] - a[None]
    share = (rel * delta[None]).sum(-1) / size**2
    off = rel - np.clip(share, 0, 1)[..., None] * delta[None]
    best = (off**2).sum(-1).argmin(1)
    rows = np.arange(len(points))
    t = share[rows, best]
    low, high = np.where(best == 0, -np.inf, 0.0), np.where(best == len(a) - 1, np.inf, 1.0)
    t = np.clip(t, low, high)
    unit = delta[best] / size[best, None]
    out = points - (a[best] + t[:, None] * delta[best])
    return along[best] + t * size[best], unit[:, 0] * out[:, 1] - unit[:, 1] * out[:, 0]


def path_from(
    road: Road, lane_id: int, route: Sequence[int] = (), length: float = 400.0, *, backwards: bool = False
) -> LanePath:
    """The path along a lane, then the lanes of `route`, then first successors, of at least `length` metres where the road
    goes on that far.

    `backwards`: against the lanes' direction, through predecessors. Raises ZoetropeError for a lane that does not exist
    or a route whose lanes do not follow each other.
    """
    ids, total, left = [_lane(road, lane_id).id], 0.0, list(route)
    while True:
        total += lengths(road.lanes[ids[-1]].centre)[-1]
        after = road.predecessors[ids[-1]] if backwards else road.lanes[ids[-1]].successors
        if left:
            following = left.pop(0)
            if following not in after:
                raise ZoetropeError(f"road {road.name}: route: lane {following} does not follow lane {ids[-1]}; {after} do")
        elif not after or total >= length:
            break
        else:
            following = after[0]
        ids.append(following)
    lines = [road.lanes[i].centre for i in ids]
    if backwards:
        lines = [line[::-1] for line in lines]
    points = np.concatenate([lines[0], *(line[1:] for line in lines[1:])])
    sizes = [lengths(line)[-1] for line in lines]
    starts = tuple(float(s) for s in np.concatenate([[0.0], np.cumsum(sizes[:-1])]))
    return LanePath(points=points, lanes=tuple(ids), starts=starts, ends=not after)


def nearest_lane(road: Road, x: float, y: float, yaw: float | None = None) -> tuple[int, float, float]:
    """The lane nearest to a point, among those that head within 60 degrees of `yaw` where there are any; metres along it;
    metres left of it."""
    points, angles, ids = road.lane_points
    far = (points[:, 0] - x) ** 2 + (points[:, 1] - y) ** 2
    if yaw is not None:
        aligned = np.cos(angles - yaw) > 0.5
        far = np.where(aligned, far, far + 1e6)
    lane = road.lanes[int(ids[far.argmin()])]
    s, d = project(lane.centre, lengths(lane.centre), np.array([[x, y]]))
    return lane.id, float(s[0]), float(d[0])


def on_drivable(road: Road, points: np.ndarray) -> np.ndarray:
    """bool (...,): whether wheels may be at points (..., 2)."""
    shapely.prepare(road.drivable)
    return shapely.contains_xy(road.drivable, points[..., 0], points[..., 1])


def _lane(road: Road, lane_id: int) -> Lane:
    if lane_id not in road.lanes:
        raise ZoetropeError(f"road {road.name}: lane {lane_id} does not exist; it has 0 to {max(road.lanes)}")
    return road.lanes[lane_id]

"""Who may go: signals, and one at a time where lanes through a junction cross."""

from __future__ import annotations

import math
from collections.abc import Iterable

from driving.road.network import Road
from driving.road.query import LanePath, nearest_lane
from driving.scene import State

WILLING = 3.0
"""The hardest braking for a light that turned yellow, m/s2."""
POSSIBLE = 6.5
"""The hardest braking for a red one, m/s2; who cannot stop goes through."""
OPEN = math.inf
"""No line to stop at."""


def stop_line(road: Road, path: LanePath, front: float, speed: float, time: float) -> float:
    """Metres to the next line at which a signal says stop, infinite where none does."""
    for k, lane in enumerate(path.lanes):
        gap = path.end_of(k) - front
        signal = road.lanes[lane].signal
        if signal is None or gap < 0:
            continue
        if gap > 30 + speed**2 / 2:
            return OPEN
        colour = road.signals[signal].colour(time)
        needed = speed**2 / (2 * max(gap, 0.1))
        return gap if (colour == "red" and needed < POSSIBLE) or (colour == "yellow" and needed < WILLING) else OPEN
    return OPEN


def next_junction(road: Road, path: LanePath, front: float) -> tuple[int, float, float] | None:
    """The next lane through a junction that a body has not entered: the lane, metres to it, and where it ends on the path."""
    for k, lane in enumerate(path.lanes):
        if road.lanes[lane].junction and path.starts[k] >= front:
            return lane, path.starts[k] - front, path.end_of(k)
    return None


def attention(speed: float) -> float:
    """From how far before a junction somebody asks to go through, metres."""
    return 8.0 + speed**2 / 3.5


def ego_claims(road: Road, ego: State, front: float, time: float) -> frozenset[int]:
    """The lanes that the ego, `front` metres long from its rear axle, is on or may enter."""
    lane_id, s, _ = nearest_lane(road, ego.x, ego.y, ego.yaw)
    lane = road.lanes[lane_id]
    if lane.junction:
        return frozenset(i for before in road.predecessors[lane_id] for i in road.lanes[before].successors)
    length = road.lane_lengths[lane_id]
    if ego.speed < 0.5 and length - s > front + 4:
        return frozenset()
    if length - s - front > attention(ego.speed):
        return frozenset()
    held = lane.signal is not None and road.signals[lane.signal].colour(time) == "red" and length - s > front
    return frozenset() if held else frozenset(i for i in lane.successors if road.lanes[i].junction)


def free(road: Road, lane: int, taken: Iterable[int]) -> bool:
    """Whether nobody has a lane that crosses it."""
    return road.conflicts[lane].isdisjoint(taken)

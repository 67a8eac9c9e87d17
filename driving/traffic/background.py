"""Ordinary traffic for any road, decided by a seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely

from core.errors import ZoetropeError
from driving.road.lines import headings
from driving.road.network import Road
from driving.road.query import LanePath, path_from
from driving.scene import CATEGORIES, Actor, Moment, State
from driving.traffic.behaviours import AtTime, Drive, Entrant, Replay, Stand, Walk
from driving.traffic.sight import EGO, Bodies

PAINTS = (
    ((236, 236, 234), 0.26), ((24, 25, 28), 0.21), ((122, 125, 128), 0.17), ((178, 182, 186), 0.12), ((36, 62, 118), 0.09),
    ((150, 26, 30), 0.07), ((60, 66, 60), 0.03), ((150, 132, 106), 0.03), ((206, 160, 40), 0.02),
)  # fmt: skip
"""RGB and share of cars' colours: white, black, grey, silver, blue, red, green, beige, yellow."""
CLOTHES = (
    (40, 44, 58),
    (120, 30, 36),
    (200, 196, 188),
    (34, 82, 120),
    (88, 92, 70),
    (210, 140, 60),
    (150, 150, 158),
    (70, 40, 90),
)
"""RGB of what people wear."""
TRAFFIC = (("car", 0.70), ("van", 0.11), ("truck", 0.08), ("bus", 0.04), ("motorcycle", 0.07))
"""What drives, and how often."""
SPREAD = {"car": 0.07, "van": 0.06, "truck": 0.12, "bus": 0.05}
"""How much sizes vary within a category, as a share; 0.05 for others."""
EDGE = 0.55
"""How far from the lane's right edge cyclists ride, metres."""
EGO_ROOM = 10.0
"""Metres before and behind the ego in which nobody begins."""


@dataclass(kw_only=True)
class _Crowd:
    """Those chosen so far, so that nobody begins inside another."""

    rng: np.random.Generator
    bodies: Bodies
    first: int
    entrants: list[Entrant] = field(default_factory=list)

    def add(
        self, category: str, colour: tuple[int, int, int], behaviour: Drive | Walk | Stand, at: State, room: float, **options
    ) -> bool:
        """Adds an actor unless somebody is within `room` metres of it."""
        size = varied(category, self.rng)
        actor = Actor(id=self.first + len(self.entrants), category=category, size=size, colour=colour, **options)
        own = Bodies.of(Moment(0.0, State(1e9, 1e9, 0.0, 0.0), ((actor, State(at.x, at.y, at.yaw, 0.0)),)))
        here = own.owner == actor.id
        gaps = np.hypot(self.bodies.x[:, None] - own.x[here], self.bodies.y[:, None] - own.y[here]) - own.radius[here]
        limit = np.where(self.bodies.owner == EGO, max(room, EGO_ROOM if isinstance(behaviour, Drive) else 1.5), room)
        if (gaps.min(1) < self.bodies.radius + limit).any():
            return False
        self.entrants.append(Entrant(actor=actor, behaviour=behaviour))
        self.bodies = Bodies(
            **{
                name: np.concatenate([getattr(self.bodies, name), getattr(own, name)[here]])
                for name in ("x", "y", "radius", "vx", "vy", "when", "owner")
            }
        )
        return True


def varied(category: str, rng: np.random.Generator) -> tuple[float, float, float]:
    """A body's width, length and height, around those of its category."""
    spread = SPREAD.get(category, 0.05)
    width, length, height = (
        round(float(s * np.clip(rng.normal(1, spread), 1 - 2 * spread, 1 + 2 * spread)), 2) for s in CATEGORIES[category].size
    )
    return min(width, CATEGORIES[category].size[0] * 1.04), length, height


def painted(rng: np.random.Generator) -> tuple[int, int, int]:
    """A vehicle's colour, as often as on real roads."""
    base = PAINTS[int(rng.choice(len(PAINTS), p=[share for _, share in PAINTS]))][0]
    return _tinted(base, rng)


def dressed(rng: np.random.Generator) -> tuple[int, int, int]:
    """The colour of somebody's clothes."""
    return _tinted(CLOTHES[int(rng.integers(len(CLOTHES)))], rng)


def background(
    road: Road,
    ego: State,
    seed: int,
    density: float = 1.0,
    pedestrians: int = 8,
    cyclists: int = 2,
    parked: float = 0.5,
    others: Sequence[Entrant] = (),
    reach: float = 250.0,
) -> tuple[Entrant, ...]:
    """Ordinary traffic within `reach` metres of the ego, numbered on from `others`, whom it leaves room.

    `density`: vehicles per 100 m of lane (0 to 4); `pedestrians` and `cyclists`: how many at most; `parked`: share of the
    parking bays taken. Raises ZoetropeError for values out of range.
    """
    for name, value, top in (
        ("density", density, 4),
        ("pedestrians", pedestrians, 200),
        ("cyclists", cyclists, 100),
        ("parked", parked, 1),
    ):
        if not 0 <= value <= top:
            raise ZoetropeError(f"traffic: {name}: expected 0 to {top}, found {value:g}")
    rng = np.random.default_rng([seed, 1])
    placed = tuple((e.actor, where) for e in others if (where := start_of(road, e)) is not None)
    first = max((e.actor.id for e in others), default=-1) + 1
    crowd = _Crowd(rng=rng, bodies=Bodies.of(Moment(0.0, ego, placed)), first=first)
    streets = [lane.id for lane in road.lanes.values() if not lane.junction]
    _drive(road, ego, crowd, streets, density, reach)
    _ride(road, ego, crowd, streets, cyclists, reach)
    for x, y, yaw in road.bays:
        if math.hypot(x - ego.x, y - ego.y) < reach and rng.random() < parked:
            category = "car" if rng.random() < 0.85 else "van"
            nudged = Stand(
                x=x + float(rng.normal(0, 0.05)), y=y + float(rng.normal(0, 0.05)), yaw=yaw + float(rng.normal(0, 0.01))
            )
            crowd.add(category, painted(rng), nudged, State(nudged.x, nudged.y, nudged.yaw, 0.0), 0.2, parked=True)
    _walk(road, ego, crowd, pedestrians, reach)
    return tuple(crowd.entrants)


def start_of(road: Road, entrant: Entrant) -> State | None:
    """Where somebody is at time 0; None for who is not there yet."""
    match entrant.behaviour:
        case Drive() as b:
            x, y, yaw = path_from(road, b.lane, (), 0.0).position(b.along, b.lateral)
            return State(x, y, yaw + (math.pi if b.wrong_way else 0.0), b.speed or 0.0)
        case Walk(path=path):
            (x, y), (x1, y1) = path[0], path[1]
            return State(x, y, math.atan2(y1 - y, x1 - x), 0.0)
        case Stand() as b:
            return State(b.x, b.y, b.yaw, 0.0)
        case Replay(track=track):
            return State(*map(float, track[0])) if np.isfinite(track[0]).all() else None


def _drive(road: Road, ego: State, crowd: _Crowd, streets: list[int], density: float, reach: float) -> None:
    rng = crowd.rng
    names, shares = [name for name, _ in TRAFFIC], [share for _, share in TRAFFIC]
    if not density:
        return
    for lane in streets:
        path = path_from(road, lane, (), 0.0)
        at = float(rng.uniform(8, 8 + 100 / density))
        while at < path.length - 8:
            category = str(rng.choice(names, p=shares))
            lateral = float(np.clip(rng.normal(0, 0.1), -0.2, 0.2))
            if _within(path, at, ego, reach):
                drive = Drive(lane=lane, along=at, lateral=lateral, aggressiveness=float(rng.uniform(0.25, 0.75)))
                at_state = State(*path.position(at, lateral), 0.0)
                crowd.add(category, painted(rng), drive, at_state, 0.3)
            at += 14.0 + float(rng.exponential(max(100 / density - 14.0, 1.0)))


def _ride(road: Road, ego: State, crowd: _Crowd, streets: list[int], count: int, reach: float) -> None:
    rng, missing = crowd.rng, count
    outer = [i for i in streets if road.lanes[i].right is None]
    for _ in range(6 * count):
        if not missing:
            break
        lane = int(rng.choice(outer))
        path = path_from(road, lane, (), 0.0)
        at, lateral = float(rng.uniform(8, path.length - 8)), EDGE - road.lanes[lane].width / 2
        if _within(path, at, ego, reach):
            drive = Drive(lane=lane, along=at, lateral=lateral, aggressiveness=0.3)
            missing -= crowd.add("bicycle", dressed(rng), drive, State(*path.position(at, lateral), 0.0), 3.0)


def _walk(road: Road, ego: State, crowd: _Crowd, count: int, reach: float) -> None:
    """A quarter crosses at zebras, the others walk along the footways: as fast and as far as all who
    go the same way, so that none catches another up."""
    rng = crowd.rng
    near = [c for c in road.crossings if math.hypot(c.centroid.x - ego.x, c.centroid.y - ego.y) < reach]
    for zebra in near[: (count + 3) // 4]:
        corners = shapely.get_coordinates(zebra.minimum_rotated_rectangle)[:4]
        if np.hypot(*(corners[1] - corners[0])) > np.hypot(*(corners[2] - corners[1])):
            corners = np.roll(corners, -1, 0)
        a, b = (corners[0] + corners[1]) / 2, (corners[2] + corners[3]) / 2
        if rng.random() < 0.5:
            a, b = b, a
        out = (b - a) / np.hypot(*(b - a)) * 0.6
        path = (_pair(a - out), _pair(b + out))
        walk = Walk(
            path=path, speed=float(rng.uniform(1.1, 1.6)), trigger=AtTime(seconds=float(rng.uniform(0, 12))), yields=True
        )
        crowd.add("pedestrian", dressed(rng), walk, State(*path[0], 0.0, 0.0), 0.2)
    ways = [w for w in road.footways if np.hypot(*(w - (ego.x, ego.y)).T).min() < reach]
    if not ways:
        return
    speeds = {(k, side): float(rng.uniform(1.0, 1.6)) for k in range(len(ways)) for side in (1, -1)}
    for _ in range(6 * count):
        if len([e for e in crowd.entrants if e.actor.category in ("pedestrian", "child")]) >= count:
            break
        k, side = int(rng.integers(len(ways))), int(rng.choice((1, -1)))
        line = ways[k][::side]
        yaw = headings(line)
        line = line - 0.35 * np.stack([-np.sin(yaw), np.cos(yaw)], 1)
        stretch = len(line) // 2
        begin = int(rng.integers(0, len(line) - stretch - 2))
        if math.hypot(line[begin, 0] - ego.x, line[begin, 1] - ego.y) > reach:
            continue
        walk = Walk(path=tuple(_pair(p) for p in line[begin : begin + stretch]), speed=speeds[k, side])
        category = "pedestrian" if rng.random() < 0.9 else "child"
        crowd.add(category, dressed(rng), walk, State(*walk.path[0], 0.0, 0.0), 0.5)


def _within(path: LanePath, at: float, ego: State, reach: float) -> bool:
    x, y, _ = path.position(at)
    return math.hypot(x - ego.x, y - ego.y) < reach


def _pair(point: np.ndarray) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def _tinted(base: tuple[int, int, int], rng: np.random.Generator) -> tuple[int, int, int]:
    r, g, b = (int(c) for c in np.clip(np.array(base) + rng.normal(0, 6, 3), 5, 250))
    return r, g, b

"""Procedural roads: the same kind, seed and parameters give the same road. Right-hand traffic."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from core.errors import ZoetropeError
from driving.road import scenery
from driving.road.draft import Arm, Draft, Profile
from driving.road.lines import bent, direction, headings
from driving.road.network import Road

Bends = tuple[tuple[float, float], ...]
"""Stretches of (metres, radians turned)."""
KINDS = ("straight", "curve", "s_curve", "crossing", "junction", "t_junction", "roundabout", "town")
"""What `build` can make."""
SIDE_LENGTH = 110.0
"""Of the streets that lead away at junctions, metres."""
SKEW = math.radians(7)
"""How far a side street may lean from the right angle."""
ATTEMPTS = 50
"""How often a town's layout is drawn again because it ran into itself."""


class _CrossesItselfError(Exception):
    """A layout that cannot lie on a plane."""


def build(
    kind: str,
    seed: int,
    *,
    lanes: int | None = None,
    lane_width: float | None = None,
    speed_limit: float | None = None,
    parking: bool | None = None,
    length: float | None = None,
) -> Road:
    """A road of one of `KINDS`. What is None is drawn by the seed.

    `lanes` each way (1 to 3; a roundabout has 1), `lane_width` in metres (3 to 4), `speed_limit` in m/s (5 to 25),
    `parking` strips beside the lanes, `length` of the way through it in metres (up to 2000; None: 400, or 25 s at the
    limit where that is more; a town: 800).

    Lane 0 is the innermost lane of the way through, lane `lanes - 1` the outermost; following first successors from
    either leads through the whole road. Raises ZoetropeError for what is unknown or out of range.
    """
    if kind not in KINDS:
        raise ZoetropeError(f"road: unknown kind '{kind}'; known: {', '.join(KINDS)}")
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    most = 1 if kind == "roundabout" else 3
    count = int(rng.choice([1, 1, 2, 2, 3])) if lanes is None else lanes
    count = min(count, most) if lanes is None else count
    width = float(rng.uniform(3.2, 3.7)) if lane_width is None else lane_width
    limit = float(rng.choice([8.3, 11.1, 13.9])) if speed_limit is None else speed_limit
    with_parking = bool(rng.random() < 0.5) if parking is None else parking
    _check("lanes", count, 1, most)
    _check("lane_width", width, 3.0, 4.0)
    _check("speed_limit", limit, 5.0, 25.0)
    shortest = 22 * limit + 60
    total = length if length is not None else max(800.0 if kind == "town" else 400.0, 25 * limit)
    _check("length (22 s at the speed limit and 60 m)", total, shortest, 2000.0)
    profile = Profile(
        width=width,
        speed_limit=limit,
        walkway=float(rng.uniform(2.2, 3.8)),
        parking=with_parking,
        centre_line="double" if rng.random() < 0.5 else "dashed",
    )
    for _ in range(ATTEMPTS):
        layout = _Layout(rng=rng, draft=Draft(profile=profile), count=count)
        try:
            layout.lay(kind, total)
        except _CrossesItselfError:
            continue
        return _furnished(layout, kind, seed)
    raise ZoetropeError(f"road: no {kind} of {total:.0f} m with {count} lanes each way found room; ask for less length")


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ZoetropeError(f"road: {name}: expected {low:g} to {high:g}, found {value:g}")


def _furnished(layout: _Layout, kind: str, seed: int) -> Road:
    draft, rng = layout.draft, layout.rng
    drivable, walkways = draft.surfaces()
    streets = [(line, half + draft.profile.margin) for line, half in zip(draft.lines, draft.halves)]
    paved = unary_union([drivable, walkways, *draft.islands])
    houses = scenery.buildings(rng, streets, paved)
    taken = unary_union([paved, *(b.footprint for b in houses)])
    return Road(
        name=f"{kind}-{seed}",
        kind=kind,
        lanes=draft.finished_lanes(),
        drivable=drivable,
        walkways=walkways,
        crossings=tuple(draft.crossings),
        markings=draft.painted(drivable),
        signals=draft.signals,
        buildings=houses,
        plants=scenery.plants(rng, streets, taken),
        lamps=scenery.lamps(rng, streets, taken),
        footways=tuple(draft.footways),
        bays=tuple(draft.bays),
    )


@dataclass(kw_only=True)
class _Layout:
    """Lays the way through, piece after piece, from the origin eastwards on average."""

    rng: np.random.Generator
    draft: Draft
    count: int
    point: np.ndarray = field(default_factory=lambda: np.zeros(2))
    yaw: float = 0.0
    open_arm: Arm | None = None
    """The end of the last street on the way through."""
    joint: Callable[[Arm], None] | None = None
    """Makes the junction before the next street, given that street's beginning."""
    placed: list[BaseGeometry] = field(default_factory=list)

    def lay(self, kind: str, total: float) -> None:
        """Raises _CrossesItselfError."""
        rng = self.rng
        self.yaw = float(rng.uniform(-0.3, 0.3)) if kind == "town" else float(rng.uniform(-math.pi, math.pi))
        share = float(rng.uniform(0.35, 0.5))
        if kind == "straight":
            self._street(((total, 0.0),))
        elif kind == "curve":
            turn, metres = self._turn(0.6, 1.5), total * 0.4
            self._street(((total * 0.25, 0.0), (metres, turn), (total * 0.35, 0.0)))
        elif kind == "s_curve":
            turn = self._turn(0.5, 0.9)
            self._street(((total * 0.2, 0.0), (total * 0.3, turn), (total * 0.3, -turn), (total * 0.2, 0.0)))
        elif kind == "crossing":
            self._street(((total, 0.0),), crossing=total * share)
        elif kind == "town":
            self._town(total)
        else:
            self._street(((total * share, 0.0),))
            self._node(kind)
            self._street(((total * (1 - share), 0.0),))
        assert self.open_arm is not None
        self.draft.end(self.open_arm)

    def _town(self, total: float) -> None:
        """A junction comes first, then the other kinds in an order drawn by the seed; zebras on most streets."""
        rng = self.rng
        kinds = ["t_junction", "junction"] + (["roundabout"] if self.count == 1 else [])
        driven, order = 0.0, ["junction"]
        while driven < total:
            metres = float(rng.uniform(60, 110))
            if not order:
                order = [kinds[i] for i in rng.permutation(len(kinds))]
            turn = float(np.clip(-0.5 * self.yaw + rng.uniform(-0.45, 0.45), -0.6, 0.6)) if driven else 0.0
            self._street(((70.0, 0.0), (metres, turn), (20.0, 0.0)), crossing=40.0 if rng.random() < 0.6 else None)
            self._node(order.pop())
            driven += metres + 130
        self._street(((90.0, 0.0),))

    def _turn(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high)) * (1 if self.rng.random() < 0.5 else -1)

    def _street(self, bends: Bends, *, crossing: float | None = None) -> None:
        """The next piece of the way through, joined to the last one by the junction announced before."""
        line = bent(self.point, self.yaw, bends)
        first, last = self._add(line, self.count, crossing)
        if self.joint is None:
            self.draft.end(first)
        else:
            self.joint(first)
        self.point, self.yaw, self.open_arm, self.joint = line[-1], float(headings(line)[-1]), last, None

    def _node(self, kind: str) -> None:
        """A junction ahead with its side streets; the next street completes it."""
        rng, draft, before = self.rng, self.draft, self.open_arm
        assert before is not None
        ring = kind == "roundabout"
        count = self.count if ring else int(rng.integers(1, min(self.count, 2) + 1))
        width = draft.profile.width
        ahead, across = draft.setback(count * width), draft.setback(self.count * width)
        if ring:
            ahead = across = draft.roundabout_setback
        centre = self.point + ahead * direction(self.yaw)
        quarter = math.pi / 2 + (0.0 if ring else float(rng.uniform(-SKEW, SKEW)))
        yaws = [self.yaw + quarter, self.yaw + quarter - math.pi]
        if kind == "t_junction":
            yaws = [yaws[int(rng.integers(2))]]
        sides = []
        for yaw in yaws:
            first, last = self._add(bent(centre + across * direction(yaw), yaw, ((SIDE_LENGTH, 0.0),)), count)
            draft.end(last)
            sides.append(first)
        green = float(rng.uniform(9, 14)), float(rng.uniform(7, 10))
        signals = (*green, float(rng.uniform(0, sum(green))))
        self.point = centre + ahead * direction(self.yaw)

        def joint(after: Arm) -> None:
            arms = [before, after, *sides]
            if ring:
                draft.roundabout(centre, arms)
            else:
                draft.junction(centre, arms, signals)

        self.joint = joint

    def _add(self, line: np.ndarray, count: int, crossing: float | None = None) -> tuple[Arm, Arm]:
        first, last = self.draft.street(line, count, crossing=crossing)
        ground = self.draft.beside[-1]
        if not ground.is_valid or any(ground.buffer(-0.5).intersects(other) for other in self.placed):
            raise _CrossesItselfError
        self.placed.append(ground)
        return first, last

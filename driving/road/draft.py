"""A road in the making: streets and the junctions that join them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from shapely.geometry import LineString, MultiLineString, Point, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import linemerge, unary_union

from driving.road.lines import band, bezier, direction, headings, joined, lengths, offset, part, pieces, resample
from driving.road.network import Lane, LightColour, Marking, Signal

CORNER = 7.0
"""Radius of the curb at a junction's corners, metres."""
ZEBRA = 3.5
"""Length of a zebra crossing along the road."""
ZEBRA_GAP = 1.2
"""Between a zebra and its stop line."""
PARKING = 2.4
"""Width of a parking strip."""
PARKING_CLEAR = 14.0
"""Metres without parking before and after junctions and crossings."""
BAY = 6.5
"""Length of a place to park."""
FOOTWAY_INSET = 0.75
"""From a walkway's outer edge to where people walk."""
RING = 15.0
"""Radius of a roundabout's lane."""
RING_SIDE = 2.6
"""Ground on either side of that lane's centre."""
ARRIVAL = math.radians(38)
"""How far round the ring one joins it after one's own arm."""
YELLOW, ALL_RED = 3.0, 1.5
"""Seconds of yellow, and of red for everybody."""
LAMP_HEIGHT = 5.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What all streets of a road have in common."""

    width: float
    """Of a lane."""
    speed_limit: float
    walkway: float
    """Width."""
    parking: bool
    centre_line: str
    """'double' or 'dashed'."""

    @property
    def margin(self) -> float:
        """From the lanes' edge to the walkway's outer edge."""
        return self.walkway + (PARKING if self.parking else 0.0)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Arm:
    """The end of a street, as a junction sees it. Lanes from the middle outwards."""

    point: np.ndarray
    """Of the street's middle line, at its end."""
    yaw: float
    """Away from the junction."""
    incoming: tuple[int, ...]
    outgoing: tuple[int, ...]


@dataclass(kw_only=True)
class Draft:
    """Collects lanes, ground and paint."""

    profile: Profile
    lanes: dict[int, Lane] = field(default_factory=dict)
    successors: dict[int, list[int]] = field(default_factory=dict)
    lines: list[np.ndarray] = field(default_factory=list)
    """The streets' middle lines."""
    halves: list[float] = field(default_factory=list)
    """Half the width of each street's lanes."""
    ground: list[BaseGeometry] = field(default_factory=list)
    beside: list[BaseGeometry] = field(default_factory=list)
    islands: list[Polygon] = field(default_factory=list)
    crossings: list[Polygon] = field(default_factory=list)
    markings: list[Marking] = field(default_factory=list)
    signals: dict[int, Signal] = field(default_factory=dict)
    footways: list[np.ndarray] = field(default_factory=list)
    bays: list[tuple[float, float, float]] = field(default_factory=list)
    ends: list[LineString] = field(default_factory=list)
    """Where the road is cut off: no curb there."""

    def setback(self, half: float) -> float:
        """From a junction's middle to the stop lines of an arm, where the street across is `half` wide each way."""
        return half + CORNER + 0.5 + ZEBRA + ZEBRA_GAP

    def street(self, line: np.ndarray, count: int, *, crossing: float | None = None) -> tuple[Arm, Arm]:
        """Adds a street of `count` lanes each way along its middle line; a zebra across it at that distance.

        Returns its two ends, first the one at the line's beginning.
        """
        width, half = self.profile.width, count * self.profile.width
        first = len(self.lanes)
        forward, backward = range(first, first + count), range(first + count, first + 2 * count)
        for i in range(count):
            side = (i + 0.5) * width
            for ids, centre, other in (
                (forward, offset(line, -side), backward[0]),
                (backward, offset(line, side)[::-1], forward[0]),
            ):
                self._lane(
                    Lane(
                        id=ids[i],
                        centre=resample(centre),
                        width=width,
                        speed_limit=self.profile.speed_limit,
                        left=ids[i - 1] if i else None,
                        right=ids[i + 1] if i + 1 < count else None,
                        opposite=other,
                    )
                )
        self.lines.append(line)
        self.halves.append(half)
        self.ground.append(band(line, half, -half))
        self.beside.append(band(line, half + self.profile.margin, -half - self.profile.margin))
        self._paint(line, count)
        total = lengths(line)[-1]
        if crossing is not None:
            self._zebra(part(line, crossing - ZEBRA / 2, crossing + ZEBRA / 2), half)
            for at, sign in ((crossing - ZEBRA / 2 - ZEBRA_GAP, -1.0), (crossing + ZEBRA / 2 + ZEBRA_GAP, 1.0)):
                self._stop_line(part(line, at - 0.5, at + 0.5), sign * half)
        if self.profile.parking:
            clear = [0.0, total] if crossing is None else [0.0, crossing, total]
            for begin, end in zip(clear, clear[1:]):
                if end - begin > 2 * PARKING_CLEAR + 10:
                    strip = part(line, begin + PARKING_CLEAR, end - PARKING_CLEAR)
                    self.ground += [band(strip, half + PARKING, half - 0.1), band(strip, 0.1 - half, -half - PARKING)]
                    for side in (-1.0, 1.0):
                        self.bays += _bays(offset(strip, side * (half + PARKING / 2))[:: int(-side)])
        reach = half + self.profile.margin - FOOTWAY_INSET
        self.footways += [offset(line, reach), offset(line, -reach)]
        yaw = headings(line)
        return (
            Arm(point=line[0], yaw=float(yaw[0]), incoming=tuple(backward), outgoing=tuple(forward)),
            Arm(point=line[-1], yaw=float(yaw[-1]) + math.pi, incoming=tuple(forward), outgoing=tuple(backward)),
        )

    def end(self, arm: Arm) -> None:
        """Says that nothing follows there."""
        across = direction(arm.yaw + math.pi / 2) * (self._half(arm) + self.profile.margin + 1)
        self.ends.append(LineString([arm.point - across, arm.point + across]))

    def junction(self, centre: np.ndarray, arms: list[Arm], signals: tuple[float, float, float] | None) -> None:
        """Joins arms whose lanes end at `setback` from the centre; the first two lie on one line.

        `signals`: seconds of green along that line and across it, and seconds into the phases at time 0.
        """
        for arm in arms:
            ahead = [a for a in arms if a is not arm]
            turns = [math.remainder(a.yaw - (arm.yaw + math.pi), math.tau) for a in ahead]
            straight = [a for a, t in zip(ahead, turns) if abs(t) < 0.8]
            for a in straight:
                for i, lane in enumerate(arm.incoming):
                    self._connect(lane, a.outgoing[min(i, len(a.outgoing) - 1)], CORNER)
            right = [a for a, t in zip(ahead, turns) if t <= -0.8]
            for a in right:
                self._connect(arm.incoming[-1], a.outgoing[-1], CORNER + self.profile.width / 2)
            left = [a for a, t in zip(ahead, turns) if t >= 0.8]
            for a in left:
                self._connect(arm.incoming[0], a.outgoing[0], 4 * CORNER)
        ground = [band(np.stack([centre, a.point + 2 * direction(a.yaw)]), self._half(a), -self._half(a)) for a in arms]
        self._node(unary_union(ground).buffer(CORNER).buffer(-CORNER))
        for k, arm in enumerate(arms):
            half, inward = self._half(arm), arm.yaw + math.pi
            away = direction(arm.yaw)
            self._zebra(np.stack([arm.point - away * (ZEBRA_GAP + ZEBRA), arm.point - away * ZEBRA_GAP]), half)
            if signals is None:
                continue
            self._stop_line(np.stack([arm.point + away, arm.point]), -half)
            reach = float(np.hypot(*(arm.point - centre))) - (CORNER + 0.5 + ZEBRA + ZEBRA_GAP)
            facing = any(abs(math.remainder(a.yaw - inward, math.tau)) < 0.8 for a in arms)
            lamp = (
                centre
                + direction(inward) * (reach + (CORNER - 1 if facing else 1))
                + direction(inward - math.pi / 2) * (half + 1.5)
            )
            number = len(self.signals)
            self.signals[number] = Signal(
                id=number,
                position=(float(lamp[0]), float(lamp[1]), LAMP_HEIGHT),
                yaw=math.remainder(arm.yaw, math.tau),
                phases=_phases(signals[0], signals[1], across=k >= 2),
                offset=signals[2],
            )
            for lane in arm.incoming:
                self.lanes[lane] = replace(self.lanes[lane], signal=number)

    def roundabout(self, centre: np.ndarray, arms: list[Arm]) -> None:
        """Joins arms of one lane each way by a ring of one lane, driven counter-clockwise."""
        for arm in arms:
            others = sorted((a for a in arms if a is not arm), key=lambda a: abs((a.yaw - arm.yaw) % math.tau - math.pi))
            for other in others:
                begin, end = arm.yaw + ARRIVAL, arm.yaw + (other.yaw - arm.yaw) % math.tau - ARRIVAL
                angles = np.linspace(begin, end, max(int((end - begin) * RING / 0.5), 2))
                ring = centre + RING * np.stack([np.cos(angles), np.sin(angles)], 1)
                start, finish = self.lanes[arm.incoming[0]].centre[-1], self.lanes[other.outgoing[0]].centre[0]
                handle = 0.4 * float(np.hypot(*(ring[0] - start)))
                enter = bezier(
                    start, start - direction(arm.yaw) * handle, ring[0] - direction(begin + math.pi / 2) * handle, ring[0]
                )
                leave = bezier(
                    ring[-1], ring[-1] + direction(end + math.pi / 2) * handle, finish - direction(other.yaw) * handle, finish
                )
                self._link(arm.incoming[0], other.outgoing[0], np.concatenate([enter, ring[1:-1], leave]))
        spokes = [band(np.stack([centre, a.point + 2 * direction(a.yaw)]), self._half(a), -self._half(a)) for a in arms]
        disc = Point(centre).buffer(RING + RING_SIDE, 32)
        self._node(unary_union([disc, *spokes]).buffer(CORNER).buffer(-CORNER))
        self.islands.append(Point(centre).buffer(RING - RING_SIDE, 32))
        for arm in arms:
            away = direction(arm.yaw)
            self._zebra(np.stack([arm.point - away * (ZEBRA_GAP + ZEBRA), arm.point - away * ZEBRA_GAP]), self._half(arm))

    @property
    def roundabout_setback(self) -> float:
        """From a roundabout's middle to where its arms begin."""
        return RING + RING_SIDE + CORNER + ZEBRA + ZEBRA_GAP

    def surfaces(self) -> tuple[BaseGeometry, BaseGeometry]:
        """All drivable ground and all walkways."""
        islands = unary_union(self.islands)
        drivable = unary_union(self.ground).buffer(0.02).buffer(-0.02)
        walkways = unary_union(self.beside).difference(drivable)
        return drivable.difference(islands), walkways

    def painted(self, drivable: BaseGeometry) -> tuple[Marking, ...]:
        """All paint, interrupted by zebras, and the curbs."""
        zebras = unary_union(self.crossings).buffer(0.4, cap_style="flat", join_style="mitre")
        out = []
        for marking in self.markings:
            if marking.kind == "stop":
                out.append(marking)
                continue
            for line in pieces(LineString(marking.line).difference(zebras)):
                out.append(replace(marking, line=line))
        edges = drivable.boundary.difference(unary_union(self.ends).buffer(0.3))
        merged = linemerge(edges) if isinstance(edges, MultiLineString) else edges
        out += [Marking(line=line, kind="curb") for line in pieces(merged.simplify(0.02))]
        return tuple(out)

    def finished_lanes(self) -> dict[int, Lane]:
        """The lanes with their successors: straight on first."""
        return {i: replace(lane, successors=tuple(self.successors.get(i, ()))) for i, lane in self.lanes.items()}

    def _half(self, arm: Arm) -> float:
        return len(arm.incoming) * self.profile.width

    def _lane(self, lane: Lane) -> None:
        self.lanes[lane.id] = lane

    def _connect(self, source: int, target: int, radius: float) -> None:
        a, b = self.lanes[source].centre, self.lanes[target].centre
        self._link(source, target, joined(a[-1], float(headings(a)[-1]), b[0], float(headings(b)[0]), radius))

    def _link(self, source: int, target: int, line: np.ndarray) -> None:
        line = resample(line)
        line[0], line[-1] = self.lanes[source].centre[-1], self.lanes[target].centre[0]
        number = max(self.lanes) + 1
        self._lane(Lane(id=number, centre=line, width=self.profile.width, speed_limit=self.profile.speed_limit, junction=True))
        self.successors.setdefault(source, []).append(number)
        self.successors[number] = [target]

    def _node(self, ground: BaseGeometry) -> None:
        self.ground.append(ground)
        self.beside.append(ground.buffer(self.profile.margin))

    def _zebra(self, line: np.ndarray, half: float) -> None:
        self.crossings.append(band(line, half, -half))

    def _stop_line(self, line: np.ndarray, side: float) -> None:
        """Across the lanes from the middle line to `side` metres left of it, at the end of `line`."""
        middle = line[-1] if len(line) == 2 else line[len(line) // 2]
        normal = np.array([-(line[-1] - line[0])[1], (line[-1] - line[0])[0]])
        normal = normal / np.hypot(*normal)
        self.markings.append(Marking(line=np.stack([middle, middle + normal * side]), kind="stop"))

    def _paint(self, line: np.ndarray, count: int) -> None:
        width = self.profile.width
        kind = "double" if self.profile.centre_line == "double" or count > 1 else "dashed"
        self.markings.append(Marking(line=line, kind=kind, colour="yellow"))
        for i in range(1, count):
            for sign in (1, -1):
                self.markings.append(Marking(line=offset(line, sign * i * width), kind="dashed"))
        for sign in (1, -1):
            self.markings.append(
                Marking(line=offset(line, sign * (count * width - (0.0 if self.profile.parking else 0.25))), kind="solid")
            )


def _bays(line: np.ndarray) -> list[tuple[float, float, float]]:
    """Places one after the other along the middle of a parking strip, in the direction of the traffic beside it."""
    along, yaw = lengths(line), headings(line)
    at = np.arange(BAY / 2, along[-1] - BAY / 2, BAY)
    return [
        (float(np.interp(s, along, line[:, 0])), float(np.interp(s, along, line[:, 1])), float(np.interp(s, along, yaw)))
        for s in at
    ]


def _phases(along: float, across_green: float, *, across: bool) -> tuple[tuple[LightColour, float], ...]:
    """Green for one direction while the other has red, and never both."""
    wait_along, wait_across = across_green + YELLOW + ALL_RED, along + YELLOW + ALL_RED
    if across:
        return (("red", wait_across), ("green", across_green), ("yellow", YELLOW), ("red", ALL_RED))
    return (("green", along), ("yellow", YELLOW), ("red", ALL_RED + wait_along))

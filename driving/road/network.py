"""A road: its lanes and what is painted on, stands beside and hangs over them.

Plain data on a flat ground, in the scene's coordinates; made by `driving.road.build`, read by everything else. Polygons are
shapely's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from shapely.geometry import LineString, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from driving.road.lines import headings, lengths

CLEARANCE = 0.3
"""How much of a lane's width on either side is left out when asking which lanes conflict, metres."""
LightColour = Literal["green", "yellow", "red"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """One direction of travel."""

    id: int
    centre: np.ndarray
    """float64 (N, 2), about a metre apart, in the direction of travel."""
    width: float
    speed_limit: float
    """Metres a second."""
    successors: tuple[int, ...] = ()
    left: int | None = None
    """The lane beside it in the same direction."""
    right: int | None = None
    opposite: int | None = None
    """The nearest lane beside it in the other direction."""
    junction: bool = False
    """Whether it crosses a junction."""
    signal: int | None = None
    """The signal at its end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Marking:
    """Paint on the road, or the curb."""

    line: np.ndarray
    """float64 (N, 2)."""
    kind: Literal["solid", "dashed", "double", "stop", "curb"]
    colour: Literal["white", "yellow"] = "white"


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """A traffic light. Its phases follow each other for ever."""

    id: int
    position: tuple[float, float, float]
    """Of its lamps."""
    yaw: float
    """Where it looks: against the traffic it is meant for."""
    phases: tuple[tuple[LightColour, float], ...]
    """(colour, seconds)."""
    offset: float = 0.0
    """Seconds into its phases at time 0."""

    def colour(self, time: float) -> LightColour:
        """What it shows."""
        at = (time + self.offset) % sum(seconds for _, seconds in self.phases)
        for colour, seconds in self.phases:
            if at < seconds:
                return colour
            at -= seconds
        return self.phases[-1][0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Building:
    """Some maps know them; that of nuScenes does not."""

    footprint: Polygon
    height: float
    colour: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plant:
    """A tree or bush."""

    position: tuple[float, float]
    height: float
    kind: Literal["broad", "conifer", "bush"]


@dataclass(frozen=True, kw_only=True)
class Road:
    """A piece of a town or country."""

    name: str
    kind: str
    """What was asked of the builder: straight, curve, junction, ..."""
    lanes: dict[int, Lane]
    drivable: BaseGeometry
    """Everything that wheels may touch."""
    walkways: BaseGeometry
    crossings: tuple[Polygon, ...] = ()
    markings: tuple[Marking, ...] = ()
    signals: dict[int, Signal] = field(default_factory=dict)
    buildings: tuple[Building, ...] = ()
    plants: tuple[Plant, ...] = ()
    lamps: tuple[tuple[float, float], ...] = ()
    """Street lamps."""
    footways: tuple[np.ndarray, ...] = ()
    """float64 (N, 2) each: where people walk along the walkways, 0.75 m inside their outer edges."""
    bays: tuple[tuple[float, float, float], ...] = ()
    """Places to park: x, y of the middle and heading of whoever stands there; 6.5 m long each."""

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of the ground that is described."""
        return unary_union([self.drivable, self.walkways]).bounds

    @cached_property
    def predecessors(self) -> dict[int, tuple[int, ...]]:
        """Of each lane: those it follows."""
        return {i: tuple(j for j, lane in self.lanes.items() if i in lane.successors) for i in self.lanes}

    @cached_property
    def lane_points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All points of all lanes: float64 (P, 2), their headings (P,) and lanes' ids (P,)."""
        lanes = list(self.lanes.values())
        points = np.concatenate([lane.centre for lane in lanes])
        yaws = np.concatenate([headings(lane.centre) for lane in lanes])
        return points, yaws, np.concatenate([np.full(len(lane.centre), lane.id) for lane in lanes])

    @cached_property
    def lane_lengths(self) -> dict[int, float]:
        """Metres of each lane."""
        return {i: float(lengths(lane.centre)[-1]) for i, lane in self.lanes.items()}

    @cached_property
    def lane_turns(self) -> dict[int, float]:
        """Radians that each lane turns to the left."""
        return {i: float(yaw[-1] - yaw[0]) for i, lane in self.lanes.items() for yaw in [headings(lane.centre)]}

    @cached_property
    def conflicts(self) -> dict[int, frozenset[int]]:
        """Of each lane through a junction: the others that bodies on it would touch, save those from the same lane."""
        lanes = [lane for lane in self.lanes.values() if lane.junction]
        ground = [LineString(lane.centre).buffer(0.5 * lane.width - CLEARANCE, cap_style="flat") for lane in lanes]
        return {
            a.id: frozenset(
                b.id
                for b, other in zip(lanes, ground)
                if a is not b and self.predecessors[a.id] != self.predecessors[b.id] and area.intersects(other)
            )
            for a, area in zip(lanes, ground)
        }

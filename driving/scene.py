"""What a scene is: who stands where at each moment, on which road, in what weather, seen by which cameras.

Coordinates are nuScenes': x east, y north, z up, metres; yaw in radians, counter-clockwise from east; the ground is flat
(z = 0). A body's position is the middle of its footprint, the ego's the middle of its rear axle.
Everything downstream (the source world, the layout shown to the network, labels, planners) reads these objects alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from core.errors import ZoetropeError
from driving.rig import Rig
from driving.road.network import Road

RATE = 10
"""Frames a second of every scene; every fifth is a nuScenes keyframe."""
EGO_SIZE = (1.85, 4.08, 1.6)
"""Width, length, height of the ego vehicle."""
EGO_CENTRE = 1.0
"""How far the middle of the ego's footprint is ahead of its rear axle."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Category:
    """A kind of actor."""

    nuscenes: str
    """Its nuScenes category."""
    detection: str | None
    """Its class in the nuScenes detection task; None where that task ignores it."""
    size: tuple[float, float, float]
    """Typical width, length, height."""
    attributes: tuple[str, str, str] | None = None
    """nuScenes attributes while moving, while stopped, and when parked."""


_VEHICLE = ("vehicle.moving", "vehicle.stopped", "vehicle.parked")
_CYCLE = ("cycle.with_rider", "cycle.with_rider", "cycle.without_rider")
_PERSON = ("pedestrian.moving", "pedestrian.standing", "pedestrian.sitting_lying_down")
CATEGORIES: dict[str, Category] = {
    "car": Category(nuscenes="vehicle.car", detection="car", size=(1.9, 4.5, 1.6), attributes=_VEHICLE),
    "van": Category(nuscenes="vehicle.car", detection="car", size=(2.1, 5.4, 2.4), attributes=_VEHICLE),
    "truck": Category(nuscenes="vehicle.truck", detection="truck", size=(2.5, 8.5, 3.3), attributes=_VEHICLE),
    "bus": Category(nuscenes="vehicle.bus.rigid", detection="bus", size=(2.6, 11.5, 3.2), attributes=_VEHICLE),
    "ambulance": Category(nuscenes="vehicle.emergency.ambulance", detection=None, size=(2.2, 6.2, 2.7), attributes=_VEHICLE),
    "police": Category(nuscenes="vehicle.emergency.police", detection=None, size=(1.9, 4.7, 1.7), attributes=_VEHICLE),
    "motorcycle": Category(nuscenes="vehicle.motorcycle", detection="motorcycle", size=(0.8, 2.1, 1.6), attributes=_CYCLE),
    "bicycle": Category(nuscenes="vehicle.bicycle", detection="bicycle", size=(0.6, 1.8, 1.7), attributes=_CYCLE),
    "pedestrian": Category(
        nuscenes="human.pedestrian.adult", detection="pedestrian", size=(0.65, 0.65, 1.75), attributes=_PERSON
    ),
    "child": Category(nuscenes="human.pedestrian.child", detection="pedestrian", size=(0.5, 0.5, 1.2), attributes=_PERSON),
    "animal": Category(nuscenes="animal", detection=None, size=(0.5, 1.2, 0.9)),
    "cone": Category(nuscenes="movable_object.trafficcone", detection="traffic_cone", size=(0.4, 0.4, 0.8)),
    "barrier": Category(nuscenes="movable_object.barrier", detection="barrier", size=(2.0, 0.5, 1.0)),
    "debris": Category(nuscenes="movable_object.debris", detection=None, size=(0.8, 0.9, 0.5)),
    "ball": Category(nuscenes="movable_object.debris", detection=None, size=(0.3, 0.3, 0.3)),
}
"""Every kind of actor that a scenario may name."""


@dataclass(frozen=True, slots=True)
class State:
    """Where a body is and how fast it goes (negative: backwards)."""

    x: float
    y: float
    yaw: float
    speed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """A body other than the ego: what does not change about it."""

    id: int
    """Its number in the scene, from 0."""
    category: str
    size: tuple[float, float, float]
    """Width, length, height."""
    colour: tuple[int, int, int]
    """RGB of its paint or clothes."""
    parked: bool = False

    def __post_init__(self) -> None:
        if self.category not in CATEGORIES:
            raise ZoetropeError(f"actor {self.id}: unknown category '{self.category}'; known: {', '.join(CATEGORIES)}")
        if not all(0 < s < 30 for s in self.size):
            raise ZoetropeError(f"actor {self.id}: size {self.size} is not that of a body on a road")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ambience:
    """Weather and light. Shares run from 0 (none) to 1 (as heavy as it gets)."""

    rain: float = 0.0
    snow: float = 0.0
    fog: float = 0.0
    cloud: float = 0.0
    sun_elevation: float = 45.0
    """Degrees above the horizon; below -6 it is night."""
    sun_azimuth: float = 135.0
    """Degrees counter-clockwise from east."""

    def __post_init__(self) -> None:
        for name in ("rain", "snow", "fog", "cloud"):
            if not 0 <= getattr(self, name) <= 1:
                raise ZoetropeError(f"ambience: {name}: expected a share from 0 to 1, found {getattr(self, name)}")
        if not -90 <= self.sun_elevation <= 90:
            raise ZoetropeError(f"ambience: sun_elevation: expected -90 to 90 degrees, found {self.sun_elevation}")

    @property
    def night(self) -> bool:
        return self.sun_elevation < -6


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant."""

    time: float
    """Seconds since the scene began; signals follow it."""
    ego: State
    actors: tuple[tuple[Actor, State], ...]
    """Those present."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What is rare about a scene."""

    name: str
    frame: int
    """When it happens."""
    actor: int | None = None
    """Who does it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A whole scene of T frames with N actors."""

    name: str
    road: Road
    rig: Rig
    ambience: Ambience
    ego: np.ndarray
    """float64 (T, 4): x, y, yaw, speed."""
    actors: tuple[Actor, ...] = ()
    tracks: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 4)))
    """float64 (N, T, 4): x, y, yaw, speed of each actor; NaN while it is not there."""
    events: tuple[Event, ...] = ()
    text: str = ""
    scenario: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        steps = len(self.ego)
        if self.ego.shape != (steps, 4) or steps < 1 or not np.isfinite(self.ego).all():
            raise ZoetropeError(f"scene {self.name}: ego: expected finite (T, 4), found {self.ego.shape}")
        wanted = (len(self.actors), steps, 4)
        if self.actors and self.tracks.shape != wanted:
            raise ZoetropeError(f"scene {self.name}: tracks: expected {wanted}, found {self.tracks.shape}")
        if [a.id for a in self.actors] != list(range(len(self.actors))):
            raise ZoetropeError(f"scene {self.name}: actors must be numbered from 0 in order")

    def __len__(self) -> int:
        return len(self.ego)

    def moment(self, t: int) -> Moment:
        """Frame t."""
        present = tuple(
            (actor, State(*map(float, self.tracks[i, t])))
            for i, actor in enumerate(self.actors)
            if np.isfinite(self.tracks[i, t]).all()
        )
        return Moment(t / RATE, State(*map(float, self.ego[t])), present)


@dataclass(frozen=True, slots=True)
class Images:
    """What a rig's V cameras show of a moment."""

    colour: np.ndarray
    """uint8 (V, H, W, 3) RGB."""
    depth: np.ndarray
    """float32 (V, H, W) metres along the optical axis; infinite in the sky."""
    ids: np.ndarray | None = None
    """int32 (V, H, W): 1 + id of the actor seen, 0 for none; None where the imager does not know (a generated world)."""

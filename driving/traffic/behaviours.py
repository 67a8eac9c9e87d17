"""What actors do: plain data that scenarios write and `driving.traffic.simulation` carries out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from core.errors import ZoetropeError
from driving.scene import Actor


@dataclass(frozen=True, kw_only=True, slots=True)
class AtTime:
    """Fires at a time after the scene began."""

    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class EgoNear:
    """Fires once the ego's front is at most this far from the actor's middle, in a straight line."""

    metres: float


@dataclass(frozen=True, kw_only=True, slots=True)
class EgoSoon:
    """Fires once the ego, at its present speed, needs at most this long for the straight line to the actor's middle."""

    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class EgoDriven:
    """Fires once the ego has driven this far since the scene began."""

    metres: float


@dataclass(frozen=True, kw_only=True, slots=True)
class AheadOfEgo:
    """Fires once the actor's middle is at least this far ahead of the ego's front, along the ego's heading."""

    metres: float


Trigger = AtTime | EgoNear | EgoSoon | EgoDriven | AheadOfEgo
"""When something begins. It fires once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeLane:
    """Moves over to the lane beside it without looking: a cut-in. Ignored where there is no such lane."""

    trigger: Trigger
    to: Literal["left", "right"]
    seconds: float = 3.0
    """How long the change takes."""

    def __post_init__(self) -> None:
        if not 0.5 <= self.seconds <= 10:
            raise ZoetropeError(f"change of lane: seconds: expected 0.5 to 10, found {self.seconds}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Brake:
    """Slows down, whatever is ahead, and then drives on no faster than `to_speed`."""

    trigger: Trigger
    deceleration: float = 6.0
    """Metres a second squared, positive."""
    to_speed: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.deceleration <= 10:
            raise ZoetropeError(f"brake: deceleration: expected above 0 to 10 m/s2, found {self.deceleration}")
        if self.to_speed < 0:
            raise ZoetropeError(f"brake: to_speed: expected 0 or more m/s, found {self.to_speed}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """Comes to rest gently and stays (2.5 m/s2)."""

    trigger: Trigger


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """Moves sideways within or out of its lane and stays there: swerving, pulling over, drifting."""

    trigger: Trigger
    lateral: float
    """Metres left of the lane's centre in the direction of the lane."""
    seconds: float = 2.0

    def __post_init__(self) -> None:
        if not 0.5 <= self.seconds <= 10:
            raise ZoetropeError(f"shift: seconds: expected 0.5 to 10, found {self.seconds}")


Manoeuvre = ChangeLane | Brake | Stop | Shift


@dataclass(frozen=True, kw_only=True, slots=True)
class Drive:
    """Follows a lane and its successors by the Intelligent Driver Model (Treiber et al. 2000, cond-mat/0002177)."""

    lane: int
    along: float
    """Where the body's middle starts: metres from the lane's beginning in the lane's direction, also when driving it the
    wrong way."""
    speed: float | None = None
    """Both what it starts with and what it wishes, metres a second; None: the lane's limit and its category's habit."""
    lateral: float = 0.0
    """Metres left of the lane's centre, in the lane's direction."""
    route: tuple[int, ...] = ()
    """The lanes to take next; after them, or without them, successors are drawn by the scene's seed."""
    aggressiveness: float = 0.5
    """0: long gaps and soft pedals, 1: tailgating; 0.5: an ordinary driver."""
    obeys_signals: bool = True
    wrong_way: bool = False
    """Drives the lane from its end to its beginning, and on through its predecessors."""
    manoeuvres: tuple[Manoeuvre, ...] = ()
    yields: bool = True
    """Whether it reacts to what is ahead of it at all."""

    def __post_init__(self) -> None:
        if self.along < 0:
            raise ZoetropeError(f"drive: along: expected 0 or more metres, found {self.along}")
        if self.speed is not None and not 0 <= self.speed <= 60:
            raise ZoetropeError(f"drive: speed: expected 0 to 60 m/s, found {self.speed}")
        if not 0 <= self.aggressiveness <= 1:
            raise ZoetropeError(f"drive: aggressiveness: expected 0 to 1, found {self.aggressiveness}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Walk:
    """Stands at the path's first point until fired, follows the path, stands at its last point."""

    path: tuple[tuple[float, float], ...]
    speed: float = 1.4
    trigger: Trigger = field(default_factory=AtTime)
    yields: bool = False
    """Whether it waits while a vehicle stands or drives in its way."""

    def __post_init__(self) -> None:
        if len(self.path) < 2:
            raise ZoetropeError(f"walk: path: expected two points or more, found {len(self.path)}")
        if not 0 < self.speed <= 15:
            raise ZoetropeError(f"walk: speed: expected above 0 to 15 m/s, found {self.speed}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stand:
    """Stays where it is: parked and stalled vehicles, cones, debris."""

    x: float
    y: float
    yaw: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Replay:
    """Moves as recorded, whatever happens. It stands at its last row when the record ends."""

    track: np.ndarray
    """float64 (T, 4): x, y, yaw, speed at each frame; NaN while it is not there."""

    def __post_init__(self) -> None:
        if self.track.ndim != 2 or self.track.shape[1] != 4 or not len(self.track):
            raise ZoetropeError(f"replay: track: expected (T, 4) with T of 1 or more, found {self.track.shape}")


Behaviour = Drive | Walk | Stand | Replay


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Entrant:
    """An actor with what it does."""

    actor: Actor
    behaviour: Behaviour

"""What a user writes to say what a scene should be like: YAML of these types.

Read by `scenario.library`, sampled by `scenario.sample`.

Places are given relative to the ego as it starts: `ahead` in metres along the lane from its middle (negative: behind),
`lane` seen from its own, `offset` in metres to the left as the ego looks. Every `Range` may be written as one number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from driving.rig import Rig
from driving.scenario.values import Range

LaneName = Literal["same", "left", "right", "opposite", "left_edge", "right_edge", "from_left", "from_right", "oncoming"]
"""A lane as the ego sees it. `left_edge`, `right_edge`: where the roadway ends on that side. The last three lead into the next
junction ahead and are measured with `meets` instead of `ahead`."""
JUNCTION_LANES = ("from_left", "from_right", "oncoming")
Turn = Literal["left", "straight", "right"]


def _fixed(value: float) -> Any:
    return field(default_factory=lambda: Range(low=value, high=value))


@dataclass(frozen=True, kw_only=True, slots=True)
class RoadSpec:
    """What is driven on."""

    kind: tuple[str, ...] = ("straight",)
    """One of these, as `driving.road.build` names them."""
    lanes: Range | None = None
    """In each direction; None, here and below: any."""
    lane_width: Range | None = None
    """Metres."""
    speed_limit: Range | None = None
    """Metres a second."""
    length: Range | None = None
    """Metres."""
    parking: bool | None = None
    """Whether there are parking strips."""
    seed: int | None = None
    """Always this very road; None: another for each scene."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EgoSpec:
    """How the ego starts and what it wants."""

    speed: Range | None = None
    """Metres a second it starts with and wishes; None: near its lane's limit."""
    lane: Literal["any", "left", "right", "middle"] = "any"
    turn: Turn | None = None
    """At junctions; None: any way."""
    to_junction: Range | None = None
    """Metres from its middle to the next junction's stop line; None: anywhere on the road."""
    light: Literal["green", "red"] | None = None
    """What its signal there shows by the time it would arrive; None: anything."""
    aggressiveness: Range = _fixed(0.5)
    trajectory: tuple[tuple[float, float, float], ...] = ()
    """(seconds, metres ahead, metres left) from where it starts, as it looks then; drives by its own wits if empty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class When:
    """When something begins: exactly one of these, each a trigger of `driving.traffic.behaviours`."""

    at_time: Range | None = None
    """Seconds."""
    ego_near: Range | None = None
    """Metres."""
    ego_soon: Range | None = None
    """Seconds."""
    ego_driven: Range | None = None
    """Metres."""
    ahead_of_ego: Range | None = None
    """Metres."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeLaneSpec:
    when: When
    to: Literal["left", "right"]
    seconds: Range = _fixed(3.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class BrakeSpec:
    when: When
    deceleration: Range = _fixed(6.0)
    to_speed: Range = _fixed(0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class StopSpec:
    when: When


@dataclass(frozen=True, kw_only=True, slots=True)
class ShiftSpec:
    when: When
    lateral: Range
    seconds: Range = _fixed(2.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ManoeuvreSpec:
    """Exactly one of these, each a manoeuvre of `driving.traffic.behaviours`."""

    change_lane: ChangeLaneSpec | None = None
    brake: BrakeSpec | None = None
    stop: StopSpec | None = None
    shift: ShiftSpec | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DriveSpec:
    """Follows its lane among the traffic."""

    speed: Range | None = None
    """Metres a second."""
    pace: Range | None = None
    """The same as a multiple of the ego's speed; neither: as its lane and category have it."""
    turn: Turn | None = None
    aggressiveness: Range = _fixed(0.5)
    obeys_signals: bool = True
    wrong_way: bool = False
    yields: bool = True
    manoeuvres: tuple[ManoeuvreSpec, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PointSpec:
    """A point that a walker passes."""

    lane: LaneName = "same"
    offset: Range = _fixed(0.0)
    ahead: Range = _fixed(0.0)
    """Metres further along the road than where the walker started."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WalkSpec:
    """Goes (runs, rolls, trots) along points once something happens."""

    to: tuple[PointSpec, ...]
    speed: Range = _fixed(1.4)
    when: When = field(default_factory=lambda: When(at_time=Range(low=0.0, high=0.0)))
    yields: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StandSpec:
    """Stays where it is."""

    turned: Range = _fixed(0.0)
    """Degrees counter-clockwise from along the lane."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplaySpec:
    """Moves along given points whatever happens."""

    points: tuple[tuple[float, float, float], ...]
    """(seconds, metres ahead, metres left) from where the ego starts, as it looks then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ActorSpec:
    """One actor, or several alike, with exactly one of `drive`, `walk`, `stand`, `replay`."""

    category: tuple[str, ...]
    """One of these."""
    size: tuple[Range, Range, Range] | None = None
    """Width, length, height in metres; None: its category's, give or take."""
    colour: tuple[int, int, int] | None = None
    """RGB or a colour's name; None: any."""
    parked: bool = False
    count: Range = _fixed(1)
    spacing: Range = _fixed(1.0)
    """Metres along the road from each to the next of several."""
    side_step: Range = _fixed(0.0)
    """Metres to the left from each to the next of several."""
    lane: LaneName = "same"
    ahead: Range = _fixed(0.0)
    meets: Range | None = None
    """In a lane into the junction: seconds after the ego at which it would cross the junction's middle."""
    offset: Range = _fixed(0.0)
    drive: DriveSpec | None = None
    walk: WalkSpec | None = None
    stand: StandSpec | None = None
    replay: ReplaySpec | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficSpec:
    """Who else is about (`driving.traffic.background`)."""

    vehicles: Range = _fixed(1.0)
    """Per 100 m of lane."""
    parked: Range = _fixed(0.5)
    """Share of the parking bays taken."""
    pedestrians: Range = _fixed(8)
    cyclists: Range = _fixed(2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """A whole scenario."""

    text: str
    """What happens, in one line."""
    event: str | None = None
    """What must really happen (`driving.scenario.events`); 'nothing': no rare event may; None: whatever comes."""
    collision: bool = False
    """Whether the ego may be hit."""
    road: RoadSpec = field(default_factory=RoadSpec)
    ego: EgoSpec = field(default_factory=EgoSpec)
    actors: tuple[ActorSpec, ...] = ()
    traffic: TrafficSpec = field(default_factory=TrafficSpec)
    weather: tuple[str, ...] = ("clear", "cloudy")
    """One of these, as `driving.scenario.ambience` names them."""
    time: tuple[str, ...] = ("day",)
    rig: Rig | None = None
    """None: the rig of nuScenes."""
    name: str = ""
    """Its file's name."""

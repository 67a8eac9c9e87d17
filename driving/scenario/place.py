"""From what a scenario says to where things really are: the ego's way over the road, and actors beside and ahead of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from shapely.geometry import LineString, Point

from core.errors import ZoetropeError
from driving.road.build import build
from driving.road.lines import direction, headings, lengths
from driving.road.network import Lane, Road
from driving.road.query import LanePath, nearest_lane, path_from, project
from driving.scenario.description import JUNCTION_LANES, Description, LaneName, RoadSpec, Turn
from driving.scenario.values import Range
from driving.scene import EGO_CENTRE, RATE, Scene

CRUISE = Range(low=0.65, high=0.95)
"""The ego's speed as a share of its lane's limit where the scenario leaves it open."""
BEHIND = 45.0
"""Metres of road behind the ego."""
LOOKAHEAD = 130.0
"""Metres of road beyond what the ego can drive in a scene."""
SLIGHT_TURN = math.radians(35)
"""What turns less goes straight on."""
ROADSIDE = 45.0
"""Metres to either side within which a roadway must end."""
JUNCTION_SIZE = 45.0
"""Metres within which lanes belong to the same junction."""


class CannotBeError(ZoetropeError):
    """This draw cannot happen; another may."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A road and the ego's way over it."""

    road: Road
    path: LanePath
    s: float
    """Where the ego's middle starts, metres along the path."""
    speed: float
    """Metres a second at the start."""

    @property
    def pose(self) -> tuple[float, float, float]:
        """x, y, yaw of the ego's middle at the start."""
        return self.path.position(self.s)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spot:
    """A place on or beside the road."""

    x: float
    y: float
    yaw: float
    """Of the lane there; of the ego's lane at a roadway's edge."""
    lane: int | None = None
    """None at a roadway's edge."""
    along: float = 0.0
    """Metres from the lane's beginning."""
    lateral: float = 0.0
    """Metres left of its centre in its own direction."""


def lay(description: Description, frames: int, rng: np.random.Generator) -> Setting:
    """Build the road and choose where the ego starts. Raises CannotBeError where there is no such place."""
    spec, seconds = description.ego, frames / RATE
    road = _road(description.road, seconds, rng)
    lane = _own_lane(road, spec.lane, rng)
    share, wanted = CRUISE.draw(rng), spec.speed.draw(rng) if spec.speed else None
    speed = share * road.lanes[lane].speed_limit if wanted is None else wanted
    route = routed(road, lane, spec.turn, BEHIND + 2000)
    path = path_from(road, lane, route, BEHIND + 2000)
    fastest = max(speed, road.lanes[lane].speed_limit if wanted is None else 0.0)
    slack = path.length - BEHIND - fastest * seconds - LOOKAHEAD
    place, before = float(rng.random()), spec.to_junction.draw(rng) if spec.to_junction else None
    if before is not None:
        s = path.end_of(0) - before
        if s < BEHIND or len(path.lanes) < 2:
            raise CannotBeError(f"ego: to_junction: no junction {before:.0f} m ahead on road {road.name}")
        signal = road.signals.get(-1 if (number := road.lanes[lane].signal) is None else number)
        shown = signal.colour(before / max(speed, 0.1)) if signal else None
        if spec.light not in (None, shown):
            raise CannotBeError(f"ego: light: its signal is {shown or 'missing'} when it arrives on road {road.name}")
    else:
        s = BEHIND + place * max(slack, 0.0)
    return Setting(road=road, path=path, s=s, speed=speed)


def routed(road: Road, lane: int, turn: Turn | None, metres: float) -> tuple[int, ...]:
    """The lanes after `lane` when turning that way wherever there is a choice; where there is none such, first successors."""
    out, total = [lane], 0.0
    while total < metres:
        total += float(lengths(road.lanes[out[-1]].centre)[-1])
        after = road.lanes[out[-1]].successors
        if not after:
            break
        out.append(next((i for i in after if turn is not None and _turn(road.lanes[i]) == turn), after[0]))
    return tuple(out[1:])


NEARBY = 2000.0
"""Metres of lanes ahead that are looked at for the way a drive takes."""


def driven_path(scene: Scene) -> LanePath:
    """The way along lanes, from the one before its first, that is nearest to what the ego of a scene drives."""
    x, y, yaw = map(float, scene.ego[0, :3])
    lane, _, _ = nearest_lane(scene.road, x, y, yaw)
    before = scene.road.predecessors[lane][:1]
    turns: tuple[Turn | None, ...] = (None, "left", "right")
    onward = [(*before, lane, *routed(scene.road, lane, turn, BEHIND + NEARBY)) for turn in turns]
    paths = [path_from(scene.road, first, rest, 0.0) for first, *rest in onward]
    return min(paths, key=lambda path: sum(abs(path.project(*map(float, row[:2]))[1]) for row in scene.ego[:: RATE // 2]))


def locate(setting: Setting, lane: LaneName, s: float, offset: float) -> Spot:
    """The spot at `s` metres along the ego's path, in that lane, `offset` metres to the left as the ego looks."""
    road, path = setting.road, setting.path
    if not 0 <= s <= path.length:
        raise CannotBeError(f"ahead: {s - setting.s:.0f} m ahead is off the map of road {road.name}")
    x, y, yaw = path.position(s)
    if lane in ("left_edge", "right_edge"):
        side = 1.0 if lane == "left_edge" else -1.0
        left = side * _to_edge(road, x, y, yaw + side * math.pi / 2) + offset
        return Spot(x=x - left * math.sin(yaw), y=y + left * math.cos(yaw), yaw=yaw)
    own = path.lane_at(s)
    known: dict[str, int | None] = {
        "same": own,
        "left": road.lanes[own].left,
        "right": road.lanes[own].right,
        "opposite": road.lanes[own].opposite,
    }
    target = known[lane]
    if target is None:
        raise CannotBeError(f"lane: no lane '{lane}' beside the ego's {s - setting.s:.0f} m ahead on road {road.name}")
    centre = road.lanes[target].centre
    along, _ = project(centre, lengths(centre), np.array([[x, y]]))
    lateral = -offset if lane == "opposite" else offset
    return on_lane(road, target, float(along[0]), lateral)


def on_lane(road: Road, lane: int, along: float, lateral: float) -> Spot:
    """The spot at that distance from a lane's beginning."""
    total = float(lengths(road.lanes[lane].centre)[-1])
    if not 0 <= along <= total:
        raise CannotBeError(f"lane: {along:.0f} m along lane {lane} of {total:.0f} m is off the map of road {road.name}")
    x, y, yaw = path_from(road, lane, (), 0.0).position(along, lateral)
    return Spot(x=x, y=y, yaw=yaw, lane=lane, along=along, lateral=lateral)


def meeting(
    setting: Setting, lane: LaneName, turn: Turn | None, speed: float, late: float, lateral: float, rng: np.random.Generator
) -> tuple[Spot, tuple[int, ...]]:
    """Where to start in a lane into the ego's next junction to cross the ego's way `late` seconds after it; with the route."""
    road, path = setting.road, setting.path
    crossing = next((i for i in path.lanes if road.lanes[i].junction and path.starts[path.lanes.index(i)] > setting.s), None)
    if crossing is None:
        raise CannotBeError(f"lane: '{lane}' needs a junction ahead of the ego; road {road.name} has none")
    inside, begin = road.lanes[crossing], path.starts[path.lanes.index(crossing)]
    ways = [(i, j) for i in _entries(road, inside, lane) for j in road.lanes[i].successors]
    ways = [(i, j) for i, j in ways if turn is None or _turn(road.lanes[j]) == turn]
    ways = [(i, j) for i, j in ways if LineString(road.lanes[j].centre).intersects(LineString(inside.centre))]
    if not ways:
        raise CannotBeError(f"lane: nobody comes '{lane}' across the ego's way at the junction of road {road.name}")
    entry, through = ways[int(rng.integers(len(ways)))]
    meet = LineString(road.lanes[through].centre).intersection(LineString(inside.centre))
    point = meet if isinstance(meet, Point) else meet.centroid
    ego_seconds = (begin + LineString(inside.centre).project(point) - setting.s) / max(setting.speed, 0.1)
    approach = float(lengths(road.lanes[entry].centre)[-1]) + LineString(road.lanes[through].centre).project(point)
    spot = on_lane(road, entry, approach - speed * (ego_seconds + late), lateral)
    return spot, (through, *routed(road, through, None, 300.0))


def track_through(points: Sequence[tuple[float, float, float]], start: tuple[float, float, float], frames: int) -> np.ndarray:
    """float64 (frames, 4): x, y, yaw, speed along (seconds, ahead, left) points seen from the pose `start`.

    A cubic Hermite curve with finite-difference tangents; still before the first point and after the last.
    """
    knots = np.array(points, float)
    x, y, yaw = start
    turn = np.array([[math.cos(yaw), math.sin(yaw)], [-math.sin(yaw), math.cos(yaw)]])
    time, places = knots[:, 0], knots[:, 1:] @ turn + (x, y)
    velocity = np.gradient(places, time, axis=0)
    at = np.clip(np.arange(frames) / RATE, time[0], time[-1])
    i = np.clip(np.searchsorted(time, at, side="right") - 1, 0, len(time) - 2)
    span = (time[i + 1] - time[i])[:, None]
    u = (at - time[i])[:, None] / span
    p, q, v, w = places[i], places[i + 1], velocity[i] * span, velocity[i + 1] * span
    xy = (2 * u**3 - 3 * u**2 + 1) * p + (u**3 - 2 * u**2 + u) * v + (3 * u**2 - 2 * u**3) * q + (u**3 - u**2) * w
    ds = (6 * u**2 - 6 * u) * p + (3 * u**2 - 4 * u + 1) * v + (6 * u - 6 * u**2) * q + (3 * u**2 - 2 * u) * w
    motion = ds / span
    moving = (np.arange(frames) / RATE >= time[0]) & (np.arange(frames) / RATE < time[-1])
    speed = np.hypot(*motion.T) * moving
    heading = np.where(np.hypot(*motion.T) > 0.05, np.arctan2(motion[:, 1], motion[:, 0]), np.nan)
    return np.column_stack([xy, _held(heading, yaw), speed])


def rear_axle(x: float, y: float, yaw: float) -> tuple[float, float]:
    """The ego's position as scenes have it, from its middle."""
    back = direction(yaw) * EGO_CENTRE
    return x - float(back[0]), y - float(back[1])


def _held(heading: np.ndarray, first: float) -> np.ndarray:
    """The last known value wherever one is NaN."""
    known = np.concatenate([[first], heading])
    index = np.maximum.accumulate(np.where(np.isfinite(known), np.arange(len(known)), 0))
    return known[index][1:]


def _road(spec: RoadSpec, seconds: float, rng: np.random.Generator) -> Road:
    kind = spec.kind[int(rng.integers(len(spec.kind)))]
    number = int(rng.integers(2**31))
    drawn = {k: r.draw(rng) for k in ("lane_width", "speed_limit", "length") if (r := getattr(spec, k)) is not None}
    lanes = spec.lanes.draw_int(rng) if spec.lanes else None
    return build(kind, spec.seed if spec.seed is not None else number, lanes=lanes, parking=spec.parking, **drawn)


def _own_lane(road: Road, which: str, rng: np.random.Generator) -> int:
    lanes = [0]
    while (right := road.lanes[lanes[-1]].right) is not None:
        lanes.append(right)
    any_lane = int(rng.integers(len(lanes)))
    return lanes[{"left": 0, "right": len(lanes) - 1, "middle": len(lanes) // 2, "any": any_lane}[which]]


def _turn(lane: Lane) -> Turn:
    yaws = headings(lane.centre)
    turned = float(yaws[-1] - yaws[0])
    return "straight" if abs(turned) < SLIGHT_TURN else "left" if turned > 0 else "right"


def _entries(road: Road, inside: Lane, lane: LaneName) -> list[int]:
    """The lanes by which others enter the junction that `inside` crosses."""
    assert lane in JUNCTION_LANES
    middle = inside.centre[len(inside.centre) // 2]
    ego = float(headings(inside.centre)[0])
    wanted = {"from_left": -math.pi / 2, "from_right": math.pi / 2, "oncoming": math.pi}[lane]
    found = []
    for other in road.lanes.values():
        if other.junction or not any(road.lanes[i].junction for i in other.successors):
            continue
        turned = math.remainder(float(headings(other.centre)[-1]) - ego - wanted, math.tau)
        if np.hypot(*(other.centre[-1] - middle)) < JUNCTION_SIZE and abs(turned) < SLIGHT_TURN:
            found.append(other.id)
    return found


def _to_edge(road: Road, x: float, y: float, yaw: float) -> float:
    """Metres from a point to where the roadway first ends in a direction."""
    ray = LineString([(x, y), (x + ROADSIDE * math.cos(yaw), y + ROADSIDE * math.sin(yaw))])
    inside = road.drivable.intersection(ray)
    parts = [p for p in getattr(inside, "geoms", [inside]) if p.distance(Point(x, y)) < 0.01]
    reach = parts[0].length if parts else 0.0
    if not 0 < reach < ROADSIDE - 1:
        raise CannotBeError(f"lane: the roadway of road {road.name} has no edge at that side")
    return reach

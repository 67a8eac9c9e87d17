"""What makes a scene rare, and whether it really happens in its trajectories.

Each event is a predicate over the finished scene, blind to how the scene was made; it says at which frame and by whom.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from driving.scenario.view import View
from driving.scene import RATE, Event, Scene

NOTHING = "nothing"
"""The wish that none of the events happens, save those of `COMMON`."""
COMMON = ("cyclist",)
"""Worth marking, but part of ordinary traffic."""
HALF_LANE = 1.75
"""An actor whose middle is this near to the ego's line is in its way, metres."""
CLOSE = 25.0
"""Metres ahead within which the ego must act."""
SEEN = 45.0
"""Metres ahead within which the ego should notice."""
HARD_BRAKING = 5.0
"""Metres a second squared, held for half a second."""
GROUP = 4
"""People on the road at once."""
VEHICLES = ("car", "van", "truck", "bus", "ambulance", "police", "motorcycle", "bicycle")
PEOPLE = ("pedestrian", "child")

Hit = tuple[int, int | None]
"""Frame and actor."""


def check(scene: Scene) -> tuple[Event, ...]:
    """All rare events that happen in a scene, each once, in order of time."""
    view = View(scene=scene)
    found = [(name, hit) for name, happens in EVENTS.items() if (hit := happens(view)) is not None]
    return tuple(Event(name=name, frame=f, actor=a) for name, (f, a) in sorted(found, key=lambda item: item[1][0]))


def _first(where: np.ndarray) -> Hit | None:
    """The earliest true entry of bool (N, T)."""
    if not where.any():
        return None
    frame = int(np.argmax(where.any(0)))
    return frame, int(np.argmax(where[:, frame]))


def _is(view: View, *categories: str) -> np.ndarray:
    """bool (N, 1)."""
    return np.isin(view.category, categories)[:, None]


def _ahead(view: View, metres: float) -> np.ndarray:
    return (view.ahead > 0) & (view.ahead <= metres)


def _in_way(view: View, metres: float, beside: float = HALF_LANE) -> np.ndarray:
    return _ahead(view, metres) & (np.abs(view.left) <= beside)


def _earlier(where: np.ndarray, seconds: float) -> np.ndarray:
    """bool (N, T): whether it held at some time within the seconds before."""
    total = np.cumsum(np.pad(where, ((0, 0), (1, 0))), axis=1)
    begin = np.maximum(np.arange(where.shape[1]) - round(seconds * RATE), 0)
    return total[:, :-1] - total[:, begin] > 0


def _cut_in(view: View) -> Hit | None:
    same_way = (np.abs(view.turned) < math.pi / 4) & (view.tracks[..., 3] > 1)
    beside = np.abs(view.left) > HALF_LANE + 0.5
    return _first(_is(view, *VEHICLES) & _in_way(view, CLOSE) & same_way & _earlier(beside & same_way, 4.0))


def _hard_brake(view: View) -> Hit | None:
    half = RATE // 2
    speed = view.tracks[..., 3]
    drop = np.zeros_like(speed)
    drop[:, :-half] = (speed[:, :-half] - speed[:, half:]) * RATE / half
    lead = _is(view, *VEHICLES) & _in_way(view, CLOSE) & (np.abs(view.turned) < math.pi / 4)
    return _first(lead & (drop > HARD_BRAKING))


def _jaywalk(view: View) -> Hit | None:
    return _first(
        _is(view, *PEOPLE) & view.on_road & ~view.on_crossing & _in_way(view, SEEN, 2.5) & (view.tracks[..., 3] > 0.3)
    )


def _cyclist(view: View) -> Hit | None:
    return _first(_is(view, "bicycle") & view.on_road & _in_way(view, CLOSE, 2.5) & (view.tracks[..., 3] > 0.5))


def _wrong_way(view: View) -> Hit | None:
    """Against its lane, in nobody's lane the right way."""
    right = np.zeros(view.ahead.shape, bool)
    wrong = np.zeros_like(right)
    x, y, yaw, speed = np.moveaxis(view.tracks, -1, 0)
    i, t = np.nonzero(_is(view, *VEHICLES) & _ahead(view, 2 * SEEN) & (speed > 1))
    for lane in view.scene.road.lanes.values() if len(i) else ():
        gap = np.hypot(x[i, t, None] - lane.centre[:, 0], y[i, t, None] - lane.centre[:, 1])
        nearest = gap.argmin(1)
        along = np.gradient(lane.centre, axis=0)[nearest]
        agree = np.cos(yaw[i, t] - np.arctan2(along[:, 1], along[:, 0]))
        inside = gap[np.arange(len(i)), nearest] < lane.width / 2
        right[i, t] |= inside & (agree > -0.3)
        wrong[i, t] |= inside & (agree < -0.8) & (not lane.junction)
    return _first(wrong & ~right)


def _stalled(view: View) -> Hit | None:
    speed = view.tracks[..., 3]
    still = (np.nan_to_num(np.abs(speed)) < 0.1).all(1, keepdims=True)
    driven = np.array([not actor.parked for actor in view.scene.actors], bool).reshape(-1, 1)
    return _first(_is(view, *VEHICLES) & still & driven & _in_way(view, SEEN))


def _debris(view: View) -> Hit | None:
    return _first(_is(view, "debris") & view.on_road & _in_way(view, SEEN))


def _emergency(view: View) -> Hit | None:
    near = (np.abs(view.ahead) < CLOSE) & (np.abs(view.left) < 3 * HALF_LANE)
    return _first(_is(view, "ambulance", "police") & near & (view.tracks[..., 3] > 3))


def _child_with_ball(view: View) -> Hit | None:
    rolls = _is(view, "ball") & view.on_road & _in_way(view, SEEN, 2 * HALF_LANE)
    before = np.cumsum(rolls.any(0)) > 0
    return _first(_is(view, "child") & view.on_road & _in_way(view, SEEN, 2 * HALF_LANE) & (view.tracks[..., 3] > 0.5) & before)


def _animal(view: View) -> Hit | None:
    return _first(_is(view, "animal") & view.on_road & _in_way(view, SEEN, 2.5))


def _closed_lane(view: View) -> Hit | None:
    marks = _is(view, "cone", "barrier") & view.on_road & _in_way(view, SEEN, 2.5)
    return _first(marks & (marks.sum(0) >= 3))


def _red_light(view: View) -> Hit | None:
    road, times = view.scene.road, np.arange(len(view.scene)) / RATE
    hit = np.zeros(view.ahead.shape, bool)
    x, y, yaw, speed = np.moveaxis(view.tracks, -1, 0)
    for lane in road.lanes.values():
        if lane.signal is None:
            continue
        red = np.array([road.signals[lane.signal].colour(time) == "red" for time in times])
        ux, uy = lane.centre[-1] - lane.centre[-2]
        heading = math.atan2(uy, ux)
        ux, uy = math.cos(heading), math.sin(heading)
        dx, dy = x - lane.centre[-1, 0], y - lane.centre[-1, 1]
        past, beside = dx * ux + dy * uy, np.abs(dy * ux - dx * uy)
        crosses = np.zeros_like(hit)
        crosses[:, 1:] = (past[:, :-1] < 0) & (past[:, 1:] >= 0)
        hit |= crosses & (beside < lane.width / 2) & (np.cos(yaw - heading) > 0.7) & (speed > 2) & red
    return _first(hit & _is(view, *VEHICLES))


def _group(view: View) -> Hit | None:
    people = _is(view, *PEOPLE) & view.on_road & _in_way(view, SEEN, 4 * HALF_LANE)
    return _first(people & (people.sum(0) >= GROUP))


def _overtaking(view: View) -> Hit | None:
    beside = _is(view, "motorcycle") & (np.abs(view.left) < 3 * HALF_LANE) & (np.abs(view.turned) < math.pi / 4)
    return _first(beside & _ahead(view, CLOSE) & (view.ahead > 2) & _earlier(beside & (view.ahead < -2), 6.0))


def _oncoming_turn(view: View) -> Hit | None:
    oncoming = (np.abs(view.turned) > math.radians(135)) & (view.left > 0)
    across = _in_way(view, CLOSE) & (np.abs(view.turned) < math.radians(135)) & (np.abs(view.turned) > math.radians(25))
    both_move = (view.tracks[..., 3] > 0.5) & (view.scene.ego[:, 3] > 1)
    return _first(_is(view, *VEHICLES) & across & _earlier(oncoming, 8.0) & both_move)


def _sky(seen: Callable[[View], bool]) -> Callable[[View], Hit | None]:
    return lambda view: (0, None) if seen(view) else None


def _glare(view: View) -> Hit | None:
    """The sun stands low ahead in a clear sky."""
    sky, yaw = view.scene.ambience, view.scene.ego[:, 2]
    if not (0 < sky.sun_elevation < 15 and sky.cloud < 0.5 and max(sky.fog, sky.rain, sky.snow) < 0.3):
        return None
    facing = np.cos(math.radians(sky.sun_azimuth) - yaw) > math.cos(math.radians(30))
    return (int(np.argmax(facing)), None) if facing.any() else None


EVENTS: dict[str, Callable[[View], Hit | None]] = {
    "cut_in": _cut_in,
    "hard_brake": _hard_brake,
    "jaywalk": _jaywalk,
    "cyclist": _cyclist,
    "wrong_way": _wrong_way,
    "stalled": _stalled,
    "debris": _debris,
    "emergency": _emergency,
    "child_with_ball": _child_with_ball,
    "animal": _animal,
    "closed_lane": _closed_lane,
    "red_light": _red_light,
    "group_crossing": _group,
    "overtaking": _overtaking,
    "oncoming_turn": _oncoming_turn,
    "sun_glare": _glare,
    "dense_fog": _sky(lambda view: view.scene.ambience.fog >= 0.65),
    "heavy_rain": _sky(lambda view: view.scene.ambience.rain >= 0.7),
    "snow_at_night": _sky(lambda view: view.scene.ambience.snow >= 0.3 and view.scene.ambience.night),
}
"""Every event by its name."""

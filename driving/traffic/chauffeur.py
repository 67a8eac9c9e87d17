"""An ego that drives like everybody else, and the recording of what happens around it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from driving.road.network import Road
from driving.road.query import LanePath, nearest_lane
from driving.scene import EGO_CENTRE, EGO_SIZE, RATE, Actor, Moment, State
from driving.traffic.behaviours import Entrant
from driving.traffic.idm import Style, acceleration, halt
from driving.traffic.rules import WILLING, attention, next_junction, stop_line
from driving.traffic.sight import EGO, WALKERS, Bodies, Follower, ahead
from driving.traffic.simulation import Simulation

EgoDriver = Callable[[Moment, Road], State]
"""Where the ego is a frame later, given this moment."""
CENTRING = 0.06
"""Share of its offset from the path that it loses a metre."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chauffeur:
    """Follows a path by the Intelligent Driver Model: brakes for whatever is in the way, for signals, before bends, and
    for those already crossing a junction."""

    path: LanePath
    speed: float | None = None
    """What it wishes, m/s; None: the limit."""
    style: Style = field(default_factory=Style)

    def __call__(self, moment: Moment, road: Road) -> State:
        ego, path, dt = moment.ego, self.path, 1.0 / RATE
        s, d = path.project(ego.x, ego.y)
        half = EGO_SIZE[1] / 2
        middle = s + EGO_CENTRE
        front = middle + half
        me = Follower(
            owner=EGO, path=path, s=middle, lateral=(d, 0.0), half_width=EGO_SIZE[0] / 2, half_length=half, speed=ego.speed
        )
        wish = min(self.speed or road.lanes[path.lane_at(s)].speed_limit, path.bend_speed(s))
        gap, other = ahead(Bodies.of(moment), me)
        push = acceleration(self.style, ego.speed, wish, gap, other)
        line = min(stop_line(road, path, front, ego.speed, moment.time), self._occupied(moment, road, front))
        if not math.isinf(line):
            push = min(push, halt(self.style, ego.speed, wish, line))
        speed = max(ego.speed + push * dt, 0.0)
        covered = 0.5 * (ego.speed + speed) * dt
        aside = d * math.exp(-CENTRING * covered)
        x, y, yaw = path.position(s + covered, aside)
        lean = math.atan2(aside - d, covered) if covered > 1e-3 else math.remainder(ego.yaw - yaw, math.tau)
        return State(x, y, math.remainder(yaw + lean, math.tau), speed)

    def _occupied(self, moment: Moment, road: Road, front: float) -> float:
        """Metres to a junction that somebody on a crossing lane is going through; infinite where nobody is, or where it is
        too late to stop well."""
        entry = next_junction(road, self.path, front)
        if entry is None or entry[1] > attention(moment.ego.speed):
            return math.inf
        lane, gap, _ = entry
        if moment.ego.speed**2 / (2 * max(gap, 0.1)) > WILLING:
            return math.inf
        for actor, state in moment.actors:
            if actor.category in WALKERS or math.hypot(state.x - moment.ego.x, state.y - moment.ego.y) > gap + 60:
                continue
            if nearest_lane(road, state.x, state.y, state.yaw)[0] in road.conflicts[lane]:
                return gap
        return math.inf


def roll(
    road: Road, entrants: Sequence[Entrant], start: State, driver: EgoDriver, frames: int, seed: int
) -> tuple[np.ndarray, tuple[Actor, ...], np.ndarray]:
    """Records `frames` moments from `start`.

    Returns the ego's x, y, yaw and speed, float64 (T, 4); the actors in the order of their numbers; and their tracks,
    float64 (N, T, 4), NaN while they are not there.
    """
    simulation = Simulation(road, entrants, start, seed)
    actors = tuple(sorted((entrant.actor for entrant in entrants), key=lambda actor: actor.id))
    row = {actor.id: k for k, actor in enumerate(actors)}
    ego = np.zeros((frames, 4))
    tracks = np.full((len(actors), frames, 4), np.nan)
    for t in range(frames):
        moment = simulation.moment if t == 0 else simulation.step(driver(simulation.moment, road))
        ego[t] = moment.ego.x, moment.ego.y, moment.ego.yaw, moment.ego.speed
        for actor, state in moment.actors:
            tracks[row[actor.id], t] = state.x, state.y, state.yaw, state.speed
    return ego, actors, tracks

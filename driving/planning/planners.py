"""Planners from good to bad: those that know the truth, those that look at pictures, and those that look at nothing.

The last and the middle ones are there so that scores have something to tell apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.errors import ZoetropeError
from driving.geometry import actor_boxes, to_body
from driving.planning.idm import FRAMES, FRONT, Leader, Temper, ahead, roll_out
from driving.planning.lines import place, project
from driving.planning.perception import Perception, by_depth
from driving.planning.planner import Factory, Observation, Planner, load
from driving.scene import RATE, Moment, State
from driving.traffic.idm import Style

HARD = 4.0
"""Whoever would have to brake harder than this for a yellow light drives on, m/s^2."""
SWEEP = 0.5
"""Seconds between the looks into the future of actors."""
JUMP = 15.0
"""An obstacle seen twice did not move faster than this along the route, m/s, or it is another one."""
AWARE = 70.0
"""Who is farther away is not thought of, metres."""
WEAVING = 3.0
"""Seconds from side to side and back."""
FRESH = 0.5
"""Weight of the newest measurement of an obstacle's speed."""

TIMID = Temper(style=Style.of(0.0), pace=0.75, margin=0.8)
AGGRESSIVE = Temper(style=Style.of(1.0), pace=1.25, margin=0.0)


class ConstantSpeed:
    """Goes straight on, as fast as now."""

    privileged = False

    def plan(self, observation: Observation) -> np.ndarray:
        gone = observation.ego.speed * np.arange(1, FRAMES + 1) / RATE
        return np.stack([gone, np.zeros(FRAMES), np.zeros(FRAMES)], -1)


class Stop:
    """Brakes and stays."""

    privileged = False

    def plan(self, observation: Observation) -> np.ndarray:
        return roll_out(Temper(pace=0.0), observation.route, observation.ego.speed, observation.limit, [])


@dataclass
class Follow:
    """Follows the route at a share of the limit, blind to all that is on it; `weave` metres from side to side."""

    pace: float = 1.0
    weave: float = 0.0
    privileged = False

    def plan(self, observation: Observation) -> np.ndarray:
        return self.steer(observation.route, observation.ego.speed, observation.limit, observation.time)

    def steer(self, route: np.ndarray, speed: float, limit: float, time: float) -> np.ndarray:
        """The plan (N, 3) along the route (M, 2) in the ego's axes."""
        path = roll_out(Temper(pace=self.pace), route, speed, limit, [])
        if not self.weave:
            return path
        gone, _ = project(route, path[:, :2])
        at = time + np.arange(1, FRAMES + 1) / RATE
        return place(route, gone, self.weave * np.sin(2 * np.pi * at / WEAVING))


@dataclass
class Rules:
    """The Intelligent Driver Model on the truth: brakes for who is in its way, or will be within `foresight` seconds."""

    temper: Temper = Temper()
    foresight: float = 2.0
    privileged = True

    def plan(self, observation: Observation) -> np.ndarray:
        if observation.moment is None:
            raise ZoetropeError("planner 'idm': needs the truth about the actors, and was given none")
        return self.steer(observation.route, observation.ego, observation.moment, observation.limit, observation.stop)

    def steer(self, route: np.ndarray, ego: State, moment: Moment, limit: float, stop: float | None) -> np.ndarray:
        """The plan (N, 3) from the truth alone, without pictures; `route` is in the ego's axes."""
        boxes = actor_boxes(moment)
        boxes[:, :3] = to_body(boxes[:, :3], ego)
        near = np.hypot(boxes[:, 0], boxes[:, 1]) < AWARE
        speed = np.array([s.speed for _, s in moment.actors])[near]
        boxes = boxes[near]
        pace = speed[:, None] * np.stack([np.cos(boxes[:, 2]), np.sin(boxes[:, 2])], -1)
        times = np.arange(0.0, self.foresight + SWEEP / 2, SWEEP)
        moved = np.tile(boxes, (len(times), 1))
        pace = np.tile(pace, (len(times), 1))
        moved[:, :2] += np.repeat(times, len(boxes))[:, None] * pace
        along, _ = project(route, moved[:, :2])
        heading = place(route, along)[:, 2]
        toward = pace[:, 0] * np.cos(heading) + pace[:, 1] * np.sin(heading)
        leaders = ahead(route, moved, toward, self.temper.margin) + lights(stop, ego.speed)
        return roll_out(self.temper, route, ego.speed, limit, leaders)


@dataclass
class Sight:
    """Brakes for what it sees: the Intelligent Driver Model on obstacles that `perceive` reads from the pictures.

    It measures their speeds by looking again; what it sees for the first time it takes to stand still.
    """

    perceive: Perception = by_depth
    temper: Temper = Temper()
    sight: float = 45.0
    """How far it looks, metres."""
    surety: float = 0.2
    """Obstacles less sure than this are ignored."""
    privileged = False

    def __post_init__(self) -> None:
        self._known: list[Leader] = []
        self._time, self._speed = 0.0, 0.0

    def plan(self, observation: Observation) -> np.ndarray:
        seen = [o for o in self.perceive(observation.images, observation.rig) if o.score >= self.surety]
        boxes = np.array([o.box for o in seen], float).reshape(-1, 5)
        found = ahead(observation.route, boxes, np.zeros(len(boxes)), self.temper.margin)
        leaders = self._tracked([leader for leader in found if leader.gap <= self.sight], observation)
        speed = observation.ego.speed
        return roll_out(self.temper, observation.route, speed, observation.limit, leaders + lights(observation.stop, speed))

    def _tracked(self, found: list[Leader], observation: Observation) -> list[Leader]:
        elapsed = observation.time - self._time
        driven = (observation.ego.speed + self._speed) / 2 * elapsed
        out: list[Leader] = []
        for leader in found:
            speed = 0.0
            if self._known and elapsed > 0:
                old = min(self._known, key=lambda k: abs(leader.gap + driven - k.gap - k.speed * elapsed))
                moved = (leader.gap + driven - old.gap) / elapsed
                if abs(moved) <= JUMP:
                    speed = FRESH * moved + (1 - FRESH) * old.speed
            out.append(Leader(leader.gap, speed))
        self._known, self._time, self._speed = out, observation.time, observation.ego.speed
        return out


def lights(stop: float | None, speed: float) -> list[Leader]:
    """The stop line to wait at, if there is one and it can still be done."""
    if stop is None:
        return []
    gap = stop - FRONT
    if gap < 0 or speed**2 > 2 * HARD * max(gap, 0.1):
        return []
    return [Leader(gap, 0.0)]


def imitation() -> Planner:
    """The network that learned from pictures to drive like the rules; needs its weights."""
    from driving.planning.imitation import Imitation

    return Imitation.shipped()


PLANNERS: dict[str, Factory] = {
    "idm": Rules,
    "idm_timid": lambda: Rules(temper=TIMID, foresight=3.0),
    "idm_aggressive": lambda: Rules(temper=AGGRESSIVE, foresight=0.0),
    "sight": Sight,
    "sight_cautious": lambda: Sight(temper=TIMID),
    "sight_aggressive": lambda: Sight(temper=AGGRESSIVE),
    "sight_late": lambda: Sight(sight=10.0),
    "sight_unsure": lambda: Sight(surety=1.0, sight=20.0),
    "imitation": imitation,
    "lane_follow": Follow,
    "weaving": lambda: Follow(pace=0.8, weave=1.5),
    "speeding": lambda: Follow(pace=1.5),
    "constant_speed": ConstantSpeed,
    "stop": Stop,
}
"""By name, roughly from good to bad."""


def planner(name: str) -> Factory:
    """The factory of a planner of ours, or of a user's as `package.module:factory`."""
    if ":" in name:
        return load(name)
    if name not in PLANNERS:
        raise ZoetropeError(f"planner '{name}': unknown; known: {', '.join(PLANNERS)}; yours: package.module:factory")
    return PLANNERS[name]

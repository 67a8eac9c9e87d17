"""Planning by imagination (Drive-WM, arXiv 2311.17918): imagine what each candidate leads to, judge it, take the best.

What a candidate leads to is an `Outlook`: read from imagined pictures (`Pictured`), or, as the baseline, computed by letting
everybody go straight on (`Extrapolated`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import ZoetropeError
from core.evaluation.intervals import Interval, mean, ratio
from driving.geometry import actor_boxes, ego_boxes, overlap, to_body, to_world
from driving.planning.candidates import KEEP, Candidate, candidates
from driving.planning.loop import EVERY, Course, foresee
from driving.planning.pdm import on_road, tracked
from driving.planning.perception import Perception, by_depth
from driving.planning.planners import Follow
from driving.planning.reward import Reading, Reward, RoadColour, certainty, reward
from driving.planning.vehicle import EGO, follow
from driving.planning.way import Way
from driving.rig import Rig
from driving.road.network import Road
from driving.scene import RATE, Images, Moment, State
from driving.source.imager import Imager
from driving.traffic.simulation import Simulation

STRIDE = 2
"""Frames between the pictures that are judged."""
ESCAPE = 2 * RATE
"""After a candidate the ego brakes as hard as it can for so many frames: a choice that leaves no way out has collided too."""

Imagine = Callable[[np.ndarray, int], Sequence[Images]]
"""Given the ego's states float64 (T + 1, 4), the first being now, and a number of the sample: pictures of frames 1 to T.

A generated world forks its session for each call; with the same number it imagines the same.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What is expected of a candidate."""

    samples: tuple[tuple[Reading, ...], ...]
    """One or more samples of frames 1 to T, every `STRIDE`-th."""
    certainty: float = 1.0
    pictures: tuple[Images, ...] = ()
    """Of the first sample, every frame; empty where nothing was imagined."""


Outlook = Callable[[np.ndarray], Outcome]
"""What is expected when the ego takes states float64 (T + 1, 4)."""


@dataclass(frozen=True, kw_only=True)
class Pictured:
    """An outlook read from imagined pictures."""

    imagine: Imagine
    rig: Rig
    now: Images
    """The present pictures: they teach what the road looks like."""
    perceive: Perception = by_depth
    samples: int = 1

    def __call__(self, states: np.ndarray) -> Outcome:
        road = RoadColour.of(self.now, self.rig)
        futures = [self.imagine(states, sample) for sample in range(self.samples)]
        judged = [future[STRIDE - 1 :: STRIDE] for future in futures]
        readings = tuple(tuple(self._read(images, road) for images in future) for future in judged)
        return Outcome(samples=readings, certainty=certainty(judged), pictures=tuple(futures[0]))

    def _read(self, images: Images, road: RoadColour | None) -> Reading:
        boxes = np.array([o.box for o in self.perceive(images, self.rig)], float).reshape(-1, 5)
        return Reading(boxes=boxes, road=1.0 if road is None else road.share(images, self.rig))


@dataclass(frozen=True, kw_only=True)
class Extrapolated:
    """The baseline: everybody goes straight on at the present speed, on the true map. It knows the present exactly."""

    now: Moment
    road: Road

    def __call__(self, states: np.ndarray) -> Outcome:
        boxes = actor_boxes(self.now)
        speed = np.array([s.speed for _, s in self.now.actors])
        pace = speed[:, None] * np.stack([np.cos(boxes[:, 2]), np.sin(boxes[:, 2])], -1) / RATE
        allowed = on_road(states, self.road).astype(float)
        readings = []
        for t in range(STRIDE, len(states), STRIDE):
            moved = boxes.copy()
            moved[:, :2] += t * pace
            moved[:, :3] = to_body(moved[:, :3], State(*map(float, states[t])))
            readings.append(Reading(boxes=moved, road=float(allowed[t])))
        return Outcome(samples=(tuple(readings),))


def true_future(simulation: Simulation, imager: Imager) -> Imagine:
    """Imagination that is right: the simulation's own future, shown by an imager that has begun its scene."""

    def imagine(states: np.ndarray, sample: int) -> list[Images]:
        return [imager.show(moment) for moment in foresee(simulation, states)[1:]]

    return imagine


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A candidate with what was expected of it."""

    candidate: Candidate
    outcome: Outcome
    reward: Reward


def judge(options: Sequence[Candidate], outlook: Outlook, way: Way, limit: float) -> list[Judged]:
    """All candidates, the best first; among equals the earlier one."""
    out: list[Judged] = []
    for option in options:
        outcome = outlook(option.states)
        states = np.concatenate([option.states[:1], option.states[STRIDE::STRIDE]])
        terms = reward(states, outcome.samples, outcome.certainty, way.path.points, limit, STRIDE)
        out.append(Judged(candidate=option, outcome=outcome, reward=terms))
    return sorted(out, key=lambda judged: -judged.reward.total)


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """A scene stopped where something has to be decided."""

    course: Course
    way: Way
    simulation: Simulation
    """In the present. Copy it before stepping."""
    moments: tuple[Moment, ...]
    """What happened so far, the present last: a generated world opens on these."""

    @property
    def ego(self) -> State:
        return self.moments[-1].ego

    @property
    def limit(self) -> float:
        return self.way.limit(self.way.along(self.ego))

    def options(self) -> list[Candidate]:
        """What the ego could do."""
        return candidates(self.ego, self.route(), self.limit)

    def route(self) -> np.ndarray:
        """The way ahead (M, 2) in the ego's axes."""
        return to_body(self.way.ahead(self.way.along(self.ego)), self.ego)


def approach(course: Course, frames: int) -> Situation | None:
    """Follow the route blindly until keeping lane and speed would collide; None where it never does within `frames`."""
    way = Way(road=course.road, path=course.route)
    simulation = Simulation(course.road, course.entrants, course.ego, course.seed)
    moments, blind = [simulation.moment], Follow()
    while len(moments) <= frames:
        here = Situation(course=course, way=way, simulation=simulation, moments=tuple(moments))
        if any(touches(simulation, option.states) for option in here.options() if option.name == KEEP):
            return here
        plan = blind.steer(here.route(), here.ego.speed, here.limit, moments[-1].time)
        states, _ = follow(here.ego, to_world(plan, here.ego)[None], EVERY)
        for state in states[0, 1:]:
            moments.append(simulation.step(State(*map(float, state))))
    return None


def touches(simulation: Simulation, states: np.ndarray) -> bool:
    """Whether the ego touches anybody on states (T + 1, 4) or on braking after them, in the traffic as it reacts: the truth."""
    states = np.concatenate([states, _braking(states[-1])])
    _, tracks = tracked(foresee(simulation, states))
    return bool(overlap(ego_boxes(states)[1:, None], tracks[1:, :, :5]).any())


def _braking(state: np.ndarray) -> np.ndarray:
    """States (ESCAPE, 4) of braking hard and straight."""
    speed = np.maximum(state[3] - EGO.brake * np.arange(ESCAPE + 1) / RATE, 0)
    gone = np.cumsum((speed[1:] + speed[:-1]) / 2) / RATE
    x, y = state[0] + gone * np.cos(state[2]), state[1] + gone * np.sin(state[2])
    return np.stack([x, y, np.full(ESCAPE, state[2]), speed[1:]], -1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """Choices of several outlooks in several situations."""

    collided: dict[str, list[bool]]
    """By outlook: whether its choice collided, a situation each."""
    chosen: dict[str, list[str]]
    """By outlook: what it chose."""
    avoidable: list[bool]
    """Whether any candidate would not have collided."""

    def rate(self, outlook: str) -> Interval | None:
        """Collision rate of its choices where a collision could be avoided."""
        return mean([float(c) for c, a in zip(self.collided[outlook], self.avoidable) if a])

    def rate_over(self, outlook: str, baseline: str) -> Interval | None:
        """Its collision rate over the baseline's, the same situations resampled together."""
        pairs = [(c, b) for c, b, a in zip(self.collided[outlook], self.collided[baseline], self.avoidable) if a]
        return ratio([float(c) for c, _ in pairs], [float(b) for _, b in pairs]) if pairs else None


def trial(situations: Sequence[Situation], outlooks: Mapping[str, Callable[[Situation], Outlook]]) -> Trial:
    """Let each outlook choose among the same candidates in each situation, and carry the choice out in the simulation."""
    if not situations:
        raise ZoetropeError("planning: no situation to decide in: in none of the scenes does going on blindly collide")
    out = Trial(collided={n: [] for n in outlooks}, chosen={n: [] for n in outlooks}, avoidable=[])
    for situation in situations:
        options = situation.options()
        ends = {option.name: touches(situation.simulation, option.states) for option in options}
        out.avoidable.append(not all(ends.values()))
        for name, make in outlooks.items():
            best = judge(options, make(situation), situation.way, situation.limit)[0].candidate.name
            out.chosen[name].append(best)
            out.collided[name].append(ends[best])
    return out

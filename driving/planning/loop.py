"""Closed loop: the planner sees a world's pictures, its plan moves the ego, traffic reacts, the world answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from core.errors import ZoetropeError
from driving.geometry import ego_boxes, to_body, to_world
from driving.planning.pdm import HORIZON, IDLE, PARTS, PDMScore, collisions, pdm_score, progress
from driving.planning.planner import Factory, Observation, Planner, ask, command
from driving.planning.planners import Rules
from driving.planning.vehicle import follow
from driving.planning.way import Way
from driving.rig import Rig
from driving.road.network import Road
from driving.road.query import LanePath, on_drivable
from driving.scene import Ambience, Images, Moment, State
from driving.source.imager import Imager
from driving.traffic.behaviours import Entrant
from driving.traffic.simulation import Simulation

EVERY = 5
"""Frames between plans: 2 a second, as in DriveArena (arXiv 2408.00415)."""
HISTORY = 20
"""Past states that a planner is shown."""
PATIENCE = 60.0
"""Seconds that a planner may take for a plan."""
END = 5.0
"""A run ends this many metres before the end of its route."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """Where a run takes place."""

    name: str
    road: Road
    rig: Rig
    ambience: Ambience
    entrants: tuple[Entrant, ...]
    ego: State
    """Where the ego starts."""
    route: LanePath
    """What it is asked to follow."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Collision:
    """The ego touched somebody."""

    frame: int
    actor: int
    category: str
    at_fault: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopResult:
    """One run of T frames."""

    planner: str
    course: str
    states: np.ndarray
    """float64 (T + 1, 4): the ego at each frame."""
    moments: tuple[Moment, ...]
    plans: tuple[tuple[int, np.ndarray], ...]
    """Frame and plan (N, 3) in the scene's coordinates."""
    scores: tuple[tuple[int, PDMScore], ...]
    """Frame and score of each plan."""
    collisions: tuple[Collision, ...]
    completion: float
    """Metres along the route as share of what a driver by the rules makes, who knows the truth."""
    ended: str
    """Why: time, goal, collision or off road."""
    pictures: tuple[np.ndarray, ...] = ()
    """uint8 (V, H, W, 3) each, where they were kept."""

    @property
    def pdms(self) -> float:
        """Mean PDM score of its plans."""
        return float(np.mean([score.total for _, score in self.scores]))

    @property
    def driving_score(self) -> float:
        """Route completion x mean PDM score (DriveArena's ADS)."""
        return self.completion * self.pdms

    def as_dict(self) -> dict:
        """Figures ready for JSON."""
        parts = {name: float(np.mean([getattr(s, name) for _, s in self.scores])) for name in PARTS}
        return {
            "planner": self.planner,
            "course": self.course,
            "driving_score": self.driving_score,
            "completion": self.completion,
            "pdms": self.pdms,
            "parts": parts,
            "frames": len(self.states) - 1,
            "ended": self.ended,
            "collisions": [
                {"frame": c.frame, "actor": c.actor, "category": c.category, "at_fault": c.at_fault} for c in self.collisions
            ],
        }


@dataclass(kw_only=True, slots=True)
class _Run:
    """What has happened so far."""

    states: list[State]
    moments: list[Moment]
    plans: list[tuple[int, np.ndarray]] = field(default_factory=list)
    scores: list[tuple[int, PDMScore]] = field(default_factory=list)
    collisions: list[Collision] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)
    wheel: float = 0.0


def drive(
    factory: Factory,
    name: str,
    course: Course,
    imager: Imager,
    frames: int,
    *,
    keep: bool = False,
    reach: float | None = None,
    patience: float = PATIENCE,
    report: Callable[[int], None] | None = None,
) -> LoopResult:
    """Let a new planner `name` drive `course` in the world of `imager` for up to `frames` frames.

    `reach` is the course's `goal`, where it is known already; `keep` keeps the pictures for a video; `report` is told each
    frame. The run ends early at the end of the route, at a collision that is the ego's fault, and where the middle of the
    ego leaves the drivable area.
    """
    if frames < EVERY:
        raise ZoetropeError(f"loop: frames: expected at least {EVERY}, found {frames}")
    planner, way = factory(), Way(road=course.road, path=course.route)
    simulation = _simulation(course)
    run = _Run(states=[course.ego], moments=[simulation.moment])
    if way.path.length - END <= way.along(course.ego):
        raise ZoetropeError(f"course {course.name}: route: ends less than {END:g} m after the ego's start")
    imager.begin(course.road, course.rig, course.ambience, course.seed)
    ended = None
    while ended is None:
        t, ego = len(run.states) - 1, run.states[-1]
        images = imager.show(run.moments[-1])
        seen = observe(course, way, images, run.moments[-1], run.states, planner)
        plan = to_world(ask(planner, seen, name, patience), ego)
        states, wheels = (out[0] for out in follow(ego, plan[None], HORIZON, run.wheel))
        run.plans.append((t, plan))
        run.scores.append((t, rehearse(simulation, states, way)))
        steps = min(EVERY, frames - t)
        for i in range(1, steps + 1):
            if keep:
                run.pictures.append(images.colour)
            run.states.append(State(*map(float, states[i])))
            run.moments.append(simulation.step(run.states[-1]))
            if report is not None:
                report(len(run.states) - 1)
            ended = _ended(run, course, way, frames)
            if ended is not None:
                break
            if i < steps:
                images = imager.show(run.moments[-1])
        run.wheel = float(wheels[steps])
    begun = way.along(course.ego)
    wanted = min(goal(course, frames) if reach is None else reach, way.path.length - END - begun)
    return LoopResult(
        planner=name,
        course=course.name,
        states=rows(run.states),
        moments=tuple(run.moments),
        plans=tuple(run.plans),
        scores=tuple(run.scores),
        collisions=tuple(run.collisions),
        completion=float(np.clip((way.along(run.states[-1]) - begun) / wanted, 0, 1)),
        ended=ended,
        pictures=tuple(run.pictures),
    )


def observe(course: Course, way: Way, images: Images, moment: Moment, states: list[State], planner: Planner) -> Observation:
    """What a planner is shown of this moment; `states` are the ego's so far."""
    ego = states[-1]
    along = way.along(ego)
    route = to_body(way.ahead(along), ego)
    return Observation(
        images=images,
        rig=course.rig,
        history=tuple(states[-HISTORY:]),
        route=route,
        command=command(route),
        limit=way.limit(along),
        stop=way.stop(along, moment.time),
        time=moment.time,
        moment=moment if getattr(planner, "privileged", False) else None,
    )


def rehearse(simulation: Simulation, states: np.ndarray, way: Way) -> PDMScore:
    """Score ego states (T + 1, 4) against the traffic as it would react to them, from the simulation's present on.

    Progress is told by what `Rules` would make of the same moments, as in NAVSIM.
    """
    moments = foresee(simulation, states)
    reference = _by_rules(way, moments[0].ego, len(states) - 1, lambda t, ego: moments[t])
    return pdm_score(states, moments, way.road, way.path.points, reference)


def foresee(simulation: Simulation, states: np.ndarray) -> list[Moment]:
    """The moments (T + 1) that follow when the ego takes states (T + 1, 4), the first being now."""
    twin = simulation.copy()
    return [twin.moment] + [twin.step(State(*map(float, state))) for state in states[1:]]


def rows(states: list[State]) -> np.ndarray:
    """float64 (T, 4): x, y, yaw, speed."""
    return np.array([(s.x, s.y, s.yaw, s.speed) for s in states])


def goal(course: Course, frames: int) -> float:
    """Metres along the route that a driver by the rules makes in `frames` frames, knowing the truth."""
    simulation = _simulation(course)

    def moment(t: int, ego: State) -> Moment:
        return simulation.moment if t == 0 else simulation.step(ego)

    return max(_by_rules(Way(road=course.road, path=course.route), course.ego, frames, moment), IDLE)


def _by_rules(way: Way, ego: State, frames: int, moment: Callable[[int, State], Moment]) -> float:
    """Metres along the way that `Rules` makes, where `moment` tells each frame given the ego's state."""
    driver, states, wheel = Rules(), [ego], 0.0
    now = moment(0, ego)
    while len(states) <= frames:
        ego = states[-1]
        along = way.along(ego)
        route = to_body(way.ahead(along), ego)
        plan = driver.steer(route, ego, now, way.limit(along), way.stop(along, now.time))
        steps = min(EVERY, frames + 1 - len(states))
        driven, wheels = (out[0] for out in follow(ego, to_world(plan, ego)[None], steps, wheel))
        for state in driven[1:]:
            states.append(State(*map(float, state)))
            now = moment(len(states) - 1, states[-1])
        wheel = float(wheels[-1])
    return progress(rows(states), way.path.points)


def _simulation(course: Course) -> Simulation:
    return Simulation(course.road, course.entrants, course.ego, course.seed)


def _ended(run: _Run, course: Course, way: Way, frames: int) -> str | None:
    """Note new collisions; say why the run is over, if it is."""
    known = {c.actor for c in run.collisions}
    t = len(run.states) - 1
    for _, actor, fault in collisions(rows(run.states[-2:]), run.moments[-2:], course.road, course.route.points):
        if actor.id not in known:
            run.collisions.append(Collision(frame=t, actor=actor.id, category=actor.category, at_fault=fault))
    if any(c.at_fault for c in run.collisions):
        return "collision"
    middle = ego_boxes(rows(run.states[-1:]))[0]
    if not on_drivable(course.road, middle[:2]):
        return "off road"
    if way.along(run.states[-1]) > way.path.length - END:
        return "goal"
    return "time" if t >= frames else None

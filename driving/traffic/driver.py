"""One driver on a path: how it chooses its way, its speed and its place in the lane."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from driving.road.lines import lengths
from driving.road.network import Road
from driving.road.query import LanePath, path_from
from driving.scene import RATE, Actor, State
from driving.traffic.behaviours import Brake, ChangeLane, Drive, Shift, Stop
from driving.traffic.idm import Style
from driving.traffic.sight import Follower
from driving.traffic.triggers import fires

HABITS = {"bicycle": 4.8, "motorcycle": 30.0}
"""Top speeds, m/s, of those slower than the limit or unbound by it; others keep to the limit."""
STRAIGHT_ON = 0.6
"""The share that goes straight on at a junction."""
LONG = 7.0
"""Bodies longer than this do not turn at junctions where they can go on."""
STOPPING = 2.5
"""Braking of `Stop`, m/s2."""
CREEP = 2.0
"""Below this speed, m/s, sideways motion slows down with the wheels."""


@dataclass(kw_only=True, slots=True)
class Driver:
    """Where it is on its path and what it is about to do. Everything in it is replaced, never changed in place."""

    actor: Actor
    drive: Drive
    style: Style
    habit: float
    """Share of the limit it drives at."""
    path: LanePath
    limits: tuple[float, ...]
    """Of each lane of the path, m/s."""
    s: float
    speed: float
    lateral: float
    turn: float = 0.0
    """Heading relative to the path."""
    shift: tuple[float, float, float] = (0.0, 0.0, 1.0)
    """Sideways motion: from, to, seconds."""
    progress: float = 1.0
    """Share of it done."""
    fired: frozenset[int] = frozenset()
    """Which manoeuvres have begun."""
    braking: tuple[float, float] | None = None
    """(m/s2, speed to reach) while a manoeuvre brakes."""
    cap: float = math.inf
    """No faster than this, since a manoeuvre."""
    granted: frozenset[int] = frozenset()
    """Lanes through junctions that it may enter or is in."""

    @property
    def state(self) -> State:
        x, y, yaw = self.path.position(self.s, self.lateral)
        return State(x, y, math.remainder(yaw + self.turn, math.tau), self.speed)

    @property
    def front(self) -> float:
        return self.s + self.actor.size[1] / 2

    @property
    def rear(self) -> float:
        return self.s - self.actor.size[1] / 2

    @property
    def gone(self) -> bool:
        """Whether it has left by the road's end."""
        return self.path.ends and self.front > self.path.length

    def follower(self) -> Follower:
        return Follower(
            owner=self.actor.id,
            path=self.path,
            s=self.s,
            lateral=(self.lateral, self.shift[1]),
            half_width=self.actor.size[0] / 2,
            half_length=self.actor.size[1] / 2,
            speed=self.speed,
        )

    def wish(self) -> float:
        """The speed it would have on an empty road."""
        index = max(int(np.searchsorted(self.path.starts, self.s, side="right")) - 1, 0)
        free = self.habit * self.limits[index] if self.drive.speed is None else self.drive.speed
        return min(free, HABITS.get(self.actor.category, math.inf), self.path.bend_speed(self.s), self.cap)

    def decide(self, road: Road, seed: int, time: float, ego: State, driven: float) -> None:
        """Begins the manoeuvres whose time has come."""
        for k, manoeuvre in enumerate(self.drive.manoeuvres):
            if k in self.fired or not fires(manoeuvre.trigger, time, ego, driven, self.state):
                continue
            self.fired |= {k}
            match manoeuvre:
                case Brake():
                    self.braking = (manoeuvre.deceleration, manoeuvre.to_speed)
                case Stop():
                    self.braking = (STOPPING, 0.0)
                case Shift():
                    self._move_over(-manoeuvre.lateral if self.drive.wrong_way else manoeuvre.lateral, manoeuvre.seconds)
                case ChangeLane():
                    lane = road.lanes[self.path.lane_at(self.s)]
                    beside = lane.left if manoeuvre.to == "left" else lane.right
                    if beside is not None and not self.drive.wrong_way:
                        self._change(road, beside, seed, len(self.fired), manoeuvre.seconds)

    def advance(self, acceleration: float) -> None:
        """One frame at an acceleration, m/s2."""
        dt = 1.0 / RATE
        if self.braking is not None:
            force, goal = self.braking
            if self.speed <= goal + 1e-6:
                self.braking, self.cap = None, goal
            else:
                acceleration = min(acceleration, max(-force, (goal - self.speed) / dt))
        if self.cap <= 0:
            acceleration = min(acceleration, 0.0)
        before = self.speed
        self.speed = max(before + acceleration * dt, 0.0)
        covered = 0.5 * (before + self.speed) * dt
        was = self.lateral
        if self.progress < 1:
            start, goal, seconds = self.shift
            self.progress = min(self.progress + dt / seconds * min(1.0, self.speed / CREEP), 1.0)
            t = self.progress
            self.lateral = start + (goal - start) * t**3 * (10 + t * (6 * t - 15))
        sideways = self.lateral - was
        i = min(max(int(np.searchsorted(self.path.along, self.s)), 0), len(self.path.points) - 1)
        stretch = max(1 - self.path.curvatures[i] * self.lateral, 0.3)
        self.s += math.sqrt(max(covered**2 - sideways**2, 0.0)) / stretch
        if covered > 1e-3:
            self.turn = math.atan2(sideways, covered)
        self.granted = frozenset(i for i in self.granted if self.rear < self._end_of(i))

    def _end_of(self, lane: int) -> float:
        return self.path.end_of(self.path.lanes.index(lane))

    def _move_over(self, to: float, seconds: float) -> None:
        self.shift, self.progress = (self.lateral, to, seconds), 0.0

    def _change(self, road: Road, lane: int, seed: int, count: int, seconds: float) -> None:
        x, y, _ = self.path.position(self.s, self.lateral)
        route = choose_route(road, lane, (), self.actor, np.random.default_rng([seed, self.actor.id, count]))
        self.path = path_from(road, lane, route, 0.0)
        self.limits = tuple(road.lanes[i].speed_limit for i in self.path.lanes)
        self.s, self.lateral = self.path.project(x, y)
        self.granted &= frozenset(self.path.lanes)
        self._move_over(0.0, seconds)


def choose_route(
    road: Road, lane: int, route: tuple[int, ...], actor: Actor, rng: np.random.Generator, *, backwards: bool = False
) -> tuple[int, ...]:
    """The lanes after `lane`: first those of `route`, then successors drawn by `rng` until the road ends."""
    out = list(route)
    at = out[-1] if out else lane
    while after := road.predecessors[at] if backwards else road.lanes[at].successors:
        if len(after) == 1 or actor.size[1] > LONG:
            at = after[0]
        else:
            others = (1 - STRAIGHT_ON) / (len(after) - 1)
            at = int(rng.choice(after, p=[STRAIGHT_ON, *[others] * (len(after) - 1)]))
        out.append(at)
    return tuple(out)


def set_off(road: Road, actor: Actor, drive: Drive, seed: int) -> Driver:
    """A driver at its start. Raises ZoetropeError for lanes and routes that do not exist."""
    rng = np.random.default_rng([seed, actor.id])
    first = path_from(road, drive.lane, drive.route, 0.0, backwards=drive.wrong_way)
    rest = choose_route(road, drive.lane, first.lanes[1:], actor, rng, backwards=drive.wrong_way)
    path = path_from(road, drive.lane, rest, 0.0, backwards=drive.wrong_way)
    s = lengths(road.lanes[drive.lane].centre)[-1] - drive.along if drive.wrong_way else drive.along
    lateral = -drive.lateral if drive.wrong_way else drive.lateral
    driver = Driver(
        actor=actor,
        drive=drive,
        style=Style.of(drive.aggressiveness),
        habit=float(rng.uniform(0.85, 1.0)) + 0.1 * (drive.aggressiveness - 0.5),
        path=path,
        limits=tuple(road.lanes[i].speed_limit for i in path.lanes),
        s=float(s),
        speed=0.0,
        lateral=lateral,
        shift=(lateral, lateral, 1.0),
    )
    speed = driver.wish() if drive.speed is None else drive.speed
    if drive.speed is None and len(path.lanes) > 1:
        speed = min(speed, math.sqrt(2 * driver.style.braking * max(path.end_of(0) - driver.front - 2, 0.0)))
    inside = frozenset(i for i, b in zip(path.lanes, path.starts) if road.lanes[i].junction and b <= driver.front)
    return replace(driver, speed=speed, granted=inside)

"""Reactive traffic: everybody present moves a frame at a time, seeing each other and the ego."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np

from core.errors import ZoetropeError
from driving.road.network import Road
from driving.scene import EGO_CENTRE, EGO_SIZE, RATE, Actor, Moment, State
from driving.traffic.behaviours import Drive, Entrant, Replay, Stand, Walk
from driving.traffic.driver import Driver, set_off
from driving.traffic.idm import acceleration, halt
from driving.traffic.rules import attention, ego_claims, free, next_junction, stop_line
from driving.traffic.sight import Bodies, ahead
from driving.traffic.walker import Walker, is_walker


class Simulation:
    """Traffic on a road around an ego that somebody else moves.

    The same road, entrants, seed and ego motion give the same motion bit for bit.
    """

    def __init__(self, road: Road, entrants: Sequence[Entrant], ego: State, seed: int) -> None:
        """Raises ZoetropeError for two actors of one number, or lanes and routes that do not exist."""
        ids = [entrant.actor.id for entrant in entrants]
        if len(set(ids)) != len(ids):
            raise ZoetropeError(f"traffic: actors need different numbers, found {sorted(ids)}")
        self.road, self.seed = road, seed
        self._frame, self._driven = 0, 0.0
        self._drivers: dict[int, Driver] = {}
        self._walkers: dict[int, Walker] = {}
        self._still: list[tuple[Actor, State]] = []
        self._replays: list[tuple[Actor, np.ndarray]] = []
        for entrant in sorted(entrants, key=lambda e: e.actor.id):
            actor, behaviour = entrant.actor, entrant.behaviour
            match behaviour:
                case Drive():
                    self._drivers[actor.id] = set_off(road, actor, behaviour, seed)
                case Walk():
                    self._walkers[actor.id] = Walker.at_start(actor, behaviour)
                case Stand():
                    self._still.append((actor, State(behaviour.x, behaviour.y, behaviour.yaw, 0.0)))
                case Replay():
                    self._replays.append((actor, behaviour.track))
        self._on_foot = frozenset(entrant.actor.id for entrant in entrants if is_walker(entrant.actor))
        self.moment = self._moment(ego)
        self._settle()

    def copy(self) -> Simulation:
        """One that goes its own way from here."""
        twin = copy.copy(self)
        twin._drivers = {i: copy.copy(driver) for i, driver in self._drivers.items()}
        twin._walkers = {i: copy.copy(walker) for i, walker in self._walkers.items()}
        return twin

    def step(self, ego: State) -> Moment:
        """Everybody moves by 1 / RATE seconds, seeing the moment that was; the ego is then at `ego`."""
        was = self.moment
        bodies = Bodies.of(was)
        for driver in self._drivers.values():
            driver.decide(self.road, self.seed, was.time, was.ego, self._driven)
        wishes = self._accelerations(was, bodies)
        for i, driver in list(self._drivers.items()):
            driver.advance(wishes[i])
            if driver.gone:
                del self._drivers[i]
        for walker in self._walkers.values():
            walker.step(was.time, was.ego, self._driven, bodies, self._on_foot)
        self._frame += 1
        self._driven += math.hypot(ego.x - was.ego.x, ego.y - was.ego.y)
        self.moment = self._moment(ego)
        return self.moment

    def _settle(self) -> None:
        """Those who choose their own speed begin with one that needs no hard braking."""
        bodies = Bodies.of(self.moment)
        for driver in self._drivers.values():
            gap, other = ahead(bodies, driver.follower())
            while driver.drive.speed is None and driver.speed > 0.5 and _push(driver, gap, other) < -driver.style.braking / 2:
                driver.speed *= 0.9
        self.moment = self._moment(self.moment.ego)

    def _accelerations(self, was: Moment, bodies: Bodies) -> dict[int, float]:
        """m/s2 of every driver."""
        obstacles, lines = {}, {}
        asking: list[tuple[bool, float, int, int]] = []
        for i, driver in self._drivers.items():
            obstacles[i] = ahead(bodies, driver.follower()) if driver.drive.yields else (math.inf, 0.0)
            lawful = driver.drive.obeys_signals and not driver.drive.wrong_way
            lines[i] = stop_line(self.road, driver.path, driver.front, driver.speed, was.time) if lawful else math.inf
            if not driver.drive.wrong_way and (entry := next_junction(self.road, driver.path, driver.front)) is not None:
                lane, gap, end = entry
                if lines[i] <= gap + 1e-6:
                    driver.granted -= {lane}
                elif lane not in driver.granted and lawful:
                    lines[i] = min(lines[i], gap)
                    full = obstacles[i][1] < 1 and driver.front + obstacles[i][0] < end + driver.actor.size[1] + 3
                    if gap < attention(driver.speed) and not full:
                        turning = abs(self.road.lane_turns[lane]) > 0.5
                        asking.append((turning, gap, i, lane))
        mine = ego_claims(self.road, was.ego, EGO_CENTRE + EGO_SIZE[1] / 2, was.time)
        for _, _, i, lane in sorted(asking):
            taken = set(mine).union(*(d.granted for j, d in self._drivers.items() if j != i))
            if free(self.road, lane, taken):
                driver = self._drivers[i]
                driver.granted |= {lane}
                again = stop_line(self.road, driver.path, driver.front, driver.speed, was.time)
                lines[i] = again if driver.drive.obeys_signals else math.inf
        out = {}
        for i, driver in self._drivers.items():
            out[i] = _push(driver, *obstacles[i])
            if not math.isinf(lines[i]):
                out[i] = min(out[i], halt(driver.style, driver.speed, driver.wish(), lines[i]))
        return out

    def _moment(self, ego: State) -> Moment:
        present = [(d.actor, d.state) for d in self._drivers.values()]
        present += [(w.actor, w.state) for w in self._walkers.values()] + self._still
        for actor, track in self._replays:
            row = track[min(self._frame, len(track) - 1)]
            if np.isfinite(row).all():
                x, y, yaw, speed = map(float, row)
                present.append((actor, State(x, y, yaw, speed if self._frame < len(track) else 0.0)))
        return Moment(self._frame / RATE, ego, tuple(sorted(present, key=lambda pair: pair[0].id)))


def _push(driver: Driver, gap: float, other: float) -> float:
    """A driver's acceleration for what is `gap` metres ahead and moves at `other`, m/s2."""
    return acceleration(driver.style, driver.speed, driver.wish(), gap, other)

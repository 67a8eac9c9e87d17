"""The actors that a scenario asks for, drawn from its ranges and told what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from core.errors import ZoetropeError
from driving.scenario.description import ActorSpec, DriveSpec, ManoeuvreSpec, WalkSpec, When
from driving.scenario.events import VEHICLES
from driving.scenario.place import Setting, Spot, locate, meeting, routed, track_through
from driving.scene import Actor
from driving.traffic.background import dressed, painted, varied
from driving.traffic.behaviours import (
    AheadOfEgo,
    AtTime,
    Behaviour,
    Brake,
    ChangeLane,
    Drive,
    EgoDriven,
    EgoNear,
    EgoSoon,
    Entrant,
    Manoeuvre,
    Replay,
    Shift,
    Stand,
    Stop,
    Trigger,
    Walk,
)

OWN_COLOURS: dict[str, tuple[int, int, int]] = {
    "ambulance": (236, 236, 230),
    "police": (232, 236, 240),
    "cone": (228, 98, 30),
    "barrier": (214, 70, 48),
    "animal": (112, 82, 54),
    "debris": (92, 78, 62),
}
"""RGB of what always looks alike."""


def entrants(
    specs: Sequence[ActorSpec], setting: Setting, frames: int, rng: np.random.Generator, first: int = 0, where: str = "actors"
) -> tuple[Entrant, ...]:
    """Draw every actor, numbered from `first`. Raises ZoetropeError naming the actor that cannot be."""
    out: list[Entrant] = []
    for k, spec in enumerate(specs):
        try:
            out += _alike(spec, setting, frames, rng, first + len(out))
        except ZoetropeError as error:
            raise type(error)(f"{where}[{k}]: {error}") from None
    return tuple(out)


def _alike(spec: ActorSpec, setting: Setting, frames: int, rng: np.random.Generator, number: int) -> list[Entrant]:
    ahead, offset, late = spec.ahead.draw(rng), spec.offset.draw(rng), spec.meets.draw(rng) if spec.meets else 0.0
    out = []
    for i in range(spec.count.draw_int(rng)):
        if i:
            ahead, offset = ahead + spec.spacing.draw(rng), offset + spec.side_step.draw(rng)
        actor = _actor(spec, number + i, rng)
        out.append(Entrant(actor=actor, behaviour=_behaviour(spec, setting, frames, ahead, offset, late, rng)))
    return out


def _actor(spec: ActorSpec, number: int, rng: np.random.Generator) -> Actor:
    category = spec.category[int(rng.integers(len(spec.category)))]
    size = tuple(round(side.draw(rng), 3) for side in spec.size) if spec.size else varied(category, rng)
    any_colour = painted(rng) if category in VEHICLES else dressed(rng)
    return Actor(
        id=number,
        category=category,
        size=(size[0], size[1], size[2]),
        colour=spec.colour or OWN_COLOURS.get(category, any_colour),
        parked=spec.parked,
    )


def _behaviour(
    spec: ActorSpec, setting: Setting, frames: int, ahead: float, offset: float, late: float, rng: np.random.Generator
) -> Behaviour:
    if spec.replay:
        return Replay(track=track_through(spec.replay.points, setting.pose, frames))
    if spec.drive:
        return _drive(spec, spec.drive, setting, ahead, offset, late, rng)
    spot = locate(setting, spec.lane, setting.s + ahead, offset)
    if spec.walk:
        return _walk(spec.walk, setting, spot, ahead, rng)
    turned = math.radians(spec.stand.turned.draw(rng)) if spec.stand else 0.0
    return Stand(x=spot.x, y=spot.y, yaw=math.remainder(spot.yaw + turned, math.tau))


def _drive(
    spec: ActorSpec, drive: DriveSpec, setting: Setting, ahead: float, offset: float, late: float, rng: np.random.Generator
) -> Drive:
    speed = drive.speed.draw(rng) if drive.speed else drive.pace.draw(rng) * setting.speed if drive.pace else None
    aggressiveness = drive.aggressiveness.draw(rng)
    if spec.meets:
        spot, route = meeting(setting, spec.lane, drive.turn, setting.speed if speed is None else speed, late, offset, rng)
    else:
        spot, route = locate(setting, spec.lane, setting.s + ahead, offset), ()
        if drive.turn and spot.lane is not None and not drive.wrong_way:
            route = routed(setting.road, spot.lane, drive.turn, setting.path.length)
    if spot.lane is None:
        raise ZoetropeError(f"lane: nobody drives along '{spec.lane}'; expected a lane")
    return Drive(
        lane=spot.lane,
        along=spot.along,
        lateral=spot.lateral,
        speed=speed,
        route=route,
        aggressiveness=aggressiveness,
        obeys_signals=drive.obeys_signals,
        wrong_way=drive.wrong_way,
        yields=drive.yields,
        manoeuvres=tuple(_manoeuvre(m, rng) for m in drive.manoeuvres),
    )


def _walk(walk: WalkSpec, setting: Setting, spot: Spot, ahead: float, rng: np.random.Generator) -> Walk:
    path = [(spot.x, spot.y)]
    for point in walk.to:
        there = locate(setting, point.lane, setting.s + ahead + point.ahead.draw(rng), point.offset.draw(rng))
        path.append((there.x, there.y))
    return Walk(path=tuple(path), speed=walk.speed.draw(rng), trigger=_trigger(walk.when, rng), yields=walk.yields)


def _trigger(when: When, rng: np.random.Generator) -> Trigger:
    if when.ego_near:
        return EgoNear(metres=when.ego_near.draw(rng))
    if when.ego_soon:
        return EgoSoon(seconds=when.ego_soon.draw(rng))
    if when.ego_driven:
        return EgoDriven(metres=when.ego_driven.draw(rng))
    if when.ahead_of_ego:
        return AheadOfEgo(metres=when.ahead_of_ego.draw(rng))
    return AtTime(seconds=when.at_time.draw(rng) if when.at_time else 0.0)


def _manoeuvre(spec: ManoeuvreSpec, rng: np.random.Generator) -> Manoeuvre:
    if change := spec.change_lane:
        return ChangeLane(trigger=_trigger(change.when, rng), to=change.to, seconds=change.seconds.draw(rng))
    if brake := spec.brake:
        return Brake(
            trigger=_trigger(brake.when, rng), deceleration=brake.deceleration.draw(rng), to_speed=brake.to_speed.draw(rng)
        )
    if shift := spec.shift:
        return Shift(trigger=_trigger(shift.when, rng), lateral=shift.lateral.draw(rng), seconds=shift.seconds.draw(rng))
    return Stop(trigger=_trigger(spec.stop.when if spec.stop else When(), rng))

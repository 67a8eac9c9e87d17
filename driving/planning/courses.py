"""Ordinary courses for planners, decided by a seed: a road, everyday traffic, and somebody who is in the way."""

from __future__ import annotations

import numpy as np

from driving.planning.loop import Course
from driving.rig import Rig
from driving.road.build import build
from driving.road.query import path_from
from driving.scene import CATEGORIES, EGO_CENTRE, Actor, Ambience, State
from driving.traffic.background import background, dressed, painted
from driving.traffic.behaviours import AtTime, Brake, ChangeLane, Drive, EgoSoon, Entrant, Stand, Walk

KINDS = ("straight", "curve", "s_curve", "crossing", "junction", "t_junction")
HURDLES = ("none", "stopped", "braking", "cut_in", "jaywalker")
"""What is in the way."""
START = 30.0
"""Where the ego starts, metres along its way."""

CURB = 0.7
"""Metres from the road's edge at which somebody waits to cross."""
REACH = 150.0
"""Traffic is about within this many metres of the start."""


def ordinary(seed: int, rig: Rig, kind: str | None = None, hurdle: str | None = None) -> Course:
    """The course of this seed; road and hurdle are drawn where they are None."""
    rng = np.random.default_rng([seed, 7])
    kind = str(rng.choice(KINDS)) if kind is None else kind
    hurdle = str(rng.choice(HURDLES)) if hurdle is None else hurdle
    road = build(kind, seed, speed_limit=float(rng.uniform(8, 14)), lanes=2 if hurdle == "cut_in" else None)
    lane = road.lanes[0]
    path = path_from(road, lane.id)
    x, y, yaw = path.position(START)
    speed = float(rng.uniform(0.7, 0.95)) * lane.speed_limit
    ego = State(x, y, yaw, speed)
    ahead = START + EGO_CENTRE + float(rng.uniform(35, 60))
    car = Actor(id=0, category="car", size=CATEGORIES["car"].size, colour=painted(rng))
    person = Actor(id=0, category="pedestrian", size=CATEGORIES["pedestrian"].size, colour=dressed(rng))
    first: tuple[Entrant, ...] = ()
    if hurdle == "stopped":
        px, py, pyaw = path.position(ahead)
        first = (Entrant(actor=car, behaviour=Stand(x=px, y=py, yaw=pyaw)),)
    elif hurdle == "braking":
        brake = Brake(trigger=AtTime(seconds=float(rng.uniform(1, 3))), deceleration=float(rng.uniform(5, 8)))
        near = START + 18.0
        first = (
            Entrant(
                actor=car, behaviour=Drive(lane=lane.id, along=near, speed=speed, route=path.lanes[1:], manoeuvres=(brake,))
            ),
        )
    elif hurdle == "cut_in" and lane.right is not None:
        over = ChangeLane(trigger=AtTime(seconds=float(rng.uniform(1, 2.5))), to="left", seconds=2.0)
        near, slow = START + 14.0, 0.5 * speed
        first = (Entrant(actor=car, behaviour=Drive(lane=lane.right, along=near, speed=slow, manoeuvres=(over,))),)
    elif hurdle == "jaywalker":
        right, beside = 0, lane.right
        while beside is not None:
            right, beside = right + 1, road.lanes[beside].right
        edge = lane.width * (right + 0.5) + CURB
        (px, py, _), (qx, qy, _) = path.position(ahead, -edge), path.position(ahead, lane.width * (right + 1.5))
        walk = Walk(path=((px, py), (qx, qy)), speed=1.6, trigger=EgoSoon(seconds=float(rng.uniform(2, 3.5))))
        first = (Entrant(actor=person, behaviour=walk),)
    others = background(road, ego, seed, density=0.6, pedestrians=4, others=first, reach=REACH)
    return Course(
        name=f"{kind}-{hurdle}-{seed}",
        road=road,
        rig=rig,
        ambience=Ambience(sun_elevation=float(rng.uniform(20, 65)), cloud=float(rng.uniform(0, 1))),
        entrants=(*first, *others),
        ego=ego,
        route=path,
        seed=seed,
    )

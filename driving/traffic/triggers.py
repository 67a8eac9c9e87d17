"""When manoeuvres begin."""

from __future__ import annotations

import math

from driving.scene import EGO_CENTRE, EGO_SIZE, State
from driving.traffic.behaviours import AheadOfEgo, AtTime, EgoDriven, EgoNear, EgoSoon, Trigger


def fires(trigger: Trigger, time: float, ego: State, driven: float, actor: State) -> bool:
    """Whether it is time, `driven` metres after the ego set off."""
    front = EGO_CENTRE + EGO_SIZE[1] / 2
    dx, dy = actor.x - ego.x - front * math.cos(ego.yaw), actor.y - ego.y - front * math.sin(ego.yaw)
    match trigger:
        case AtTime():
            return time >= trigger.seconds - 1e-9
        case EgoNear():
            return math.hypot(dx, dy) <= trigger.metres
        case EgoSoon():
            return math.hypot(dx, dy) <= trigger.seconds * ego.speed
        case EgoDriven():
            return driven >= trigger.metres
        case AheadOfEgo():
            return dx * math.cos(ego.yaw) + dy * math.sin(ego.yaw) >= trigger.metres

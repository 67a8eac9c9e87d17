"""A scenario as a course: the same road and actors as `driving.scenario.sample` draws, but reacting to whoever drives."""

from __future__ import annotations

import numpy as np

from core.errors import ZoetropeError
from driving.planning.loop import Course
from driving.scenario import ambience
from driving.scenario.cast import entrants
from driving.scenario.description import Description
from driving.scenario.place import CannotBeError, lay
from driving.scenario.sample import ATTEMPTS, _any, _ego, _others, sample
from driving.scene import Scene, State


def staged(description: Description, seed: int, frames: int) -> Course:
    """The course of the scene that `sample` draws of this scenario; an ego that drives as that one's meets the same event.

    Raises ZoetropeError where the scenario cannot happen.
    """
    scene = sample(description, seed, frames)
    start = State(*map(float, scene.ego[0]))
    for attempt in range(ATTEMPTS):
        course = _drawn(description, scene, frames, np.random.default_rng([seed, attempt]))
        if course is not None and course.ego == start and course.ambience == scene.ambience:
            return course
    raise ZoetropeError(f"scenario {description.name}: seed {seed}: its scene was not drawn again")


def _drawn(description: Description, scene: Scene, frames: int, rng: np.random.Generator) -> Course | None:
    """One draw, in the order of `sample`."""
    try:
        setting = lay(description, frames, rng)
        sky = ambience.draw(_any(description.weather, rng), _any(description.time, rng), setting.pose[2], rng)
        cast = entrants(description.actors, setting, frames, rng)
        start, _ = _ego(description, setting, frames, rng)
        cast += _others(description.traffic, setting.road, start, cast, rng)
    except CannotBeError:
        return None
    return Course(
        name=scene.name,
        road=setting.road,
        rig=scene.rig,
        ambience=sky,
        entrants=cast,
        ego=start,
        route=setting.path,
        seed=int(rng.integers(2**31)),
    )

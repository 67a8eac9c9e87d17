"""A scenario as a course: the same road and actors as `driving.scenario.sample` draws, but reacting to whoever drives."""

from __future__ import annotations

from driving.planning.loop import Course
from driving.scenario.description import Description
from driving.scenario.sample import sample_staged


def staged(description: Description, seed: int, frames: int) -> Course:
    """The course of the scene that `sample` draws of this scenario; an ego that drives as that one's meets the same event.

    Raises ZoetropeError where the scenario cannot happen.
    """
    scene, stage = sample_staged(description, seed, frames)
    return Course(
        name=scene.name,
        road=scene.road,
        rig=scene.rig,
        ambience=scene.ambience,
        entrants=stage.cast,
        ego=stage.start,
        route=stage.setting.path,
        seed=stage.seed,
    )

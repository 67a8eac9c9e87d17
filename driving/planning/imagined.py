"""Futures of a situation as another imager shows them: the source world, or a generated one on a branch for each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from driving.dream import Dream
from driving.planning.loop import foresee
from driving.planning.tree import Imagine, Situation, true_future
from driving.scene import Images
from driving.source.imager import Imager


def begin(situation: Situation, imager: Imager, report: Callable[[int], object] | None = None) -> Images:
    """Show what happened so far; returns the present pictures. `report` is told of every frame."""
    course = situation.course
    imager.begin(course.road, course.rig, course.ambience, course.seed)
    now = imager.show(situation.moments[0])
    for moment in situation.moments[1:]:
        now = imager.show(moment)
        if report is not None:
            report(1)
    return now


def imagination(situation: Situation, imager: Imager) -> Imagine:
    """What follows, by an imager that has begun; traffic reacts to what the ego does in it."""
    if not isinstance(imager, Dream):
        return true_future(situation.simulation, imager)

    def imagine(states: np.ndarray, sample: int) -> list[Images]:
        branch = imager.fork(seed=situation.course.seed + sample)
        return [branch.show(moment) for moment in foresee(situation.simulation, states)[1:]]

    return imagine

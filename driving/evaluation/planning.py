"""Choosing by imagination against choosing by letting everybody go straight on, among the same candidates."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from core.evaluation.intervals import figure
from core.files import write_text
from core.streaming.world import World
from driving.dream import Dream
from driving.planning import courses
from driving.planning.imagined import begin, imagination
from driving.planning.tree import Extrapolated, Outlook, Pictured, Situation, Trial, approach, trial
from driving.rig import nuscenes_rig
from driving.source.imager import Imager

SITUATIONS, FIRST_SITUATION = 8, 8_000_000
"""How many situations are decided, and the seed of the first course that is looked at."""
WITHIN = 60
"""A course counts if within so many frames something has to be decided."""
HURDLES = tuple(hurdle for hurdle in courses.HURDLES if hurdle != "none")
IMAGINED, SOURCE, STRAIGHT_ON = "imagined", "source", "straight_on"


def choices(world: World, make_source: Callable[[], Imager], folder: Path, progress: bool = True) -> dict:
    """Collision rates of choices by the world's pictures, by the source world's and by extrapolation; kept in `folder`."""
    source = make_source()
    found: list[Trial] = []
    number = 0
    with tqdm(total=SITUATIONS, desc="decide", unit="situation", disable=not progress) as bar:
        while len(found) < SITUATIONS:
            done = folder / f"{number:03d}.json"
            if not done.exists():
                write_text(done, json.dumps(_decide(number, world, source)) + "\n")
            decided = json.loads(done.read_text())
            if decided is not None and decided["avoidable"][0]:
                found.append(Trial(**decided))
                bar.update()
            number += 1
    source.close()
    whole = Trial(
        collided={name: [t.collided[name][0] for t in found] for name in (IMAGINED, SOURCE, STRAIGHT_ON)},
        chosen={name: [t.chosen[name][0] for t in found] for name in (IMAGINED, SOURCE, STRAIGHT_ON)},
        avoidable=[True] * len(found),
    )
    return {
        "planning_collision_ratio": figure(whole.rate_over(IMAGINED, STRAIGHT_ON)),
        "planning_collision_ratio_source": figure(whole.rate_over(SOURCE, STRAIGHT_ON)),
        **{f"planning_collisions_{name}": figure(whole.rate(name)) for name in whole.collided},
        "planning_choices": whole.chosen,
    }


def _decide(number: int, world: World, source: Imager) -> dict | None:
    """One situation decided by every outlook; None where nothing has to be decided."""
    rig = nuscenes_rig(world.config.width, world.config.height)
    course = courses.ordinary(FIRST_SITUATION + number, rig, hurdle=HURDLES[number % len(HURDLES)])
    situation = approach(course, WITHIN)
    if situation is None:
        return None

    def pictured(imager: Imager) -> Callable[[Situation], Outlook]:
        def make(here: Situation) -> Outlook:
            now = begin(here, imager)
            return Pictured(imagine=imagination(here, imager), rig=rig, now=now)

        return make

    outlooks = {
        STRAIGHT_ON: lambda here: Extrapolated(now=here.moments[-1], road=here.course.road),
        SOURCE: pictured(source),
        IMAGINED: pictured(Dream(world, source)),
    }
    return asdict(trial([situation], outlooks))

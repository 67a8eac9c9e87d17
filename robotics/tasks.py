"""The tasks this program knows, by name."""

from __future__ import annotations

from core.errors import ZoetropeError
from robotics.scene.challenges import CHALLENGES
from robotics.scene.tabletop import Tabletop
from robotics.scene.variation import Variation
from robotics.task import Task

NAMES = tuple(CHALLENGES)


def make(
    name: str, size: tuple[int, int] = (64, 64), variation: Variation | None = None, pictures: bool = True, looks: int = 1
) -> Task:
    """The task called `name`, with frames of `size` (height, width).

    Without `pictures` frames stay black, at a quarter of the cost. Another number of `looks` (>= 1) gives the same starts other
    looks, as far as `variation` lets them differ. Raises ZoetropeError when it is unknown or not installed.
    """
    if name not in CHALLENGES:
        raise ZoetropeError(f"unknown task '{name}'; known tasks: {', '.join(NAMES)}")
    return Tabletop(CHALLENGES[name](), size, variation, pictures=pictures, looks=looks)

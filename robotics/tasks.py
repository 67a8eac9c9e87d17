"""The tasks this program knows, by name."""

from __future__ import annotations

from core.errors import ZoetropeError
from robotics.scene import arm
from robotics.scene.challenges import CHALLENGES
from robotics.scene.tabletop import CAMERAS, Tabletop
from robotics.scene.variation import Variation
from robotics.suites.catalog import TASKS as SUITES
from robotics.suites.suite import Suite
from robotics.task import Signature, Task

NAMES = tuple(CHALLENGES)
"""Our own, which need MuJoCo alone; those of `SUITES` need a package each."""


def make(
    name: str, size: tuple[int, int] = (64, 64), variation: Variation | None = None, pictures: bool = True, looks: int = 1
) -> Task:
    """The task called `name`, with frames of `size` (height, width).

    Without `pictures` frames stay black, at a quarter of the cost. Another number of `looks` (>= 1) gives the same starts other
    looks, as far as `variation` lets them differ. Raises ZoetropeError when it is unknown or not installed.
    """
    _check_known(name)
    if name in CHALLENGES:
        return Tabletop(CHALLENGES[name](), size, variation, pictures=pictures, looks=looks)
    if variation not in (None, Variation()):
        raise ZoetropeError(
            f"task '{name}': variation: tasks of a suite look as they do; those that can differ: {', '.join(NAMES)}"
        )
    return Suite(SUITES[name], size, pictures)


def signature(name: str) -> Signature:
    """What the numbers and pictures of a task are called; known without what it needs. ZoetropeError when it is unknown."""
    _check_known(name)
    if name in SUITES:
        suite = SUITES[name]
        cameras = tuple(camera.name for camera in suite.cameras)
        return Signature(suite.action_names, suite.proprioception_names, suite.object_names, cameras)
    challenge = CHALLENGES[name]
    action = tuple(arm.PROPRIOCEPTION[axis] for axis in challenge.axes)
    return Signature(action, arm.PROPRIOCEPTION, challenge.object_names, tuple(camera.name for camera in CAMERAS))


def _check_known(name: str) -> None:
    known = (*CHALLENGES, *SUITES)
    if name not in known:
        raise ZoetropeError(f"unknown task '{name}'; known tasks: {', '.join(known)}")

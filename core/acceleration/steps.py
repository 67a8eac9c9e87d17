"""Few steps: a world that is trained with the shortcut objective walks from noise to a frame in one or two steps.

Shortcut models (arXiv 2410.12557): the length of the step that is asked for is one of the backbone's inputs, so no other
weights are needed, only fewer calls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from core.acceleration.stack import Acceleration, Stage, Undo
from core.errors import ZoetropeError
from core.streaming.world import World


@dataclass(frozen=True, kw_only=True, slots=True)
class Steps(Acceleration):
    """Sessions that are opened take `count` denoising steps a frame, unless asked otherwise."""

    name: ClassVar[str] = "steps"
    stage: ClassVar[Stage] = Stage.CALLS
    compared_at: ClassVar[int | None] = 32
    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ZoetropeError(f"accelerations: steps: count must be at least 1, found {self.count}")

    def apply(self, world: World) -> Undo:
        before = world.model.config
        world.model.config = replace(before, steps=self.count)

        def undo() -> None:
            world.model.config = before

        return undo

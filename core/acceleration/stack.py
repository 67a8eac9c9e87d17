"""Accelerations: techniques that make a loaded world faster or smaller, put on and taken off at will, alone or stacked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any, ClassVar

from core.errors import ZoetropeError
from core.streaming.world import World

Undo = Callable[[], None]


class Stage(IntEnum):
    """When a technique of a stack is put on: what rewrites weights before what replaces modules before what wraps calls.

    What leaves whole calls out wraps what makes them cheaper.
    """

    WEIGHTS = 0
    MODULES = 1
    CALLS = 2
    REUSE = 3
    COMPILATION = 4


class Acceleration(ABC):
    """One technique: a frozen dataclass of its settings, and how a world takes it on."""

    name: ClassVar[str]
    stage: ClassVar[Stage]
    excludes: ClassVar[Mapping[str, str]] = {}
    """Techniques, by name, that it cannot be stacked with, and why not. Said once, by either of the two."""
    compared_at: ClassVar[int | None] = None
    """Denoising steps a frame of the plain world that it is measured against; None: as many as the world takes."""
    slow_start: ClassVar[bool] = False
    """Whether its first frames take minutes (a quick measurement leaves it out)."""

    @classmethod
    def variant(cls, kind: str) -> dict[str, Any]:
        """The settings that 'name:kind' is short for. Raises ZoetropeError where there is no such kind."""
        raise ZoetropeError(f"accelerations: {cls.name}: there is no '{kind}' of it")

    def check(self, world: World) -> None:  # noqa: B027 - most techniques run anywhere
        """Raise ZoetropeError where this world or this machine cannot run it."""

    @abstractmethod
    def apply(self, world: World) -> Undo:
        """Put it on. Returns what takes it off again and leaves every weight and setting exactly as it was."""


class Stack:
    """What a world has put on."""

    def __init__(self, world: World, accelerations: Sequence[Acceleration]):
        """Raises ZoetropeError for a stack that contradicts itself or that this world cannot run; it is then left as it was."""
        if world.stack is not None:
            raise ZoetropeError(f"accelerations: {', '.join(world.stack.names) or 'a stack'} is on already; remove it first")
        self.world, self.accelerations = world, tuple(sorted(accelerations, key=lambda a: a.stage))
        check_stack(self.accelerations)
        for acceleration in self.accelerations:
            acceleration.check(world)
        _ = world.fingerprint  # of the weights as they were trained, whatever is put in their place
        self._undo: list[Undo] = []
        world.stack = self
        try:
            for acceleration in self.accelerations:
                self._undo.append(acceleration.apply(world))
        except BaseException:
            self.remove()
            raise

    @property
    def names(self) -> list[str]:
        return [acceleration.name for acceleration in self.accelerations]

    def remove(self) -> None:
        """Take everything off, last first. A second call does nothing."""
        while self._undo:
            self._undo.pop()()
        if self.world.stack is self:
            self.world.stack = None


def check_stack(accelerations: Sequence[Acceleration]) -> None:
    """Raise ZoetropeError naming the first two that contradict each other, and why."""
    for i, one in enumerate(accelerations):
        for other in accelerations[:i]:
            if one.name == other.name:
                raise ZoetropeError(f"accelerations: '{one.name}' is named twice")
            reason = one.excludes.get(other.name) or other.excludes.get(one.name)
            if reason is not None:
                raise ZoetropeError(f"accelerations: '{other.name}' and '{one.name}' exclude each other: {reason}")

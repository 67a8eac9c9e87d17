"""What goes in and comes out of a session's step.

Shape letters: B sessions in the batch, V cameras.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from core.memory.sketch import Sketch
from core.memory.spatial import Keyframe, Views


@dataclass(frozen=True, slots=True)
class Frame:
    """What a step shows. In a batch every entry gains a leading axis B."""

    frame: np.ndarray
    """uint8 (V, H, W, 3)."""
    depth: np.ndarray | None
    """float32 (V, H, W) in the source's unit."""
    pose: np.ndarray | None
    """float32 (V, 4, 4) camera to world."""
    reward: Any
    terminated: Any
    state: np.ndarray | None = None
    """float32 (S,) as predicted, its parts joined in the order of `WorldConfig.state`; None in a world without."""


@dataclass(frozen=True, slots=True)
class MemoryView:
    """A map of what spatial memory holds."""

    keyframes: np.ndarray
    """(N, 3) x, y and heading (radians) of the remembered views."""
    recalled: list[int]
    """Which of them were used for the last frame."""
    points: np.ndarray
    """(M, 2) remembered obstacles."""
    here: np.ndarray
    """(3,) x, y, heading."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest frame as it was imagined or taken in."""

    latents: Tensor
    action: Tensor
    started: Tensor
    motion: Tensor
    condition: Tensor | None
    facts: Tensor | None = None
    rendering: Views | None = None
    """What memory showed: colour (B, V, 3, H, W), depth, valid and coarseness (B, V, H, W)."""
    sketch: Sketch | None = None
    """What was known, in the light of what was seen; of (B, V) views."""
    before: Tensor | None = None
    """(B, S) the state of the frame before."""


Conditions = dict[str, np.ndarray]
"""What is known of a frame beside its pose, by the names of `Episode.conditions`; in a batch each with a leading axis B."""
Keyframes = list[list[Keyframe | None]]
"""What is to be remembered of a step, for each session and camera; None where memory showed enough."""

T = TypeVar("T")


def done(value: T) -> Future[T]:
    """A future that has already come."""
    future: Future[T] = Future()
    future.set_result(value)
    return future


def flat_views(views: Views | None) -> Views | None:
    """Merge sessions and cameras into one axis."""
    if views is None:
        return None
    colour, depth, valid, coarseness = (x.flatten(0, 1) for x in views)
    return colour, depth, valid, coarseness


def flat_sketch(sketch: Sketch | None) -> Sketch | None:
    return None if sketch is None else sketch.map(lambda x: x.flatten(0, 1))


def members_of(sketch: Sketch, count: int) -> list[Sketch]:
    """The sketch of each of a batch of `count` sessions."""
    return [sketch.map(lambda x, i=i: x[i]) for i in range(count)]

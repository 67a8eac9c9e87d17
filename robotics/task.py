"""What a task is: the one contract of every robot environment, real or imagined.

Shape letters: V cameras, H height, W width, A action size, P proprioception, O objects, S = P + O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from core.errors import ZoetropeError

RATE = 10
"""Frames, and so actions, a second."""
HOLD = 5
"""Frames in a row that a goal must hold for an episode to be won: passing through is not enough."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What is seen and known at one moment."""

    frames: np.ndarray
    """uint8 (V, H, W, 3) RGB."""
    proprioception: np.ndarray
    """float32 (P,): what the robot knows of itself."""
    objects: np.ndarray | None = None
    """float32 (O,): where things are, which only a simulator knows; None where nobody does."""

    @property
    def state(self) -> np.ndarray:
        """float32 (S,): proprioception, then objects. Raises ZoetropeError when the objects are not known."""
        return np.concatenate([self.proprioception, self.known_objects])

    @property
    def known_objects(self) -> np.ndarray:
        """`objects`, or a ZoetropeError: this is no place for a policy that must know them."""
        if self.objects is None:
            raise ZoetropeError("this policy must know where the objects are, and here only pictures and the robot are known")
        return self.objects


class Outcome(NamedTuple):
    """What one step led to."""

    observation: Observation
    reward: float
    """1 in a frame in which the goal holds, else 0."""
    success: bool
    """Whether the goal has now held for HOLD frames in a row."""
    ended: bool
    """Whether the episode is over: won, or out of time."""


class Signature(NamedTuple):
    """What a task's numbers and pictures are called."""

    action: tuple[str, ...]
    proprioception: tuple[str, ...]
    objects: tuple[str, ...]
    cameras: tuple[str, ...]


class Task(Protocol):
    """An environment. Everything is decided by the seeds and actions it is given; actions lie in [-1, 1]."""

    name: str
    instruction: str
    """What is to be done, in words."""
    action_size: int
    proprioception_names: tuple[str, ...]
    object_names: tuple[str, ...]
    cameras: tuple[str, ...]
    horizon: int
    """Frames of the longest episode, the first included."""
    size: tuple[int, int]
    """Height and width of a frame."""

    @property
    def intrinsics(self) -> np.ndarray:
        """float32 (V, 3, 3) in pixels."""
        ...

    @property
    def poses(self) -> np.ndarray:
        """float32 (V, 4, 4): camera to world now, camera axes x right, y down, z forward."""
        ...

    def reset(self, seed: int) -> Observation:
        """Start afresh; the same seed gives the same start."""
        ...

    def step(self, action: np.ndarray) -> Outcome:
        """Apply one action (A,), clipped to [-1, 1], for 1 / RATE seconds."""
        ...

    def reached(self, observation: Observation) -> bool:
        """Whether the goal holds, from what is measured of a frame alone. ZoetropeError when the objects are not known."""
        ...

    def snapshot(self) -> Any:
        """The exact state, a value of its own: what follows `restore` is bit for bit what would have followed now."""
        ...

    def restore(self, snapshot: Any) -> Observation:
        """Go back (or over) to a state of the same task, and show it."""
        ...


def state_size(task: Task) -> int:
    """S: numbers in `Observation.state`."""
    return len(task.proprioception_names) + len(task.object_names)


def clipped(action: Any, size: int) -> np.ndarray:
    """An action as float64 (A,) in [-1, 1]. Raises ZoetropeError when it has another shape or is not finite."""
    values = np.asarray(action, np.float64)
    if values.shape != (size,):
        raise ZoetropeError(f"action: expected {size} numbers, found shape {values.shape}")
    if not np.isfinite(values).all():
        raise ZoetropeError("action: expected finite numbers, found NaN or infinity")
    return values.clip(-1, 1)

"""Drive a world with recorded actions and keep what it shows, beside what really happened.

Shape letters: B episodes that run as one batch, T imagined frames, V cameras, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from core.episodes.episode import Episode


class Session(Protocol):
    """What is measured of a live session (`core.streaming.session.Session`, or anything that behaves like it)."""

    rendering: np.ndarray | None
    timings: dict[str, float]
    number: int

    @property
    def held(self) -> dict[str, int]: ...
    def step(self, action: Any) -> Any: ...
    def fork(self) -> Any: ...
    def use(self, spatial: bool | None = None, packed: bool | None = None) -> None: ...


class World(Protocol):
    """What is measured of a world (`core.streaming.world.World`, or anything that behaves like it)."""

    def open(self, context: Any, seed: Any = 0) -> Any: ...
    def reconstruct(self, frames: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, slots=True)
class Dream:
    """What a batch of sessions showed."""

    frames: np.ndarray
    """uint8 (B, T, V, H, W, 3)."""
    rendering: np.ndarray | None
    """uint8 (B, T, V, H, W, 3): what memory alone showed; None for a world without spatial memory."""
    pose: np.ndarray | None
    """float32 (B, T, V, 4, 4): where the world believed its cameras to be."""


def play(session: Session, action: np.ndarray) -> Dream:
    """Imagine one frame for each of the actions (B, T, A) or (B, T); nothing real is shown on the way."""
    frames, renderings, poses = [], [], []
    for t in range(action.shape[1]):
        out = session.step(action[:, t])
        frames.append(out.frame)
        rendering = getattr(session, "rendering", None)
        if rendering is not None:
            renderings.append(rendering)
        if out.pose is not None:
            poses.append(out.pose)
    stack = lambda parts: np.stack(parts, 1) if parts else None  # noqa: E731
    return Dream(np.stack(frames, 1), stack(renderings), stack(poses))


def contexts(episodes: Sequence[Episode], length: int) -> list[Episode]:
    """The first `length` frames of each."""
    return [episode.window(0, length) for episode in episodes]


def actions(episodes: Sequence[Episode], start: int, count: int) -> np.ndarray:
    """What was done from frame `start` on, once for each of `count` frames to imagine: (B, count, ...).

    `action[t]` leads from frame t to t + 1, so the first frame after a context of `start` frames follows action[start - 1].
    """
    return np.stack([episode.action[start - 1 : start - 1 + count] for episode in episodes])


def real(episodes: Sequence[Episode], start: int, count: int) -> np.ndarray:
    """uint8 (B, count, V, H, W, 3) of what really followed."""
    return np.stack([episode.frames[start : start + count] for episode in episodes])

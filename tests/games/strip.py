"""A measurable world without a network: a walker on a ring sees a window of a painted strip.

Its dream remembers the columns it has seen and where; without memory it only knows the last frame. So every figure that an
evaluation reports has a known direction.
"""

from __future__ import annotations

import copy
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np

from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.streaming.frames import done

HEIGHT, WIDTH, ROUND = 24, 32, 240
UNIT = 8
"""Columns of the strip to a unit of length."""
STRIDE = 2
"""Columns a step."""


def strip(level: int) -> np.ndarray:
    """uint8 (HEIGHT, ROUND, 3)."""
    coarse = np.random.default_rng(level).integers(0, 255, (6, ROUND // 6, 3)).astype(np.uint8)
    return cv2.resize(coarse, (ROUND, HEIGHT), interpolation=cv2.INTER_CUBIC)


def view(picture: np.ndarray, column: int) -> np.ndarray:
    return picture[:, (column + np.arange(WIDTH)) % ROUND]


def pose(column: float) -> np.ndarray:
    out = np.eye(4, dtype=np.float32)
    out[0, 3] = column / UNIT
    return out


def episode(level: int, policy: str, frames: int = 240) -> Episode:
    """explore: random stretches; lap: out and back, twice; return: stay, far away, back and stay."""
    rng = np.random.default_rng((level, len(policy)))
    if policy == "explore":
        moves = np.repeat(rng.choice([-1, 0, 1, 1], frames), 6)[:frames]
    elif policy == "lap":
        moves = np.tile(np.repeat([1, -1], 36), 1 + frames // 72)[:frames]
    else:
        moves = np.concatenate([np.zeros(16), np.repeat([1, 0, -1], [50, 70, 50]), np.zeros(frames)])[:frames]
    columns = np.concatenate([[0], np.cumsum(moves * STRIDE)[:-1]]).astype(int)
    picture = strip(level)
    return Episode(
        frames=np.stack([view(picture, c) for c in columns])[:, None],
        action=np.stack([moves, np.zeros(frames)], -1).astype(np.float32),
        pose=np.stack([pose(c) for c in columns])[:, None],
        metadata={"level": str(level), "policy": policy},
    )


def record(folder: Path, levels: int = 3) -> None:
    """Two splits of a few short episodes."""
    for split, first in (("train", 100), ("test", 200)):
        store = EpisodeStore(folder / split)
        jobs = [(level, policy) for level in range(first, first + levels) for policy in ("explore", "lap", "return")]
        for index, (level, policy) in enumerate(jobs):
            store.write(index, episode(level, policy))


class StripSession:
    def __init__(self, contexts: list[Episode], single: bool):
        self.single, self.number, self.on = single, 0, True
        self.timings = {"memory": 0.1, "imagine": 0.2, "decode": 0.1}
        self.held = {"tokens": 1, "bytes": 1000, "keyframes": 1}
        self.rendering: np.ndarray | None = None
        self.columns, self.seen, self.last = [], [], []
        for context in contexts:
            assert context.pose is not None
            picture = np.full((HEIGHT, ROUND, 3), 128, np.uint8)
            columns = np.round(context.pose[:, 0, 0, 3] * UNIT).astype(int)
            for frame, column in zip(context.frames[:, 0], columns):
                picture[:, (column + np.arange(WIDTH)) % ROUND] = frame
            self.columns.append(int(columns[-1]))
            self.seen.append(picture)
            self.last.append(context.frames[-1, 0])
            self.number = len(context)

    def use(self, spatial: bool | None = None, packed: bool | None = None) -> None:
        self.on = bool(spatial)

    def fork(self) -> StripSession:
        return copy.deepcopy(self)

    def step(self, action: np.ndarray) -> SimpleNamespace:
        actions = np.asarray(action)[None] if self.single else action
        frames = []
        for b, moved in enumerate(np.sign(actions[:, 0]).astype(int)):
            self.columns[b] += STRIDE * int(moved)
            if not self.on:
                self.last[b] = np.roll(self.last[b], -STRIDE * int(moved), 1)
            frames.append(view(self.seen[b], self.columns[b]) if self.on else self.last[b])
        self.number += 1
        out, poses = np.stack(frames)[:, None], np.stack([pose(c) for c in self.columns])[:, None]
        self.rendering = out[0] if self.single else out
        if self.single:
            return SimpleNamespace(frame=out[0], pose=poses[0], depth=None, reward=0.0, terminated=False)
        return SimpleNamespace(
            frame=out, pose=poses, depth=None, reward=np.zeros(len(out)), terminated=np.zeros(len(out), bool)
        )

    def submit(self, action: np.ndarray) -> Future[SimpleNamespace]:
        return done(self.step(action))


class StripWorld:
    """What `World.load` would give."""

    config = SimpleNamespace(
        name="strip", height=HEIGHT, width=WIDTH, cameras=1, steps=1, action=SimpleNamespace(kind="continuous", size=2)
    )
    fingerprint = "strip"

    def __init__(self) -> None:
        self.opened = 0

    def open(self, context: Episode | list[Episode], seed: int | list[int] = 0) -> StripSession:
        self.opened += 1
        single = isinstance(context, Episode)
        return StripSession([context] if isinstance(context, Episode) else context, single)

    def reconstruct(self, frames: np.ndarray) -> np.ndarray:
        return np.clip(frames.astype(int) + 1, 0, 255).astype(np.uint8)

    def loss(self, window: Episode, shuffled: bool) -> float:
        return 2.0 if shuffled else 1.0

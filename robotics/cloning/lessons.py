"""What a policy is cloned from: demonstrations, recorded or generated, from any folder that holds episodes.

Shape letters as in `network`; T frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from robotics.lerobot import layout
from robotics.lerobot.demonstration import SIMULATED, Demonstration
from robotics.record import POLICY, PROPRIOCEPTION, SUCCESS


def read(folder: Path, policy: str | None = None) -> list[Demonstration]:
    """The demonstrations in a folder: our recordings, or a LeRobot v3.0 dataset in image mode.

    Episodes that say of themselves that they failed, or that another policy than `policy` made them, are left out. Raises
    ZoetropeError where nothing is left.
    """
    found = _dataset(folder) if (folder / layout.INFO).exists() else _recordings(folder)
    kept = [demonstration for demonstration in found if _wanted(demonstration.episode.metadata, policy)]
    if not kept:
        of = f" of policy '{policy}'" if policy else ""
        raise ZoetropeError(
            f"{folder}: no successful episode{of} here; record some with 'zoetrope record', or name other --data"
        )
    return kept


def choose(found: Sequence[Demonstration], count: int, seed: int) -> list[Demonstration]:
    """`count` demonstrations drawn by the seed; those of a smaller count are among those of a larger one."""
    if not 1 <= count <= len(found):
        raise ZoetropeError(f"--demos: expected 1 to {len(found)}, the demonstrations there are, found {count}")
    order = np.random.default_rng(seed).permutation(len(found))
    return [found[i] for i in order[:count]]


def new(found: Sequence[Demonstration], known: Sequence[Demonstration]) -> list[Demonstration]:
    """Those of `found` that are not among the `known`: a generated dataset may hold what it grew from."""
    return [d for d in found if not any(np.array_equal(d.episode.frames, k.episode.frames) for k in known)]


class LessonSampler:
    """Random frames and the chunk of actions done from there on, decided by (seed, step) alone."""

    def __init__(
        self,
        recorded: Sequence[Demonstration],
        generated: Sequence[Demonstration],
        *,
        chunk: int,
        generated_share: float,
        shift: int,
        seed: int,
    ):
        """Where there are generated demonstrations, `generated_share` of a batch comes from them.

        A picture is moved by up to `shift` pixels along either axis, its border repeated.
        """
        demonstrations = [*recorded, *generated]
        self.recorded = sum(len(d.episode) for d in recorded)
        """How many of the frames are; they come first."""
        self.shift, self.seed, self.generated_share = shift, seed, generated_share
        self.frames = np.concatenate([d.episode.frames for d in demonstrations])
        self.proprioception = np.concatenate([d.state for d in demonstrations])
        self.action = np.concatenate([_chunks(d.episode.action, chunk) for d in demonstrations])
        self.weight = np.concatenate([_weights(d.confidence, chunk) for d in demonstrations])

    def draw(self, step: int, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Frames uint8 (B, V, H, W, 3), proprioception (B, P), actions (B, C, A) and the weight (B, C) of each."""
        rng = np.random.default_rng((self.seed, step))
        rows = self._rows(rng, count)
        frames = np.stack([self._moved(frame, rng) for row in rows for frame in self.frames[row]])
        parts = (frames.reshape(count, *self.frames.shape[1:]), self.proprioception[rows], self.action[rows], self.weight[rows])
        return tuple(torch.from_numpy(part) for part in parts)  # type: ignore[return-value]

    def _rows(self, rng: np.random.Generator, count: int) -> np.ndarray:
        own, whole = self.recorded, len(self.frames)
        if own in (0, whole):
            return rng.integers(whole, size=count)
        return np.where(
            rng.random(count) < self.generated_share, rng.integers(own, whole, count), rng.integers(own, size=count)
        )

    def _moved(self, frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        down, right = rng.integers(-self.shift, self.shift + 1, 2)
        height, width = frame.shape[:2]
        rows, columns = (np.arange(height) + down).clip(0, height - 1), (np.arange(width) + right).clip(0, width - 1)
        return frame[rows[:, None], columns]


def _wanted(metadata: dict[str, str], policy: str | None) -> bool:
    failed = metadata.get(SUCCESS, "true") != "true"
    return not failed and (policy is None or metadata.get(POLICY, policy) == policy)


def _recordings(folder: Path) -> Iterator[Demonstration]:
    store = EpisodeStore(folder)
    if not store.indices():
        raise ZoetropeError(f"{folder}: neither recorded episodes nor a LeRobot dataset here")
    for episode in store:
        if PROPRIOCEPTION not in episode.conditions:
            raise ZoetropeError(f"{folder}: episodes without proprioception, which are no robot's")
        steps = len(episode)
        yield Demonstration(
            episode=episode,
            state=episode.conditions[PROPRIOCEPTION],
            source=SIMULATED,
            action_is_pseudo=np.zeros(steps, bool),
            confidence=np.ones(steps, np.float32),
        )


def _dataset(folder: Path) -> Iterator[Demonstration]:
    from robotics.lerobot.read import Dataset  # needs pyarrow

    dataset = Dataset(folder)
    return (dataset.read(number) for number in range(len(dataset)))


def _chunks(values: np.ndarray, chunk: int) -> np.ndarray:
    """(T, ...) -> (T, C, ...): each frame's and those after it, the last one repeated."""
    return values[_ahead(values, chunk).clip(max=len(values) - 1)]


def _weights(confidence: np.ndarray, chunk: int) -> np.ndarray:
    """(T,) -> (T, C): how far each action of a chunk counts; what lies beyond the episode's end does not."""
    return _chunks(confidence, chunk) * (_ahead(confidence, chunk) < len(confidence))


def _ahead(values: np.ndarray, chunk: int) -> np.ndarray:
    return np.arange(len(values))[:, None] + np.arange(chunk)

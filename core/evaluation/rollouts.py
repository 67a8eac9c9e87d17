"""What an accelerated world's rollouts keep of those of the plain world, on the same held-out episodes.

The *rollout score* of an episode is what its imagined frames are better than showing the last real frame for ever, in two ways:
in PSNR (dB), and in perceptual distance (`core.evaluation.metrics.perceptual`: oriented energy at four octaves). *Quality kept*
is the accelerated world's score over the plain one's, both summed over episodes, by whichever of the two measures keeps less.
PSNR alone likes a blur, which loses in perceptual distance; perceptual distance alone forgives what PSNR does not; a static
scene earns nothing in either. Episodes are paired, and drawn together for the interval.

Shape letters: B episodes that run as one batch, T imagined frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.episodes.episode import Episode
from core.evaluation import metrics
from core.evaluation.dream import contexts, real
from core.evaluation.intervals import Interval, statistic
from core.streaming.world import World

HORIZON = 16
"""Frames of a rollout."""


@dataclass(frozen=True, slots=True)
class Cases:
    """Held-out windows of equal length: some real frames, then what is to be imagined."""

    episodes: tuple[Episode, ...]
    groups: tuple[int, ...]
    """Windows of one recording resemble each other; the interval draws recordings."""
    context: int

    @staticmethod
    def cut(recordings: Sequence[Episode], count: int, context: int, horizon: int = HORIZON) -> Cases:
        """`count` windows, from as many recordings as there are, evenly spread within each."""
        length, episodes, groups = context + horizon, [], []
        usable = [r for r in recordings if len(r) >= length]
        for i in range(count if usable else 0):
            number, turn = i % len(usable), i // len(usable)
            recording, turns = usable[number], -(-(count - number) // len(usable))
            start = round(turn * (len(recording) - length) / max(1, turns - 1))
            episodes.append(recording.window(start, length))
            groups.append(number)
        return Cases(tuple(episodes), tuple(groups), context)


def rollout_scores(world: World, cases: Cases, steps: int) -> np.ndarray:
    """(B, 2) by how much each rollout beats showing the last real frame: in dB, and in perceptual distance."""
    episodes, start = cases.episodes, cases.context
    session = world.open(contexts(episodes, start), seed=list(range(len(episodes))))
    session.steps = steps
    shown = []
    for t in range(start, start + HORIZON):
        known = {name: np.stack([e.conditions[name][t] for e in episodes]) for name in world.config.conditions}
        shown.append(session.step(np.stack([e.action[t - 1] for e in episodes]), conditions=known or None).frame)
    truth = real(episodes, start, HORIZON)
    last = np.repeat(np.stack([e.frames[start - 1] for e in episodes])[:, None], HORIZON, 1)
    return _fidelity(np.stack(shown, 1), truth) - _fidelity(last, truth)


def quality_kept(accelerated: np.ndarray, plain: np.ndarray, groups: Sequence[int]) -> Interval:
    """Scores (B, 2) of both worlds -> the share that is kept, by the measure that keeps less, with its 95 % interval."""
    rows = np.concatenate([accelerated, plain], 1)
    found = statistic(rows, lambda total: (total[:, :2] / np.maximum(total[:, 2:], 1e-9)).min(1), groups)
    assert found is not None
    return found


def _fidelity(frames: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """uint8 (B, T, V, H, W, 3) twice -> (B, 2): mean PSNR and minus the mean perceptual distance."""
    count = frames.shape[:2]
    flat = frames.reshape(-1, *frames.shape[2:]), truth.reshape(-1, *truth.shape[2:])
    return np.stack([metrics.psnr(*flat).reshape(count).mean(1), -metrics.perceptual(*flat).reshape(count).mean(1)], 1)

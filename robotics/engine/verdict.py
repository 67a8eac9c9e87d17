"""Which generated episodes are kept: those that succeed, and whose frames, sensors, things and actions tell one story."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.episodes.episode import Episode
from core.evaluation.metrics import gradient_energy
from robotics.loop import CONTEXT, PLACES
from robotics.record import OBJECTS
from robotics.task import Task

Reason = Literal["failed", "differs", "jumps", "blurs", "contradicts", "unsure"]
REASONS: dict[Reason, str] = {
    "failed": "the goal was not reached",
    "differs": "MuJoCo does something else than was recorded",
    "jumps": "a thing moves further in a frame than any was seen to",
    "blurs": "its pictures lose, or gain, too much detail",
    "contradicts": "actions read back from it are not those that were sent",
    "unsure": "actions read back from it are too uncertain",
}
"""Why an episode is not kept, in words; the first that holds counts, in this order."""
SLACK = 0.005
"""Metres that a thing may go in a frame beyond the fastest that was seen: what a state is predicted to is not exact."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Where an episode stops being believed."""

    disagreement: float = 0.35
    """Most mean absolute difference between actions sent and read back; actions lie in [-1, 1]."""
    confidence: float = 0.3
    """Least mean confidence of the actions read back."""
    blur: float = 0.5
    """Detail of the last pictures over that of the first: least, and one over it the most."""
    speed: float = 1.5
    """How much faster a thing may go than the fastest of the demonstrations."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """What is looked at of an episode."""

    success: bool
    disagreement: float
    confidence: float
    detail: float
    """Gradient energy of its last pictures over its first."""
    leap: float
    """Metres that a thing goes in a frame at most; 0 where things are not known."""

    def reason(self, limits: Limits, fastest: float) -> Reason | None:
        """Why it is not kept, or None; `fastest` as from `leap` of the demonstrations."""
        if not self.success:
            return "failed"
        if self.leap > limits.speed * fastest + SLACK:
            return "jumps"
        if not limits.blur <= self.detail <= 1 / limits.blur:
            return "blurs"
        if self.disagreement > limits.disagreement:
            return "contradicts"
        return "unsure" if self.confidence < limits.confidence else None


def leap(episode: Episode, task: Task) -> float:
    """The furthest that a thing goes in a frame, metres along an axis."""
    if OBJECTS not in episode.conditions or len(episode) < 2:
        return 0.0
    places = [i for i, name in enumerate(task.object_names) if name.endswith(PLACES)]
    return float(np.abs(np.diff(episode.conditions[OBJECTS][:, places], axis=0)).max())


def fastest(demonstrations: Sequence[Episode], task: Task) -> float:
    """The furthest over all demonstrations."""
    return max(leap(episode, task) for episode in demonstrations)


def detail(frames: np.ndarray) -> float:
    """Gradient energy of the last CONTEXT frames of uint8 (T, V, H, W, 3) over that of the first."""
    first, last = (float(gradient_energy(part).mean()) for part in (frames[:CONTEXT], frames[-CONTEXT:]))
    return last / max(first, 1e-9)

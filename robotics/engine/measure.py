"""How good pseudo-actions are: against the true ones, and by what happens when MuJoCo does them instead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from core.episodes.episode import Episode
from core.errors import ZoetropeError
from core.evaluation.intervals import figure, mean, ratio
from robotics.engine.readers import ActionReader
from robotics.latent.inverse import TOLERANCE
from robotics.record import PROPRIOCEPTION, SEED
from robotics.task import HOLD, Task
from robotics.trust.rates import wilson


def pseudo_action_error(reader: ActionReader, episodes: Iterable[Episode]) -> dict[str, Any]:
    """Pseudo-actions against the true ones of held-out recordings; intervals resample whole episodes.

    `error` is the mean absolute error of a component (actions lie in [-1, 1]), `nothing` that of reading no motion at all;
    `within` is how often no component is further off than `tolerance`, which `confidence` claims to tell.
    """
    rows: list[np.ndarray] = []
    groups: list[np.ndarray] = []
    count = 0
    for count, episode in enumerate(episodes, 1):
        if len(episode) < 2:
            continue
        said, true = reader.read(episode.frames, episode.conditions[PROPRIOCEPTION]), episode.action[:-1]
        off = np.abs(said.action - true)
        right = (off <= TOLERANCE).all(1)
        rows.append(np.stack([off.mean(1), np.abs(true).mean(1), np.square(off).mean(1), right, said.confidence], 1))
        groups.append(np.full(len(true), count))
    if not rows:
        raise ZoetropeError("pseudo-actions: no episode of two frames or more to measure them on")
    error, nothing, squared, right, confidence = np.concatenate(rows).T
    by = np.concatenate(groups).tolist()
    return {
        "reader": reader.name,
        "episodes": count,
        "error": figure(mean(error, by)),
        "root_mean_square": float(np.sqrt(squared.mean())),
        "nothing": figure(mean(nothing, by)),
        "tolerance": TOLERANCE,
        "within": figure(mean(right, by)),
        "confidence": figure(mean(confidence, by)),
    }


def pseudo_action_replay(reader: ActionReader, episodes: Iterable[Episode], task: Task) -> dict[str, Any]:
    """Success of doing pseudo-actions in MuJoCo from the recordings' own starts, beside that of doing the true ones.

    Nothing is corrected on the way, and HOLD frames more than were recorded are allowed. `ratio` is the one over the other,
    pairs resampled together. `task` may go without pictures; recordings must say their seed.
    """
    both = []
    for episode in episodes:
        said = reader.read(episode.frames, episode.conditions[PROPRIOCEPTION])
        seed = seed_of(episode)
        both.append([replay(task, seed, said.action), replay(task, seed, episode.action[:-1])])
    if not both:
        raise ZoetropeError("pseudo-actions: no episodes to replay")
    pseudo, true = np.array(both, bool).T
    return {
        "reader": reader.name,
        "episodes": len(both),
        "pseudo": figure(wilson(int(pseudo.sum()), len(pseudo))),
        "true": figure(wilson(int(true.sum()), len(true))),
        "ratio": figure(ratio(pseudo, true)) if true.any() else None,
        "same_verdict": figure(wilson(int((pseudo == true).sum()), len(true))),
    }


def replay(task: Task, seed: int, actions: np.ndarray) -> bool:
    """Whether doing `actions` (T, A) from the start of `seed`, and then nothing for HOLD frames, succeeds."""
    task.reset(seed)
    rest = np.zeros((HOLD, task.action_size), np.float32)
    for action in np.concatenate([actions, rest]):
        _, _, success, ended = task.step(action)
        if ended:
            return success
    return False


def seed_of(episode: Episode) -> int:
    """The start of a recorded episode. Raises ZoetropeError where it does not say."""
    text = episode.metadata.get(SEED, "")
    if not text.isdigit():
        raise ZoetropeError("episode: its metadata names no seed, so its start cannot be played again")
    return int(text)

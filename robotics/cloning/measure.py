"""How often a policy succeeds in MuJoCo, from starts that no training saw."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from core.evaluation.intervals import Interval
from robotics.policies import Checked
from robotics.record import SUCCESS, record_episode, reset_seed
from robotics.task import Task
from robotics.trust.rates import wilson


def successes(
    policy: Checked, task: Task, episodes: int, first: int = 0, report: Callable[[int], None] | None = None
) -> np.ndarray:
    """bool (episodes,): who won from the starts `first` on of the test split, the same for every policy."""
    won = []
    for start in range(first, first + episodes):
        seed = reset_seed("test", start)
        won.append(record_episode(task, policy, seed, policy_seed=seed).metadata[SUCCESS] == "true")
        if report is not None:
            report(len(won))
    return np.array(won)


def rate(won: np.ndarray) -> Interval:
    """The share of wins with its 95 % interval."""
    return wilson(int(won.sum()), len(won))

"""What generated demonstrations are worth: a policy of few demonstrations and generated ones, against one of the few alone.

For every seed two policies are trained alike, on the same demonstrations, from the same first weights, for as many steps, and
play the same starts in MuJoCo. Every episode's result is kept as it comes: a run that was cut off goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from core.config import to_dict
from core.errors import ZoetropeError
from core.evaluation.intervals import RESAMPLES, Interval, figure
from core.evaluation.ledger import Ledger
from core.evaluation.provenance import provenance
from robotics import policies
from robotics.cloning import lessons
from robotics.cloning.measure import rate, successes
from robotics.cloning.train import CloneConfig, train
from robotics.lerobot.demonstration import Demonstration
from robotics.policies import CLONED
from robotics.task import Task

ALONE, WITH = "alone", "with_generated"
"""The two policies of a seed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GainPlan:
    """What is compared."""

    demonstrations: int = 20
    """Recorded ones, drawn by the seed; all there are where the folder holds no more."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    episodes: int = 50
    """Starts of the test split that every policy plays."""
    first: int = 0
    """The first start."""
    clone: CloneConfig = field(default_factory=CloneConfig)

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ZoetropeError("gain: seeds: expected different ones, at least one")
        if self.episodes < 1 or self.demonstrations < 1:
            raise ZoetropeError("gain: demonstrations and episodes must be at least 1")


def gain(
    task: Task,
    recorded: Sequence[Demonstration],
    generated: Sequence[Sequence[Demonstration]],
    plan: GainPlan,
    out: Path,
    progress: bool = True,
) -> dict[str, Any]:
    """All figures, ready for JSON. Policies and results go to `out`.

    `generated` is what was generated for each seed's demonstrations, or one list for all seeds.
    """
    if len(generated) not in (1, len(plan.seeds)) or not all(generated):
        raise ZoetropeError(f"gain: expected generated demonstrations once, or for each of {len(plan.seeds)} seeds")
    with tqdm(total=2 * len(plan.seeds) * plan.episodes, desc="gain", unit="episode", disable=not progress) as bar:
        rows = []
        for number, seed in enumerate(plan.seeds):
            few = lessons.choose(recorded, plan.demonstrations, seed)
            more = lessons.new(generated[number % len(generated)], few)
            if not more:
                raise ZoetropeError(f"gain: seed {seed}: nothing was generated beyond its demonstrations")
            rows.append([_won(task, arm, seed, few, added, plan, out, bar) for arm, added in ((ALONE, []), (WITH, more))])
    won = np.array(rows)
    return {
        "task": task.name,
        "plan": to_dict(plan),
        "generated": [len(each) for each in generated],
        "success": {arm: figure(rate(won[:, k].ravel())) for k, arm in enumerate((ALONE, WITH))},
        "by_seed": {arm: dict(zip(map(str, plan.seeds), won[:, k].mean(1).tolist())) for k, arm in enumerate((ALONE, WITH))},
        "gain": figure(paired_gain(won[:, 1], won[:, 0])),
        "independent_training_runs": 2 * len(plan.seeds),
        **provenance(),
    }


def paired_gain(a: np.ndarray, b: np.ndarray, draws: int = RESAMPLES, seed: int = 0) -> Interval:
    """Success of a less that of b, bool (S, E) both: the same seeds and starts.

    The interval resamples seeds and starts independently of each other (Owen 2007, arXiv 0706.3101); NaN bounds for one seed.
    """
    rng, off = np.random.default_rng(seed), a.astype(int) - b.astype(int)
    seeds, starts = off.shape
    rows, columns = (rng.multinomial(n, np.full(n, 1 / n), size=draws) for n in (seeds, starts))
    found = np.einsum("ds,se,de->d", rows, off, columns) / off.size  # counts first: they are exact
    low, high = np.percentile(found, [2.5, 97.5]) if seeds > 1 else (np.nan, np.nan)
    return Interval(float(off.mean()), float(low), float(high), off.size)


def _won(
    task: Task,
    arm: str,
    seed: int,
    few: Sequence[Demonstration],
    added: Sequence[Demonstration],
    plan: GainPlan,
    out: Path,
    bar: Any,
) -> np.ndarray:
    """bool (E,): train one policy and let it play; what was done before is only read."""
    folder = out / f"{arm}-{seed}"
    train(few, seed, folder, plan.clone, generated=added, progress=False)
    policy = policies.make(f"{CLONED}:{folder}", task)
    settings = {"run": policy.training_run, "task": task.name, "size": task.size}
    ledger = Ledger(out, f"{arm}-{seed}", settings)
    try:
        for start in range(plan.first, plan.first + plan.episodes):
            if str(start) not in ledger.rows:
                ledger.add(str(start), {"success": bool(successes(policy, task, 1, start)[0])})
            bar.update()
        return np.array([ledger.rows[str(start)]["success"] for start in range(plan.first, plan.first + plan.episodes)])
    finally:
        ledger.close()

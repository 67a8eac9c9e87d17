"""The whole account of how far the world's verdict on policies can be trusted, from one table of outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.evaluation.intervals import Interval, figure
from robotics.trust.calibration import Calibration, calibrate
from robotics.trust.judge import Agreement, Judge, agreement
from robotics.trust.outcomes import Outcomes
from robotics.trust.powered import Powered, powered
from robotics.trust.ranking import Ties
from robotics.trust.rates import paired_difference, wilson
from robotics.trust.resample import DRAWS, MINIMUM_POLICIES, Band, Resampled, noise_floor, statistics


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyTrust:
    """One policy in both worlds."""

    name: str
    training_run: str | None
    success_true: Interval
    """Success rate in MuJoCo, Wilson's interval."""
    success_world: Interval
    """The same in the generated world."""
    success_powered: Interval | None
    """True success rate from all generated and true rollouts together; None where no further ones were generated."""
    over_random_true: Interval | None
    """Success rate less that of the random policy on the same episodes; None without one."""
    over_random_world: Interval | None

    def as_dict(self) -> dict[str, Any]:
        intervals = ("success_true", "success_world", "success_powered", "over_random_true", "over_random_world")
        return {"training_run": self.training_run} | {name: figure(getattr(self, name)) for name in intervals}


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """Agreement of the generated world with MuJoCo; `measure` fills it."""

    policies: tuple[PolicyTrust, ...]
    pearson: Interval
    """Correlation of the policies' success rates; NaN for fewer than three policies, or all alike."""
    spearman: Interval
    mmrv: Interval
    """Mean maximum rank violation, 0 best."""
    ties: Ties
    """What a tie in the world is to MMRV."""
    noise_floor: dict[str, Band]
    """`pearson`, `spearman`, `mmrv` of a perfect world with the same sample."""
    bias: Interval
    """Mean over policies of success in the world less success in MuJoCo."""
    gap: Interval
    """Mean over policies of the same without its sign. Chance alone makes it more than zero."""
    calibration: Calibration | None
    """Of the judge's success probability in the world, against what MuJoCo did; None where no probability was told."""
    judge: Judge
    rollouts_saved: float | None
    """Share of true rollouts that the further generated ones save; None where there are none."""
    independent_training_runs: int
    episodes: int
    """Paired episodes of each policy."""
    random: str | None

    @property
    def within_noise_floor(self) -> dict[str, bool | None]:
        """Whether each figure is as good as chance lets a perfect world be, nine times in ten; None where not measured."""
        high = {name: getattr(self, name).value >= self.noise_floor[name].low for name in ("pearson", "spearman")}
        found = high | {"mmrv": self.mmrv.value <= self.noise_floor["mmrv"].high}
        return {name: bool(good) if np.isfinite(getattr(self, name).value) else None for name, good in found.items()}

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; None for what was not measured."""
        return {
            "pearson": figure(self.pearson),
            "spearman": figure(self.spearman),
            "mmrv": figure(self.mmrv),
            "mmrv_ties": self.ties,
            "noise_floor": {name: _shown(band) for name, band in self.noise_floor.items()},
            "within_noise_floor": self.within_noise_floor,
            "bias": figure(self.bias),
            "gap": figure(self.gap),
            "per_policy": {policy.name: policy.as_dict() for policy in self.policies},
            "policies": len(self.policies),
            "independent_training_runs": self.independent_training_runs,
            "episodes": self.episodes,
            "random": self.random,
            "calibration": self.calibration and self.calibration.as_dict(),
            "judge": self.judge.as_dict(),
            "rollouts_saved": self.rollouts_saved,
        }


def measure(
    outcomes: Outcomes,
    real: Agreement | None = None,
    replay: Agreement | None = None,
    ties: Ties = "simpler",
    draws: int = DRAWS,
    seed: int = 0,
) -> Trust:
    """All figures of `outcomes`. `real` and `replay`: the judge's agreements that need frames; closed loop is in the table."""
    resampled = Resampled.draw(outcomes, draws, seed)
    figures = {name: resampled.interval(statistic) for name, statistic in statistics(ties).items()}
    floor = noise_floor(outcomes.true.mean(1), outcomes.episodes, ties, draws, seed)
    if len(outcomes.policies) < MINIMUM_POLICIES:
        unknown = Interval(np.nan, np.nan, np.nan, len(outcomes.policies))
        figures, floor = dict.fromkeys(figures, unknown), dict.fromkeys(floor, Band(np.nan, np.nan, np.nan))
    together = None if outcomes.extra is None else powered(outcomes.true, outcomes.world, outcomes.extra)
    return Trust(
        policies=tuple(_policy(outcomes, together, row) for row in range(len(outcomes.policies))),
        **figures,
        ties=ties,
        noise_floor=floor,
        bias=resampled.interval(lambda world, true: (world - true).mean(-1)),
        gap=resampled.interval(lambda world, true: np.abs(world - true).mean(-1)),
        calibration=None if outcomes.predicted is None else calibrate(outcomes.predicted, outcomes.true),
        judge=Judge(real=real, replay=replay, closed_loop=agreement(outcomes.world, outcomes.true)),
        rollouts_saved=None if together is None else together.rollouts_saved,
        independent_training_runs=outcomes.independent_training_runs,
        episodes=outcomes.episodes,
        random=outcomes.random,
    )


def _policy(outcomes: Outcomes, together: Powered | None, row: int) -> PolicyTrust:
    name, true, world = outcomes.policies[row], outcomes.true[row], outcomes.world[row]
    combined = None
    if together is not None:
        combined = Interval(float(together.value[row]), float(together.low[row]), float(together.high[row]), len(true))
    reference = None if outcomes.random in (None, name) else outcomes.policies.index(outcomes.random)
    over = [None if reference is None else paired_difference(t[row], t[reference]) for t in (outcomes.true, outcomes.world)]
    return PolicyTrust(
        name=name,
        training_run=outcomes.training_runs[row] if outcomes.training_runs else None,
        success_true=wilson(int(true.sum()), len(true)),
        success_world=wilson(int(world.sum()), len(world)),
        success_powered=combined,
        over_random_true=over[0],
        over_random_world=over[1],
    )


def _shown(band: Band) -> dict[str, Any] | None:
    return {"mean": band.mean, "band90": [band.low, band.high]} if np.isfinite(band.mean) else None

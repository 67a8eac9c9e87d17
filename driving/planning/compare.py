"""Do planners rank in one world as they rank in another? Mean driving scores of P planners over S courses, and Spearman's rank
correlation between worlds with a bootstrap interval over courses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import ZoetropeError
from core.evaluation.correlation import spearman
from core.evaluation.intervals import Interval, statistic
from driving.planning.loop import Course, LoopResult, drive, goal
from driving.planning.planner import Factory
from driving.source.imager import Imager


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Driving scores of the same runs in two worlds."""

    planners: tuple[str, ...]
    courses: tuple[str, ...]
    ours: np.ndarray
    """float64 (P, S): driving scores in the world that is judged."""
    truth: np.ndarray
    """The same in the world that judges."""

    @property
    def correlation(self) -> Interval:
        """Spearman's rank correlation of the planners' means; courses resampled together for both worlds."""
        both = np.stack([self.ours, self.truth]).transpose(2, 0, 1)  # (S, 2, P)
        interval = statistic(both, lambda sums: spearman(sums[:, 0], sums[:, 1]))
        assert interval is not None
        return interval

    def as_dict(self) -> dict:
        """Figures ready for JSON."""
        found = self.correlation
        return {
            "loop_rank_correlation": {
                "value": found.value,
                "ci95": found.bounds,
                "planners": len(self.planners),
                "n": found.count,
            },
            "planners": {
                name: {"ours": float(a.mean()), "truth": float(b.mean())}
                for name, a, b in zip(self.planners, self.ours, self.truth)
            },
        }


def run_all(
    planners: Mapping[str, Factory],
    courses: Sequence[Course],
    imager: Imager,
    frames: int,
    report: Callable[[LoopResult], None] | None = None,
) -> np.ndarray:
    """Driving scores float64 (P, S) of all planners in all courses, in the world of `imager`; `report` is told each result."""
    out = np.zeros((len(planners), len(courses)))
    for s, course in enumerate(courses):
        reach = goal(course, frames)
        for p, (name, factory) in enumerate(planners.items()):
            result = drive(factory, name, course, imager, frames, reach=reach)
            out[p, s] = result.driving_score
            if report is not None:
                report(result)
    return out


def compare(
    planners: Mapping[str, Factory],
    courses: Sequence[Course],
    ours: Imager,
    truth: Imager,
    frames: int,
    report: Callable[[LoopResult], None] | None = None,
) -> Comparison:
    """The same runs in both worlds. Raises ZoetropeError for fewer than three planners or no course."""
    if len(planners) < 3 or not courses:
        raise ZoetropeError(f"compare: expected 3 planners or more and a scene, found {len(planners)} and {len(courses)}")
    names = tuple(course.name for course in courses)
    scores = [run_all(planners, courses, imager, frames, report) for imager in (ours, truth)]
    return Comparison(planners=tuple(planners), courses=names, ours=scores[0], truth=scores[1])

"""Is it the judge who errs, or the world? Its verdicts on success against MuJoCo's, at three steps away from real frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import ZoetropeError
from core.evaluation.intervals import Interval, figure
from robotics.trust.rates import wilson


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How often a verdict is the truth."""

    rate: Interval
    false_success: Interval
    """Of the true failures, those called success; NaN without a failure."""
    false_failure: Interval
    """Of the true successes, those called failure; NaN without a success."""
    chance: float
    """Agreement of one who always says what is commoner."""

    def as_dict(self) -> dict[str, Any]:
        figures = {"agreement": self.rate, "false_success": self.false_success, "false_failure": self.false_failure}
        return {name: figure(interval) for name, interval in figures.items()} | {"chance": self.chance}


def agreement(said: np.ndarray, truth: np.ndarray) -> Agreement:
    """Verdicts bool (...) against the truth bool (...), each an episode of its own for the interval."""
    if said.shape != truth.shape or said.size == 0:
        raise ZoetropeError(f"agreement: expected one truth a verdict, found {truth.shape} for {said.shape}")
    said, truth = said.astype(bool), truth.astype(bool)
    successes = int(truth.sum())
    return Agreement(
        rate=wilson(int((said == truth).sum()), truth.size),
        false_success=wilson(int((said & ~truth).sum()), truth.size - successes),
        false_failure=wilson(int((~said & truth).sum()), successes),
        chance=max(successes, truth.size - successes) / truth.size,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Judge:
    """Agreement with MuJoCo on real frames, on generated replays of recorded actions, and in closed loop; None: not measured.

    What is lost on real frames is the judge's own error; what a replay loses on top is how the world draws and moves things;
    what closed loop loses on top comes from policies that met other frames and did other things.
    """

    real: Agreement | None = None
    replay: Agreement | None = None
    closed_loop: Agreement | None = None

    def as_dict(self) -> dict[str, Any]:
        return {name: found and found.as_dict() for name, found in self._parts().items()} | {"error": self.errors()}

    def errors(self) -> dict[str, float]:
        """Share of wrong verdicts that each step adds: `judge`, `replay`, `closed_loop`, as far as all before are known."""
        added, before = {}, 1.0
        for name, found in zip(("judge", "replay", "closed_loop"), self._parts().values()):
            if found is None:
                break
            added[name] = before - found.rate.value
            before = found.rate.value
        return added

    def _parts(self) -> dict[str, Agreement | None]:
        return {"real": self.real, "replay": self.replay, "closed_loop": self.closed_loop}

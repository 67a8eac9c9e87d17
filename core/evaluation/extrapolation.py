"""Rollouts far longer than training windows: does a world, or a technique that lets it see more, hold out?

Rollouts are `MULTIPLES` of the training window long, and scored on the last window before each of these horizons: in PSNR, and
in structure (1 minus `core.evaluation.metrics.perceptual`). Techniques imagine the same episodes from the same noise, so what
they gain over the plain world is paired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.acceleration.catalog import Entry, accelerate
from core.errors import ZoetropeError
from core.evaluation import metrics
from core.evaluation.dream import contexts, real
from core.evaluation.intervals import Interval, difference, figure, mean
from core.evaluation.rollouts import Cases
from core.streaming.world import World

MULTIPLES = (1, 2, 4, 8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One stack; by horizon in frames."""

    stack: tuple[str, ...]
    psnr: dict[int, Interval]
    """dB."""
    structure: dict[int, Interval]
    """0 to 1."""
    gain: dict[int, Interval]
    """dB over the first stack, episode by episode."""
    fall: Interval
    """dB of the longest horizon over the trained one, episode by episode."""

    @property
    def holds(self) -> bool:
        """Whether the longest rollouts score no lower than the interval of those as long as the training window."""
        first, last = min(self.psnr), max(self.psnr)
        return self.psnr[last].value >= self.psnr[first].low and self.structure[last].value >= self.structure[first].low

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        parts = ("psnr", "structure", "gain")
        horizons = {str(h): {part: figure(getattr(self, part)[h]) for part in parts} for h in self.psnr}
        return {"stack": list(self.stack), "horizons": horizons, "fall": figure(self.fall), "holds": self.holds}


def extrapolate(
    load: Callable[[], World],
    cases: Cases,
    stacks: Sequence[Sequence[Entry]],
    window: int,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> list[Row]:
    """A row for each stack; the first, as a rule the empty one, is what the others are compared with.

    `window` is frames of a training window; the sessions' noise is of `seed` and the following; `say` hears what is measured
    next. Raises ZoetropeError for cases that are too short.
    """
    horizons = [window * multiple for multiple in MULTIPLES]
    if not cases.episodes or min(map(len, cases.episodes)) < cases.context + max(horizons):
        raise ZoetropeError(f"extrapolate: needs episodes of at least {cases.context + max(horizons)} frames")
    rows, baseline = [], None
    for stack in stacks:
        world = load()
        names = tuple(accelerate(world, stack).names) if stack else ()
        say(f"{'+'.join(names) or 'plain'}: {len(cases.episodes)} rollouts of {max(horizons)} frames")
        scores = _scores(world, cases, horizons, window, seed)
        baseline = scores if baseline is None else baseline
        rows.append(_row(names, scores, baseline, horizons, cases.groups))
    return rows


def _scores(world: World, cases: Cases, horizons: Sequence[int], window: int, seed: int) -> np.ndarray:
    """(B, horizons, 2): PSNR and structure, means over the last window before each horizon."""
    episodes, start = cases.episodes, cases.context
    session = world.open(contexts(episodes, start), seed=list(range(seed, seed + len(episodes))))
    truth, sums = real(episodes, start, max(horizons)), np.zeros((len(episodes), len(horizons), 2))
    for t in range(max(horizons)):
        at = start + t
        known = {name: np.stack([e.conditions[name][at] for e in episodes]) for name in world.config.conditions}
        frame = session.step(np.stack([e.action[at - 1] for e in episodes]), conditions=known or None).frame
        for column, horizon in enumerate(horizons):
            if horizon - window <= t < horizon:
                sums[:, column, 0] += metrics.psnr(frame, truth[:, t])
                sums[:, column, 1] += 1 - metrics.perceptual(frame, truth[:, t])
    return sums / window


def _row(
    names: tuple[str, ...], scores: np.ndarray, baseline: np.ndarray, horizons: Sequence[int], groups: Sequence[int]
) -> Row:
    def by(found: Callable[[int], Interval | None]) -> dict[int, Interval]:
        return {horizon: _known(found(column)) for column, horizon in enumerate(horizons)}

    return Row(
        stack=names,
        psnr=by(lambda c: mean(scores[:, c, 0], groups)),
        structure=by(lambda c: mean(scores[:, c, 1], groups)),
        gain=by(lambda c: difference(scores[:, c, 0].tolist(), baseline[:, c, 0].tolist(), groups)),
        fall=_known(difference(scores[:, -1, 0].tolist(), scores[:, 0, 0].tolist(), groups)),
    )


def _known(interval: Interval | None) -> Interval:
    assert interval is not None  # there is at least one episode, and every score is a number
    return interval

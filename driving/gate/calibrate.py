"""Setting the gate's limits on source scenes, and telling how often it then errs.

The limits of all checks have one tightness: so many spreads (median to the further of the 10th and 90th percentile) from the
median of clean scenes, the fewest with which the wanted share of clean scenes passes all checks. Scenes that set the detector's
expected rates set no limits, and the error rates come from scenes that did neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from core.config import to_dict
from core.episodes.episode import Episode
from core.errors import ZoetropeError
from core.evaluation import intervals
from core.evaluation.intervals import Interval
from core.files import write_text
from driving.gate import figures
from driving.gate.boxes import CLASSES
from driving.gate.checks import (
    AREAS,
    CHECKS,
    FIND_EVERY,
    Expectation,
    Limit,
    Measurement,
    Thresholds,
    judge,
    measure,
    size_band,
)
from driving.gate.corruptions import CORRUPTIONS
from driving.gate.detector import Detector
from driving.gate.score import find, match

ACCEPT = 0.975
"""Share of clean scenes that must pass."""
PRIOR = 10.0
"""Bodies' worth of the overall rate mixed into the rate of a class and size, which may be rare."""
_TIGHTNESS = np.geomspace(1.0, 30.0, 120)
_MARGIN = 1.1
"""Limits lie this much further out than the calibration scenes need."""


def expect(detector: Detector, scenes: Sequence[Episode]) -> Expectation:
    """What the detector finds in clean source scenes, at the score where precision and recall are best together (F1)."""
    if not scenes:
        raise ZoetropeError("gate: no source scenes to calibrate on; record some")
    found = [find(detector, scene, FIND_EVERY) for scene in scenes]
    matches = [match(f) for f in found]
    hit = np.concatenate([m.score[f.demanded] for f, m in zip(found, matches)])
    wrong = np.concatenate([f.detections.score[~m.right & ~m.ignored] for f, m in zip(found, matches)])
    levels = np.linspace(0.05, 0.9, 86)
    f1 = [2 * (hit >= s).sum() / max((hit >= s).sum() + (wrong >= s).sum() + len(hit), 1) for s in levels]
    score = float(levels[int(np.argmax(f1))])
    kind = np.concatenate([np.broadcast_to(f.boxes.kind[:, None], f.demanded.shape)[f.demanded] for f in found])
    band = size_band(np.concatenate([f.sight.area[f.demanded] for f in found]))
    good = (hit >= score).astype(float)
    overall = good.mean() if len(good) else 0.0
    rates = np.full((len(CLASSES), len(AREAS)), overall)
    for c in range(len(CLASSES)):
        of_class = (good[kind == c].sum() + PRIOR * overall) / ((kind == c).sum() + PRIOR)
        for b in range(len(AREAS)):
            at = (kind == c) & (band == b)
            rates[c, b] = (good[at].sum() + PRIOR * of_class) / (at.sum() + PRIOR)
    errors = [
        figures.overlap_error(s.frames, s.depth, s.pose, s.intrinsics)
        for s in scenes
        if s.pose is not None and s.intrinsics is not None
    ]
    known = [e for e in errors if e is not None]
    table = tuple(tuple(round(float(r), 4) for r in row) for row in rates)
    return Expectation(score=round(score, 3), rates=table, overlap=float(np.mean(known)) if known else 1.0)


def limits(clean: Sequence[Measurement], accept: float = ACCEPT) -> tuple[Limit, ...]:
    """The tightest limits that accept this share of clean scenes."""
    columns = {name: np.array([m.figures[name] for m in clean if m.figures[name] is not None], float) for name in CHECKS}
    for tightness in _TIGHTNESS:
        chosen = tuple(_limit(name, values, tightness) for name, values in columns.items() if len(values))
        passed = [_passes(m, chosen) for m in clean]
        if np.mean(passed) >= accept:
            return tuple(_limit(name, values, tightness * _MARGIN) for name, values in columns.items() if len(values))
    raise ZoetropeError("gate: clean scenes differ too much for any limits; calibrate on more of them")


def _limit(name: str, values: np.ndarray, tightness: float) -> Limit:
    low, median, high = np.percentile(values, [10, 50, 90])
    reach = max(float(tightness * max(high - median, median - low)), CHECKS[name].slack)
    side = CHECKS[name].side
    return Limit(
        check=name,
        low=round(float(median) - reach, 4) if side in ("low", "both") else None,
        high=round(float(median) + reach, 4) if side in ("high", "both") else None,
    )


def _passes(measurement: Measurement, chosen: tuple[Limit, ...]) -> bool:
    values = [(measurement.figures[limit.check], limit) for limit in chosen]
    return all(
        v is None or ((limit.low is None or v >= limit.low) and (limit.high is None or v <= limit.high)) for v, limit in values
    )


def calibrate(detector: Detector, scenes: Sequence[Episode], progress: bool = False) -> Thresholds:
    """Expected rates from every other source scene, limits from the rest."""
    from tqdm import tqdm

    expectation = expect(detector, scenes[::2])
    rest = tqdm(scenes[1::2] or scenes, desc="calibrate", unit="scene", disable=not progress)
    return Thresholds(expectation=expectation, limits=limits([measure(s, detector, expectation) for s in rest]))


def error_rates(
    detector: Detector, thresholds: Thresholds, scenes: Sequence[Episode], seed: int = 0
) -> dict[str, Interval | None]:
    """On clean scenes that set no limits: `false_reject`, and for each corruption the share that is accepted all the same."""

    def accepted(episode: Episode) -> float:
        return float(judge(measure(episode, detector, thresholds.expectation), thresholds).accepted)

    out = {"false_reject": intervals.mean([1 - accepted(scene) for scene in scenes])}
    for number, (name, corrupt) in enumerate(CORRUPTIONS.items()):
        generators = [np.random.default_rng((seed, number, i)) for i in range(len(scenes))]
        out[name] = intervals.mean([accepted(corrupt(scene, rng)) for scene, rng in zip(scenes, generators)])
    return out


def save(thresholds: Thresholds, path: Path) -> None:
    """Write `thresholds` as YAML that `Thresholds.load` reads."""
    write_text(path, yaml.safe_dump(to_dict(thresholds), sort_keys=False))

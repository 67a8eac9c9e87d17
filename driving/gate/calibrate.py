"""Setting the gate's limits on source scenes, and telling how often it then errs.

The limits of all checks have one tightness: so many spreads (median to the further of the 10th and 90th percentile) from the
median of clean scenes, the fewest with which the wanted share of clean scenes passes all checks. No scene is held against rates
that it helped to set (cross-fitting), and the error rates come from scenes that set nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from core.config import to_dict
from core.episodes.episode import Episode
from core.errors import ZoetropeError
from core.evaluation import intervals
from core.evaluation.intervals import Interval
from core.files import write_text
from driving.gate.boxes import CLASSES
from driving.gate.checks import (
    AREAS,
    CHECKS,
    Expectation,
    Limit,
    Measurement,
    Observation,
    Thresholds,
    assess,
    judge,
    measure,
    observe,
    size_band,
)
from driving.gate.corruptions import CORRUPTIONS
from driving.gate.detector import Detector
from driving.gate.score import match, strays

ACCEPT = 0.975
"""Share of clean scenes that must pass."""
FOLDS = 5
STRAYS = 0.01
"""Things in a clean picture that may be taken for bodies that were not told."""
PRIOR = 10.0
"""Bodies' worth of the overall rate mixed into the rate of a class and size, which may be rare."""
_LEVELS = np.linspace(0.05, 0.95, 91)
_TIGHTNESS = np.geomspace(1.0, 30.0, 120)
_MARGIN = 1.1
"""Limits lie this much further out than the calibration scenes need."""


def expect(scenes: Sequence[Observation]) -> Expectation:
    """What the detector finds in clean source scenes, at the score where precision and recall are best together (F1)."""
    found = [scene.found for scene in scenes]
    matches, masks = [match(f) for f in found], [f.demanded for f in found]
    hit = np.concatenate([m.score[mask] for m, mask in zip(matches, masks)])
    wrong = np.concatenate([f.detections.score[~m.right & ~m.ignored] for f, m in zip(found, matches)])
    f1 = [2 * (hit >= s).sum() / max((hit >= s).sum() + (wrong >= s).sum() + len(hit), 1) for s in _LEVELS]
    score = float(_LEVELS[int(np.argmax(f1))])
    stray = np.concatenate([f.detections.score[strays(f)] for f in found])
    pictures = sum(len(mask) * f.cameras for f, mask in zip(found, masks))
    sure = next((float(s) for s in _LEVELS if s >= score and (stray >= s).sum() <= STRAYS * pictures), float(_LEVELS[-1]))
    kind = np.concatenate([np.broadcast_to(f.boxes.kind[:, None], mask.shape)[mask] for f, mask in zip(found, masks)])
    band = size_band(np.concatenate([f.sight.area[mask] for f, mask in zip(found, masks)]))
    errors = [scene.overlap for scene in scenes if scene.overlap is not None]
    return Expectation(
        score=round(score, 3),
        sure=round(sure, 3),
        rates=_rates((hit >= score).astype(float), kind, band),
        overlap=round(float(np.mean(errors)), 6) if errors else 1.0,
    )


def _rates(good: np.ndarray, kind: np.ndarray, band: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """Share found, class by size band; where there are few, mixed with the class's and that with all bodies'."""
    overall = good.mean() if len(good) else 0.0
    rows = []
    for c in range(len(CLASSES)):
        of_class = (good[kind == c].sum() + PRIOR * overall) / ((kind == c).sum() + PRIOR)
        cells = [good[(kind == c) & (band == b)] for b in range(len(AREAS))]
        rows.append(tuple(round(float((cell.sum() + PRIOR * of_class) / (len(cell) + PRIOR)), 4) for cell in cells))
    return tuple(rows)


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
    """Expected rates and limits from clean source scenes, of which it takes two at the very least."""
    if len(scenes) < 2:
        raise ZoetropeError(f"gate: {len(scenes)} source scenes to calibrate on; record more")
    seen = [observe(s, detector) for s in tqdm(scenes, desc="calibrate", unit="scene", disable=not progress)]
    folds = min(FOLDS, len(seen))
    clean = []
    for fold in range(folds):
        usual = expect([s for i, s in enumerate(seen) if i % folds != fold])
        clean += [assess(s, usual) for s in seen[fold::folds]]
    return Thresholds(expectation=expect(seen), limits=limits(clean))


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

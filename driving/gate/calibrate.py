"""Setting the gate's limits on source scenes, and telling how often it then errs.

A limit lies a margin beyond the most extreme clean scene. The few scenes that may be rejected are those without which the
limits become tightest. No scene is held against rates that it helped to set (cross-fitting), and the error rates come from
scenes that set nothing.
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
"""Parts of the clean scenes of which each is held against the rates of the others."""
STRAYS = 0.01
"""Things in a clean picture that may be taken for bodies that were not told."""
PRIOR = 10.0
"""Bodies' worth of the overall rate mixed into the rate of a class and size, which may be rare."""
MARGIN = 0.25
"""Room for scenes that were not seen, as a share of the way from the median to the most extreme scene."""
_LEVELS = np.linspace(0.05, 0.95, 91)


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
    kept = [m.figures for m in clean]
    for _ in range(int((1 - accept) * len(clean))):
        fewer = [kept[:i] + kept[i + 1 :] for i in range(len(kept))]
        kept = min(fewer, key=lambda scenes: sum(np.log(reach) for reach in _reaches(scenes).values()))
    reaches, out = _reaches(kept), []
    for name in CHECKS:
        values = _values(kept, name)
        if len(values):
            low, high = (reaches.get((name, side)) for side in ("low", "high"))
            middle = float(np.median(values))
            out.append(
                Limit(
                    check=name,
                    low=None if low is None else round(middle - low, 4),
                    high=None if high is None else round(middle + high, 4),
                )
            )
    return tuple(out)


def _values(scenes: Sequence[dict[str, float | None]], name: str) -> np.ndarray:
    return np.array([v for scene in scenes if (v := scene[name]) is not None], float)


def _reaches(scenes: Sequence[dict[str, float | None]]) -> dict[tuple[str, str], float]:
    """How far each limit lies from the median of these scenes, by check and side."""
    out = {}
    for name, check in CHECKS.items():
        values = _values(scenes, name)
        if len(values):
            middle = np.median(values)
            for side, furthest in (("low", middle - values.min()), ("high", values.max() - middle)):
                if check.side in (side, "both"):
                    out[name, side] = max(float(furthest) * (1 + MARGIN), check.slack)
    return out


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

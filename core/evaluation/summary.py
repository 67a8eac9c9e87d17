"""From one row an episode to the figures of a world: means over held-out episodes with 95 % intervals, levels resampled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from core.evaluation import intervals
from core.evaluation.intervals import Interval
from core.evaluation.probe import balanced_accuracy

Row = dict[str, Any]
SHARPNESS_WINDOW = 4
"""Frames, up to and with the horizon, whose gradient energy is added up."""


class Summary:
    """Collects figures and, under the same names, their intervals."""

    def __init__(self, seed: int):
        self.seed = seed
        self.figures: dict[str, Any] = {}
        self.intervals: dict[str, Any] = {}

    def put(self, name: str, interval: Interval | None) -> None:
        self.figures[name] = None if interval is None else interval.value
        self.intervals[name] = None if interval is None else interval.bounds

    def put_horizons(self, name: str, by_horizon: dict[str, Interval | None]) -> None:
        measured = {h: i for h, i in by_horizon.items() if i is not None}
        self.figures[name] = {h: i.value for h, i in measured.items()} or None
        self.intervals[name] = {h: i.bounds for h, i in measured.items()} or None


def summarize(rows: dict[str, list[Row]], horizons: Sequence[int], seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """`rows` by protocol ("rollout", "tour", "return", "stability") -> (figures, intervals); what was not measured is None."""
    out = Summary(seed)
    _rollouts(out, rows["rollout"], horizons)
    _tours(out, rows["tour"], horizons)
    _returns(out, rows["return"])
    _actions(out, rows["rollout"])
    _stability(out, rows["stability"])
    tokens = [list(row["psnr_ceiling"].values()) for row in rows["rollout"] + rows["tour"]]
    labels = _levels(rows["rollout"] + rows["tour"])
    out.put("tokenizer_psnr_db", intervals.mean([float(np.mean(t)) for t in tokens], labels, seed))
    out.figures["episodes"] = len(rows["rollout"])
    out.figures["episodes_by_protocol"] = {name: len(found) for name, found in rows.items()}
    out.figures["curves"] = {"rollout": _curves(rows["rollout"], seed), "tour": _curves(rows["tour"], seed)}
    return out.figures, out.intervals


def _rollouts(out: Summary, rows: list[Row], horizons: Sequence[int]) -> None:
    for suffix in ("", "_repeat", "_ceiling", "_rendering", "_no_memory"):
        for metric, unit in (("psnr", "_db"), ("ssim", ""), ("perceptual", "")):
            out.put_horizons(f"{metric}{suffix}{unit}", _means(rows, f"{metric}{suffix}", horizons, out.seed))
    for other in ("repeat", "no_memory", "rendering"):
        out.put_horizons(f"psnr_over_{other}_db", _differences(rows, "psnr", f"psnr_{other}", horizons, out.seed))
    _sharpness(out, rows, horizons, "sharpness_ratio", "sharpness_ceiling_ratio")
    errors: dict[str, dict[str, float]] = {}
    bounds: dict[str, dict[str, list[float]]] = {}
    for h in horizons:
        for name, curve in (("distance", "camera_distance_curve"), ("degrees", "camera_degrees_curve")):
            found = [row[curve][h - 1] if h <= len(row.get(curve, ())) else np.nan for row in rows]
            interval = intervals.mean(found, _levels(rows), out.seed)
            if interval is not None:
                errors.setdefault(str(h), {})[name] = interval.value
                bounds.setdefault(str(h), {})[name] = interval.bounds
    out.figures["camera_error"], out.intervals["camera_error"] = errors or None, bounds or None


def _tours(out: Summary, rows: list[Row], horizons: Sequence[int]) -> None:
    for row in rows:
        curve = row["psnr_repeat_curve"]
        row["psnr_repeat"] = {str(h): curve[h - 1] for h in horizons if h <= len(curve)}
    for suffix in ("", "_repeat", "_ceiling"):
        out.put_horizons(f"psnr_tour{suffix}_db", _means(rows, f"psnr{suffix}", horizons, out.seed))
    out.put_horizons("psnr_tour_over_repeat_db", _differences(rows, "psnr", "psnr_repeat", horizons, out.seed))
    out.put_horizons("psnr_tour_under_ceiling_db", _differences(rows, "psnr_ceiling", "psnr", horizons, out.seed))
    out.put_horizons("perceptual_tour", _means(rows, "perceptual", horizons, out.seed))
    for name in ("right_place", "right_place_real", "right_place_repeat"):
        out.put_horizons(name, _means(rows, name, horizons, out.seed))
    _sharpness(out, rows, horizons, "sharpness_tour_ratio", "sharpness_tour_ceiling_ratio")


def _returns(out: Summary, rows: list[Row]) -> None:
    levels = _levels(rows)
    for name in ("", "_no_memory", "_repeat", "_ceiling", "_rendering"):
        out.put(f"return_psnr{name}_db", intervals.mean(_column(rows, f"psnr_return{name}"), levels, out.seed))
    for name in ("", "_no_memory"):
        out.put(f"return_perceptual{name}", intervals.mean(_column(rows, f"perceptual_return{name}"), levels, out.seed))
    with_memory, without = _column(rows, "psnr_return"), _column(rows, "psnr_return_no_memory")
    out.put("return_memory_gain_db", intervals.difference(with_memory, without, levels, out.seed))
    out.figures["return_away_frames"] = float(np.mean([row["away_frames"] for row in rows])) if rows else None


def _actions(out: Summary, rows: list[Row]) -> None:
    read = [row for row in rows if "actions_read" in row]
    counts = {name: np.array([row[key] for row in read]) for name, key in _READ}
    for name, found in counts.items():
        interval = intervals.statistic(found, balanced_accuracy, _levels(read), out.seed) if read else None
        out.put(name, interval)
    both = np.stack(list(counts.values()), 1) if read else None
    ratio = lambda x: balanced_accuracy(x[:, 0]) / np.maximum(balanced_accuracy(x[:, 1]), 1e-9)  # noqa: E731
    out.put("action_following_ratio", None if both is None else intervals.statistic(both, ratio, _levels(read), out.seed))
    parts = None if both is None else both.sum(0)
    out.figures["action_following_parts"] = None if parts is None else [_nan_list(balanced_accuracy(p[:, None])) for p in parts]
    shuffled, plain = _column(rows, "loss_shuffled"), _column(rows, "loss")
    out.put("shuffled_action_loss_ratio", intervals.ratio(shuffled, plain, _levels(rows), out.seed))


_READ = (("action_following", "actions_read"), ("action_following_real", "actions_read_real"))


def _stability(out: Summary, rows: list[Row]) -> None:
    out.figures["stability"] = rows or None
    out.figures["stable"] = None if not rows else not any(row["frozen"] or row["collapsed"] for row in rows)
    out.put("idle_psnr_db", intervals.mean(_column(rows, "idle_psnr_db"), None, out.seed))


def _sharpness(out: Summary, rows: list[Row], horizons: Sequence[int], name: str, ceiling: str) -> None:
    ratios: dict[str, Interval | None] = {}
    ceilings: dict[str, Interval | None] = {}
    for h in horizons:
        kept = [row for row in rows if h <= len(row["energy_curve"])]
        if not kept:
            continue
        window = slice(max(0, h - SHARPNESS_WINDOW), h)
        top, bottom = ([float(np.sum(row[key][window])) for row in kept] for key in ("energy_curve", "energy_real_curve"))
        ratios[str(h)] = intervals.ratio(top, bottom, _levels(kept), out.seed)
        top, bottom = [row["energy_ceiling"][str(h)] for row in kept], [row["energy_real_curve"][h - 1] for row in kept]
        ceilings[str(h)] = intervals.ratio(top, bottom, _levels(kept), out.seed)
    out.put_horizons(name, ratios)
    out.put_horizons(ceiling, ceilings)


def _means(rows: list[Row], name: str, horizons: Sequence[int], seed: int) -> dict[str, Interval | None]:
    values = {str(h): [row.get(name, {}).get(str(h), np.nan) for row in rows] for h in horizons}
    return {h: intervals.mean(v, _levels(rows), seed) for h, v in values.items()}


def _differences(rows: list[Row], name: str, other: str, horizons: Sequence[int], seed: int) -> dict[str, Interval | None]:
    get = lambda key, h: [row.get(key, {}).get(str(h), np.nan) for row in rows]  # noqa: E731
    return {str(h): intervals.difference(get(name, h), get(other, h), _levels(rows), seed) for h in horizons}


def _curves(rows: list[Row], seed: int) -> dict[str, Any]:
    """Frame by frame: mean, low and high of each PSNR curve, as long as every episode goes."""
    names = {
        "dream": "psnr_curve",
        "repeat": "psnr_repeat_curve",
        "memory alone": "psnr_rendering_curve",
        "no memory": "psnr_no_memory_curve",
    }
    curves: dict[str, Any] = {}
    for label, key in names.items():
        found = [row[key] for row in rows if row.get(key)]
        if not found:
            continue
        length = min(map(len, found))
        levels = _levels([row for row in rows if row.get(key)])
        points = [intervals.mean([curve[t] for curve in found], levels, seed) for t in range(length)]
        curves[label] = {k: [round(getattr(p, k), 3) for p in points if p is not None] for k in ("value", "low", "high")}
    return curves


def _column(rows: Iterable[Row], name: str) -> list[float]:
    return [np.nan if row.get(name) is None else float(row[name]) for row in rows]


def _levels(rows: Iterable[Row]) -> list[str]:
    return [row.get("level", "") for row in rows]


def _nan_list(values: np.ndarray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in np.atleast_1d(values)]

"""Least, greatest, mean and spread of every column, as LeRobot normalizes by them: of an episode, and of many together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Stats = dict[str, dict[str, list]]
"""Column -> `min`, `max`, `mean`, `std`, each a (nested) list of the column's size, and `count`, one number in a list."""
_BRIGHTNESS = np.arange(256) / 255.0


def of_images(frames: np.ndarray) -> dict[str, list]:
    """Of uint8 (T, H, W, 3), over all pixels, a channel each, scaled to [0, 1]: lists of shape (3, 1, 1)."""
    out: dict[str, list] = {"min": [], "max": [], "mean": [], "std": []}
    for channel in range(3):
        histogram = np.bincount(frames[..., channel].ravel(), minlength=256)  # exact, and small where frames are many
        held, weights = _BRIGHTNESS[histogram > 0], histogram / histogram.sum()
        mean = float(weights @ _BRIGHTNESS)
        figures = {"min": held[0], "max": held[-1], "mean": mean, "std": np.sqrt(weights @ (_BRIGHTNESS - mean) ** 2)}
        for name, value in figures.items():
            out[name].append([[float(value)]])
    return out | {"count": [len(frames)]}


def of_numbers(values: np.ndarray) -> dict[str, list]:
    """Of numbers or booleans (T,) or (T, N), over time: lists of N, or of one."""
    rows = values.reshape(len(values), -1).astype(np.float64)
    figures = {"min": rows.min(0), "max": rows.max(0), "mean": rows.mean(0), "std": rows.std(0)}
    return {name: found.tolist() for name, found in figures.items()} | {"count": [len(rows)]}


def together(parts: Sequence[Stats]) -> Stats:
    """Of all episodes, from those of each (Chan et al. 1979): exactly what all frames at once would give."""
    return {name: _merged([part[name] for part in parts]) for name in parts[0]}


def _merged(parts: Sequence[dict[str, list]]) -> dict[str, list]:
    least, greatest, means, spreads = (np.array([p[name] for p in parts]) for name in ("min", "max", "mean", "std"))
    counts = np.array([p["count"][0] for p in parts])
    weights = (counts / counts.sum()).reshape(-1, *(1,) * (means.ndim - 1))
    mean = (weights * means).sum(0)
    std = np.sqrt((weights * (spreads**2 + (means - mean) ** 2)).sum(0))
    figures = {"min": least.min(0), "max": greatest.max(0), "mean": mean, "std": std}
    return {name: found.tolist() for name, found in figures.items()} | {"count": [int(counts.sum())]}

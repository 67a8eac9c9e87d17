"""Polylines on the ground: float64 (N, 2) arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from shapely.geometry import LineString, Polygon

STEP = 1.0
"""Metres between the points of a lane's centre."""


def resample(line: np.ndarray, step: float = STEP) -> np.ndarray:
    """The same line with points about `step` apart; its ends stay as they are."""
    along = lengths(line)
    count = max(int(round(along[-1] / step)), 1) + 1
    at = np.linspace(0, along[-1], count)
    out = np.stack([np.interp(at, along, line[:, 0]), np.interp(at, along, line[:, 1])], 1)
    out[0], out[-1] = line[0], line[-1]
    return out


def lengths(line: np.ndarray) -> np.ndarray:
    """(N,) metres from the beginning to each point."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])


def headings(line: np.ndarray) -> np.ndarray:
    """(N,) direction at each point, without jumps of a full turn: that of the chord between its neighbours."""
    chord = np.empty_like(line)
    chord[1:-1] = line[2:] - line[:-2]
    chord[0], chord[-1] = line[1] - line[0], line[-1] - line[-2]
    return np.unwrap(np.arctan2(chord[:, 1], chord[:, 0]))


def offset(line: np.ndarray, left: float) -> np.ndarray:
    """The line beside it, `left` metres to the left (negative: to the right)."""
    yaw = headings(line)
    return line + left * np.stack([-np.sin(yaw), np.cos(yaw)], 1)


def direction(yaw: float) -> np.ndarray:
    """(2,) the unit vector."""
    return np.array([math.cos(yaw), math.sin(yaw)])


def bent(start: np.ndarray, yaw: float, bends: Sequence[tuple[float, float]]) -> np.ndarray:
    """A line from `start` in direction `yaw` through bends of (metres, radians turned), each with smooth ends.

    Within a bend the curvature follows a sine's half wave squared, so that it is zero where bends meet.
    """
    step = 0.25
    turns = [np.zeros(1)]
    for metres, radians in bends:
        t = np.linspace(0, 1, max(int(metres / step), 2) + 1)[1:]
        turns.append(turns[-1][-1] + radians * (t - np.sin(2 * np.pi * t) / (2 * np.pi)))
    total = sum(metres for metres, _ in bends)
    heading = yaw + np.concatenate(turns)
    middle = (heading[1:] + heading[:-1]) / 2
    ds = total / len(middle)
    moves = np.stack([np.cos(middle), np.sin(middle)], 1) * ds
    return resample(np.concatenate([[start], start + np.cumsum(moves, 0)]))


def joined(start: np.ndarray, yaw: float, end: np.ndarray, end_yaw: float, radius: float) -> np.ndarray:
    """A smooth line between two poses: straight, an arc of at most `radius`, straight; a Bezier curve where the two
    directions do not meet ahead."""
    a, b = direction(yaw), direction(end_yaw)
    gap = end - start
    turn = math.remainder(end_yaw - yaw, math.tau)
    cross = a[0] * b[1] - a[1] * b[0]
    if abs(turn) > math.radians(20):
        before, after = (gap[0] * b[1] - gap[1] * b[0]) / cross, (a[0] * gap[1] - a[1] * gap[0]) / cross
        if before > 0 and after > 0:
            tangent = min(before, after, radius * math.tan(abs(turn) / 2))
            r = tangent / math.tan(abs(turn) / 2)
            enter = start + a * (before - tangent)
            side = math.copysign(1.0, turn)
            centre = enter + side * r * np.array([-a[1], a[0]])
            swept = yaw - side * math.pi / 2 + np.linspace(0, turn, max(int(abs(turn) * r / 0.25), 2))
            arc = centre + r * np.stack([np.cos(swept), np.sin(swept)], 1)
            return resample(_distinct(np.concatenate([[start], arc, [end]])))
    handle = 0.4 * float(np.hypot(*gap))
    return resample(bezier(start, start + a * handle, end - b * handle, end))


def bezier(p0: np.ndarray, p1: np.ndarray, p2: np.ndarray, p3: np.ndarray) -> np.ndarray:
    """A cubic Bezier curve."""
    t = np.linspace(0, 1, 64)[:, None]
    return (1 - t) ** 3 * p0 + 3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t**2 * p2 + t**3 * p3


def band(line: np.ndarray, left: float, right: float) -> Polygon:
    """What lies between two lines beside it (left of it positive)."""
    return Polygon(np.concatenate([offset(line, left), offset(line, right)[::-1]]))


def part(line: np.ndarray, begin: float, end: float) -> np.ndarray:
    """Its stretch between two distances from the beginning."""
    along = lengths(line)
    inner = (along > begin + 1e-6) & (along < end - 1e-6)
    ends = np.array([[np.interp(s, along, line[:, 0]), np.interp(s, along, line[:, 1])] for s in (begin, end)])
    return np.concatenate([ends[:1], line[inner], ends[1:]])


def pieces(geometry) -> list[np.ndarray]:
    """The lines of a shapely geometry made of lines."""
    if geometry.is_empty:
        return []
    parts = [geometry] if isinstance(geometry, LineString) else list(geometry.geoms)
    return [np.array(p.coords) for p in parts if isinstance(p, LineString) and p.length > 0.05]


def _distinct(line: np.ndarray) -> np.ndarray:
    """Without points that repeat."""
    keep = np.concatenate([[True], np.hypot(*np.diff(line, axis=0).T) > 1e-6])
    if not keep[-1]:
        keep[-2:] = False, True
    return line[keep]

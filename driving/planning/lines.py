"""Places along a line of points (M, 2), such as a route, and beside it."""

from __future__ import annotations

import numpy as np

from driving.road.lines import lengths
from driving.road.query import project as project_points


def project(line: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Metres along the line (M, 2), and to the left of it, of the places on it that are nearest to points (..., 2).

    Its ends go straight on: what lies before or beyond gets less than 0 or more than its length.
    """
    points = np.asarray(points, float)
    along, left = project_points(line, lengths(line), points.reshape(-1, 2))
    return along.reshape(points.shape[:-1]), left.reshape(points.shape[:-1])


def place(line: np.ndarray, along: np.ndarray, left: np.ndarray | float = 0.0) -> np.ndarray:
    """Poses (..., 3) x, y, yaw at `along` metres (...) on the line (M, 2), `left` metres beside it; its ends go straight on."""
    along = np.asarray(along, float)
    at, step = lengths(line), np.diff(line, axis=0)
    ahead = step / np.diff(at)[:, None]
    piece = np.clip(np.searchsorted(at, along, side="right") - 1, 0, len(ahead) - 1)
    turns = np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0]))
    knots = np.concatenate([turns[:1], (turns[1:] + turns[:-1]) / 2, turns[-1:]])  # so that it turns evenly between points
    yaw = np.interp(along, at, knots)
    spot = line[piece] + (along - at[piece])[..., None] * ahead[piece]
    side = np.stack([-np.sin(yaw), np.cos(yaw)], -1)
    return np.concatenate([spot + side * np.asarray(left, float)[..., None], yaw[..., None]], -1)

"""Exact depth of a maze view by casting one ray per image column against the level's grid.

The engine's own depth buffer has 8 bits (about 7 map units a level); the levels are ours, so their geometry is known exactly.
Walls stand on cell edges, floors and ceilings are flat and the camera never pitches, hence a column needs one ray.
"""

from __future__ import annotations

import numpy as np

from games.maze.levels import CEILING, CELL, Level

EYE = 41.0
"""Height of the camera above the floor in map units."""


def wall_distance(level: Level, x: float, y: float, angles: np.ndarray) -> np.ndarray:
    """Distance along each ray to the first solid cell (Amanatides and Woo's grid walk, all rays at once).

    `angles` (N,) radians, counter-clockwise from world x. Returns (N,) map units.
    """
    direction = np.stack([np.cos(angles), np.sin(angles)], -1)
    direction = np.where(np.abs(direction) < 1e-9, 1e-9, direction)
    cell = np.tile(np.floor(np.array([x, y]) / CELL).astype(int), (len(angles), 1))
    step = np.sign(direction).astype(int)
    edge = (cell + (step > 0)) * CELL
    t_next = (edge - np.array([x, y])) / direction
    t_cell = CELL / np.abs(direction)
    distance = np.zeros(len(angles))
    walking = np.ones(len(angles), bool)
    rows = np.arange(len(angles))
    for _ in range(2 * len(level.open)):
        axis = t_next.argmin(-1)
        reached = t_next[rows, axis]
        cell[rows[walking], axis[walking]] += step[rows, axis][walking]
        t_next[rows, axis] += t_cell[rows, axis]
        inside = np.clip(cell, 0, len(level.open) - 1)
        hit = walking & ~level.open[inside[:, 1], inside[:, 0]]
        distance[hit] = reached[hit]
        walking &= ~hit
        if not walking.any():
            break
    return distance


def depth(level: Level, x: float, y: float, heading: float, intrinsics: np.ndarray, height: int, width: int) -> np.ndarray:
    """Perpendicular depth of the empty level (no landmarks) seen from (x, y) along `heading` radians.

    `intrinsics` (3, 3) in pixels of the (height, width) image. Returns float32 (height, width) map units.
    """
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    across = (np.arange(width) + 0.5 - cx) / fx
    down = (np.arange(height) + 0.5 - cy) / fy
    walls = wall_distance(level, x, y, heading - np.arctan(across)) * np.cos(np.arctan(across))
    with np.errstate(divide="ignore"):
        flats = np.where(down > 0, EYE / down, (EYE - CEILING) / down)
    return np.minimum(walls[None, :], flats[:, None]).astype(np.float32)

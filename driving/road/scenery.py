"""What stands beside a road: buildings, trees, bushes and street lamps, never on its ground or walkways."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import shapely
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from driving.road.lines import direction, headings, lengths, offset, part
from driving.road.network import Building, Plant

WALLS = (
    (186, 120, 96),
    (201, 178, 146),
    (158, 158, 162),
    (214, 206, 190),
    (140, 96, 82),
    (176, 188, 196),
    (222, 196, 160),
    (120, 124, 134),
)
"""RGB of brick, sandstone, concrete, plaster, dark brick, glass, ochre, slate."""


def buildings(
    rng: np.random.Generator, streets: list[tuple[np.ndarray, float]], forbidden: BaseGeometry
) -> tuple[Building, ...]:
    """Rows of houses along streets of (middle line, metres to the walkway's outer edge), clear of `forbidden` and of each
    other."""
    tall = rng.uniform(5, 9), rng.uniform(10, 28)
    gap, setback = rng.uniform(1, 9), rng.uniform(1, 7)
    clear = forbidden.buffer(1.0)
    shapely.prepare(clear)
    out: list[Building] = []
    for line, edge in streets:
        for side in (1.0, -1.0):
            for footprint in _row(rng, line, edge, side, gap, setback):
                if clear.intersects(footprint) or any(b.footprint.distance(footprint) < 0.8 for b in out):
                    continue
                base = np.array(WALLS[rng.integers(len(WALLS))])
                paint = np.clip(base * rng.uniform(0.85, 1.12) + rng.normal(0, 5, 3), 20, 245).astype(int)
                out.append(
                    Building(
                        footprint=footprint,
                        height=float(rng.uniform(*tall)),
                        colour=(int(paint[0]), int(paint[1]), int(paint[2])),
                    )
                )
    return tuple(out)


def plants(rng: np.random.Generator, streets: list[tuple[np.ndarray, float]], forbidden: BaseGeometry) -> tuple[Plant, ...]:
    """Trees in rows and bushes scattered behind the walkways; `forbidden`: ground, walkways and buildings."""
    spacing = rng.uniform(9, 22)
    broad_only: tuple[Literal["broad", "conifer"], ...] = ("broad",)
    kinds = broad_only if rng.random() < 0.5 else (*broad_only, "conifer")
    clear = forbidden.buffer(0.9)
    shapely.prepare(clear)
    out: list[Plant] = []
    for line, edge in streets:
        for side in (1.0, -1.0):
            total = lengths(line)[-1]
            trees = np.arange(rng.uniform(2, spacing), total, spacing)
            bushes = rng.uniform(0, total, int(total / 14))
            at = np.concatenate([trees + rng.normal(0, 0.8, len(trees)), bushes])
            beyond = np.concatenate([rng.uniform(1.2, 2.2, len(trees)), rng.uniform(1.0, 12.0, len(bushes))])
            points = _beside(line, np.clip(at, 0, total), side * (edge + beyond))
            free = ~shapely.contains_xy(clear, points[:, 0], points[:, 1])
            for k in np.flatnonzero(free):
                bush = k >= len(trees)
                height = rng.uniform(0.6, 1.8) if bush else rng.uniform(4, 10)
                kind = "bush" if bush else kinds[int(rng.integers(len(kinds)))]
                out.append(Plant(position=(float(points[k, 0]), float(points[k, 1])), height=float(height), kind=kind))
    return tuple(out)


def lamps(
    rng: np.random.Generator, streets: list[tuple[np.ndarray, float]], forbidden: BaseGeometry
) -> tuple[tuple[float, float], ...]:
    """Street lamps just behind the walkways, on alternating sides."""
    spacing = rng.uniform(22, 32)
    clear = forbidden.buffer(0.15)
    shapely.prepare(clear)
    out = []
    for line, edge in streets:
        at = np.arange(8.0, lengths(line)[-1], spacing)
        points = _beside(line, at, np.where(np.arange(len(at)) % 2, 1.0, -1.0) * (edge + 0.4))
        free = ~shapely.contains_xy(clear, points[:, 0], points[:, 1])
        out += [(float(x), float(y)) for x, y in points[free]]
    return tuple(out)


def _beside(line: np.ndarray, at: np.ndarray, left: np.ndarray) -> np.ndarray:
    """(K, 2) points at distances along a line, each so far to its left."""
    along, yaw = lengths(line), headings(line)
    angle = np.interp(at, along, yaw)
    on = np.stack([np.interp(at, along, line[:, 0]), np.interp(at, along, line[:, 1])], 1)
    return on + left[:, None] * np.stack([-np.sin(angle), np.cos(angle)], 1)


def _row(rng: np.random.Generator, line: np.ndarray, edge: float, side: float, gap: float, setback: float) -> Iterator[Polygon]:
    """Footprints along one side of a street: rectangles and L shapes facing it."""
    total, at = lengths(line)[-1], rng.uniform(0, 6)
    while at < total - 8:
        front, depth = rng.uniform(8, 24), rng.uniform(8, 16)
        middle = part(line, max(at + front / 2 - 0.5, 0), min(at + front / 2 + 0.5, total))
        yaw = math.atan2(*(middle[-1] - middle[0])[::-1])
        u, v = direction(yaw), direction(yaw + side * math.pi / 2)
        corner = offset(middle, side * (edge + setback + rng.uniform(0, 3)))[0] - u * front / 2
        outline = [(0, 0), (front, 0), (front, depth), (0, depth)]
        if rng.random() < 0.35:
            a, b = front * rng.uniform(0.4, 0.7), depth * rng.uniform(0.4, 0.7)
            outline = [(0, 0), (front, 0), (front, b), (a, b), (a, depth), (0, depth)]
        yield Polygon([corner + u * x + v * y for x, y in outline])
        at += front + gap * rng.uniform(0.3, 1.8)
        if rng.random() < 0.08:
            at += rng.uniform(10, 35)

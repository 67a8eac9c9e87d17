"""Low-polygon meshes: triangles with a colour, a surface and perhaps a lamp; and the few solids they are made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike

Colour = tuple[int, int, int]
SLIVER = 1e-6
"""Triangles of less than half so many square metres are left out."""


class Surface(IntEnum):
    """What a triangle is made of; decides its grain and what rain and snow do to it."""

    SKY = 0
    SOLID = 1
    ASPHALT = 2
    PAINT = 3
    PAVING = 4
    GRASS = 5
    LEAVES = 6
    GLASS = 7


class Lamp(IntEnum):
    """Which lamp a triangle belongs to, if any; decides when it glows."""

    NONE = 0
    HEAD = 1
    TAIL = 2
    BEACON_A = 3
    BEACON_B = 4
    RED = 5
    YELLOW = 6
    GREEN = 7
    WINDOW = 8
    STREET = 9


@dataclass(frozen=True, slots=True)
class Mesh:
    """N triangles, seen from the side on which their corners run counter-clockwise."""

    triangles: np.ndarray
    """float32 (N, 3, 3) metres."""
    colour: np.ndarray
    """uint8 (N, 3)."""
    surface: np.ndarray
    """uint8 (N,) Surface."""
    lamp: np.ndarray
    """uint8 (N,) Lamp."""

    def __len__(self) -> int:
        return len(self.triangles)

    def placed(self, matrix: np.ndarray) -> Mesh:
        """Moved by a (4, 4) matrix."""
        return Mesh(transformed(self.triangles, matrix), self.colour, self.surface, self.lamp)

    def shifted(self, x: float, y: float, z: float = 0.0) -> Mesh:
        return Mesh(self.triangles + np.array([x, y, z], np.float32), self.colour, self.surface, self.lamp)


def transformed(triangles: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points (..., 3) moved by a (4, 4) matrix, as float32."""
    return (triangles @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)


def made(triangles: np.ndarray, colour: Colour, surface: Surface = Surface.SOLID, lamp: Lamp = Lamp.NONE) -> Mesh:
    """Triangles (N, 3, 3) of one colour."""
    n = len(triangles)
    paint, of, part = np.empty((n, 3), np.uint8), np.empty(n, np.uint8), np.empty(n, np.uint8)
    paint[:], of[:], part[:] = colour, surface, lamp
    return Mesh(np.asarray(triangles, np.float32).reshape(n, 3, 3), paint, of, part)


def normals(triangles: np.ndarray) -> np.ndarray:
    """Of triangles (N, 3, 3); as long as twice their areas."""
    (ax, ay, az), (bx, by, bz) = (triangles[:, 1] - triangles[:, 0]).T, (triangles[:, 2] - triangles[:, 0]).T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], 1)


def joined(meshes: Iterable[Mesh]) -> Mesh:
    """All of them as one."""
    all_of = list(meshes)
    if not all_of:
        return made(np.zeros((0, 3, 3)), (0, 0, 0))
    return Mesh(*(np.concatenate([getattr(m, n) for m in all_of]) for n in ("triangles", "colour", "surface", "lamp")))


def quads(corners: ArrayLike, colour: Colour, surface: Surface = Surface.SOLID, lamp: Lamp = Lamp.NONE) -> Mesh:
    """Quadrilaterals (N, 4, 3), counter-clockwise."""
    points = np.asarray(corners, np.float32).reshape(-1, 4, 3)
    return made(points[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3, 3), colour, surface, lamp)


def prism(bottom: ArrayLike, top: ArrayLike, colour: Colour, surface: Surface = Surface.SOLID, lamp: Lamp = Lamp.NONE) -> Mesh:
    """A convex body between two polygons of as many corners (N, 3) each."""
    low, high = np.asarray(bottom, float), np.asarray(top, float)
    after = np.roll(np.arange(len(low)), -1)
    fan = np.arange(1, len(low) - 1)
    triangles = np.concatenate(
        [
            np.stack([low, low[after], high[after]], 1),
            np.stack([low, high[after], high], 1),
            *(np.stack([ring[np.zeros_like(fan)], ring[fan], ring[fan + 1]], 1) for ring in (low, high)),
        ]
    )
    normal = normals(triangles)
    centre = (low.mean(0) + high.mean(0)) / 2
    inside = ((triangles.mean(1) - centre) * normal).sum(1) < 0
    triangles = np.where(inside[:, None, None], triangles[:, ::-1], triangles)
    return made(triangles[(normal**2).sum(1) > SLIVER**2], colour, surface, lamp)


def box(
    low: Sequence[float], high: Sequence[float], colour: Colour, surface: Surface = Surface.SOLID, lamp: Lamp = Lamp.NONE
) -> Mesh:
    """A box between two corners."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    return tapered((x0, x1, y0, y1, z0), (x0, x1, y0, y1, z1), colour, surface, lamp)


def tapered(
    bottom: Sequence[float], top: Sequence[float], colour: Colour, surface: Surface = Surface.SOLID, lamp: Lamp = Lamp.NONE
) -> Mesh:
    """A body between two level rectangles (x0, x1, y0, y1, z)."""
    rings = [[(a, c, z), (b, c, z), (b, d, z), (a, d, z)] for a, b, c, d, z in (bottom, top)]
    return prism(rings[0], rings[1], colour, surface, lamp)


def lathe(
    profile: Sequence[tuple[float, float]],
    sides: int,
    colour: Colour,
    surface: Surface = Surface.SOLID,
    lamp: Lamp = Lamp.NONE,
    turn: float = 0.0,
) -> Mesh:
    """A closed body of revolution around z: (radius, height) from the bottom up."""
    angle = np.arange(sides) * (2 * math.pi / sides) + turn
    radius, height = np.array(profile, float).T
    rings = np.empty((len(profile), sides, 3))
    rings[..., 0], rings[..., 1] = radius[:, None] * np.cos(angle), radius[:, None] * np.sin(angle)
    rings[..., 2] = height[:, None]
    after = np.roll(rings, -1, axis=1)
    low, low_after, high, high_after = rings[:-1], after[:-1], rings[1:], after[1:]
    faces = [np.stack([low, low_after, high_after], 2), np.stack([low, high_after, high], 2)]
    middle = np.broadcast_to([[0, 0, height[0]]], (sides, 3)), np.broadcast_to([[0, 0, height[-1]]], (sides, 3))
    faces += [np.stack([middle[0], after[0], rings[0]], 1), np.stack([middle[1], rings[-1], after[-1]], 1)]
    triangles = np.concatenate([f.reshape(-1, 3, 3) for f in faces])
    return made(triangles[(normals(triangles) ** 2).sum(1) > SLIVER**2], colour, surface, lamp)


def wheel(
    x: float, y: float, radius: float, width: float, colour: Colour = (28, 28, 30), hub: Colour = (140, 142, 146)
) -> Mesh:
    """A wheel on the ground that rolls along x, seen from both sides."""
    angle = np.arange(8) * (math.pi / 4) + math.pi / 8
    ring = np.stack([radius * np.cos(angle) + x, np.full(8, y - width / 2), radius * np.sin(angle) + radius], 1)
    tyre = prism(ring, ring + (0, width, 0), colour)
    r = radius * 0.45
    side = math.copysign(width / 2 + 0.01, y)
    face = np.array(
        [[x - r, y + side, radius], [x, y + side, radius - r], [x + r, y + side, radius], [x, y + side, radius + r]]
    )
    cap = quads(face if y < 0 else face[::-1], hub)
    return joined([tyre, cap])


def shade(colour: Colour, factor: float) -> Colour:
    """The colour, darker or brighter."""
    r, g, b = (int(min(255, max(0, c * factor))) for c in colour)
    return (r, g, b)


def turned(axis: int, angle: float, pivot: Sequence[float] = (0, 0, 0)) -> np.ndarray:
    """float64 (4, 4): a rotation around an axis (0, 1, 2) through a point."""
    out = np.eye(4)
    a, b = [k for k in range(3) if k != axis]
    sign = -1 if axis == 1 else 1
    c, s = math.cos(angle), sign * math.sin(angle)
    out[a, a], out[a, b], out[b, a], out[b, b] = c, -s, s, c
    point = np.asarray(pivot, float)
    out[:3, 3] = point - out[:3, :3] @ point
    return out

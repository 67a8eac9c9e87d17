"""Low-polygon meshes: triangles with a colour, a surface and perhaps a lamp; and the few solids that all of them are made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

Colour = tuple[int, int, int]


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
    return Mesh(
        np.asarray(triangles, np.float32).reshape(n, 3, 3),
        np.tile(np.array(colour, np.uint8), (n, 1)),
        np.full(n, surface, np.uint8),
        np.full(n, lamp, np.uint8),
    )


def joined(meshes: Iterable[Mesh]) -> Mesh:
    """All of them as one."""
    all_of = list(meshes)
    if not all_of:
        return made(np.zeros((0, 3, 3)), (0, 0, 0))
    return Mesh(*(np.concatenate([getattr(m, n) for m in all_of]) for n in ("triangles", "colour", "surface", "lamp")))


def quads(corners: np.ndarray, colour: Colour, surface: Surface = Surface.SOLID, lamp: Lamp = Lamp.NONE) -> Mesh:
    """Quadrilaterals (N, 4, 3), counter-clockwise."""
    corners = np.asarray(corners, np.float32).reshape(-1, 4, 3)
    return made(corners[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3, 3), colour, surface, lamp)


def outward(triangles: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Triangles (N, 3, 3) turned so that they are seen from outside of a convex body around `centre`."""
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    inside = ((triangles.mean(1) - centre) * normal).sum(1) < 0
    return np.where(inside[:, None, None], triangles[:, ::-1], triangles)


def prism(bottom: Sequence, top: Sequence, colour: Colour, surface: Surface = Surface.SOLID, lamp: Lamp = Lamp.NONE) -> Mesh:
    """A convex body between two polygons of as many corners (N, 3) each."""
    low, high = np.asarray(bottom, float), np.asarray(top, float)
    n = len(low)
    faces = [(low[i], low[(i + 1) % n], high[(i + 1) % n]) for i in range(n)]
    faces += [(low[i], high[(i + 1) % n], high[i]) for i in range(n)]
    faces += [(ring[0], ring[i], ring[i + 1]) for ring in (low, high) for i in range(1, n - 1)]
    triangles = np.array(faces)
    area = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1)
    centre = np.concatenate([low, high]).mean(0)
    return made(outward(triangles[area > 1e-9], centre), colour, surface, lamp)


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
    """A body of revolution around z: (radius, height) from the bottom up."""
    angle = np.arange(sides) * (2 * math.pi / sides) + turn
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(sides)], 1)
    rings = [ring * (max(r, 1e-4), max(r, 1e-4), 0) + (0, 0, z) for r, z in profile]
    return joined(
        prism(low, high, colour, surface, lamp) if len(rings) == 2 else _band(low, high, colour, surface, lamp)
        for low, high in zip(rings, rings[1:])
    )


def _band(low: np.ndarray, high: np.ndarray, colour: Colour, surface: Surface, lamp: Lamp) -> Mesh:
    after = np.roll(np.arange(len(low)), -1)
    corners = np.stack([low, low[after], high[after], high], 1)
    mesh = quads(corners, colour, surface, lamp)
    t = mesh.triangles.astype(float)
    area = np.linalg.norm(np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]), axis=1)
    return made(mesh.triangles[area > 1e-5], colour, surface, lamp)


def wheel(x: float, y: float, radius: float, width: float, colour: Colour = (28, 28, 30), hub: Colour = (140, 142, 146)) -> Mesh:
    """A wheel on the ground that rolls along x, seen from both sides."""
    angle = np.arange(8) * (math.pi / 4) + math.pi / 8
    ring = np.stack([radius * np.cos(angle) + x, np.full(8, y - width / 2), radius * np.sin(angle) + radius], 1)
    tyre = prism(ring, ring + (0, width, 0), colour)
    r = radius * 0.45
    side = math.copysign(width / 2 + 0.01, y)
    face = np.array([[x - r, y + side, radius], [x, y + side, radius - r], [x + r, y + side, radius], [x, y + side, radius + r]])
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

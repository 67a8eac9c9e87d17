"""MuJoCo's geoms as convex solids with flat faces: what the painter projects and paints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.errors import ZoetropeError

SIDES = 12
"""Faces around anything round."""
_BELT = 3
"""Rings of faces on half a ball."""


@dataclass(frozen=True, slots=True)
class Solid:
    """A convex polytope around its own origin."""

    vertices: np.ndarray
    """float64 (N, 3)."""
    faces: tuple[tuple[int, ...], ...]
    """Corners of each face in order around it, as rows of `vertices`."""
    normals: np.ndarray
    """float64 (F, 3), unit, outward."""


def box(x: float, y: float, z: float) -> Solid:
    """A box of half sizes x, y, z."""
    vertices = np.array([(sx * x, sy * y, sz * z) for sx in (-1, 1) for sy in (-1, 1) for sz in (-1, 1)])
    return _solid(vertices, ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)))


def turned(profile: list[tuple[float, float]]) -> Solid:
    """What a lathe makes of (radius, z) pairs from bottom to top: SIDES faces a step, flat ends where a radius is not 0."""
    angles = 2 * np.pi * np.arange(SIDES) / SIDES
    vertices: list[tuple[float, float, float]] = []
    rings: list[list[int]] = []
    for radius, z in profile:
        ring = [(radius * np.cos(a), radius * np.sin(a), z) for a in angles] if radius > 0 else [(0.0, 0.0, z)]
        rings.append(list(range(len(vertices), len(vertices) + len(ring))))
        vertices += ring
    faces = [tuple(ring) for ring in (rings[0], rings[-1]) if len(ring) > 1]
    for low, high in zip(rings, rings[1:]):
        for i in range(SIDES):
            j = (i + 1) % SIDES
            corners = [low[i % len(low)], low[j % len(low)], high[j % len(high)], high[i % len(high)]]
            faces.append(tuple(dict.fromkeys(corners)))  # a tip counts once
    return _solid(np.array(vertices), tuple(faces))


def of_geom(kind: str, size: np.ndarray) -> Solid:
    """The solid of a MuJoCo geom; `kind` as in MJCF. Raises ZoetropeError for a kind the painter cannot show."""
    radius, half = float(size[0]), float(size[1])
    if kind == "box":
        return box(*map(float, size))
    if kind == "cylinder":
        return turned([(radius, -half), (radius, half)])
    if kind in ("sphere", "capsule"):
        half = half if kind == "capsule" else 0.0
        steps = np.linspace(0, np.pi / 2, _BELT + 1)
        top = [(radius * np.cos(a), half + radius * np.sin(a)) for a in steps[:-1]] + [(0.0, half + radius)]
        bottom = [(r, -z) for r, z in reversed(top)]
        return turned(bottom + (top if half else top[1:]))
    raise ZoetropeError(f"the painter cannot show a geom of type '{kind}'; known: plane, box, cylinder, capsule, sphere")


def _solid(vertices: np.ndarray, faces: tuple[tuple[int, ...], ...]) -> Solid:
    corners = np.array([[vertices[i] for i in face[:3]] for face in faces])
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    outward = np.sign((normals * corners[:, 0]).sum(1, keepdims=True))  # the origin lies inside
    return Solid(vertices, faces, normals * outward)

"""Which convex solid hides which: an order in which painting them back to front is right."""

from __future__ import annotations

import numpy as np

TOUCHING = 0.002
"""Metres by which two solids may overlap and still count as apart: contacts are soft, and parts of a hand are joined."""


def separations(distances: np.ndarray, vertex_starts: np.ndarray) -> np.ndarray:
    """Distance of each solid from the plane of each face: (F, N) of every vertex -> (F, G), the nearest vertex's."""
    return np.minimum.reduceat(distances, vertex_starts, axis=1)


def in_front(apart: np.ndarray, facing: np.ndarray, face_starts: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Whether solid b is to be painted after solid a: bool (G, G).

    If b lies beyond the plane of a face of a that faces the camera, a cannot hide b; beyond one that faces away, b cannot
    hide a. Of all such planes of the two, the one that holds them furthest apart decides; without any, the distance does.

    `apart` (F, G) as from `separations`, `facing` bool (F,), `depth` (G,) of the solids' middles from the camera.
    """
    shown = np.maximum.reduceat(np.where(facing[:, None], apart, -np.inf), face_starts, axis=0)
    hidden = np.maximum.reduceat(np.where(facing[:, None], -np.inf, apart), face_starts, axis=0)
    after, before = np.maximum(shown, hidden.T), np.maximum(shown.T, hidden)
    nearer = depth[None, :] < depth[:, None]
    return np.where(np.maximum(after, before) > -TOUCHING, after > before, nearer)


def back_to_front(after: np.ndarray, overlap: np.ndarray, depth: np.ndarray) -> list[int]:
    """Sort solids so that each comes after those it can hide; where they hide each other in a ring, the furthest goes first.

    `after` bool (G, G) as from `in_front`, `overlap` bool (G, G) whether two touch in the picture, `depth` (G,).
    """
    needs = np.packbits((after & overlap).T, axis=1, bitorder="little")
    behind = [int.from_bytes(row.tobytes(), "little") for row in needs]  # a set of solids as the bits of a number
    left = [int(g) for g in np.argsort(-depth, kind="stable")]
    waiting = (1 << len(depth)) - 1
    order = []
    while left:
        chosen = next((g for g in left if not behind[g] & waiting & ~(1 << g)), left[0])
        left.remove(chosen)
        waiting &= ~(1 << chosen)
        order.append(chosen)
    return order

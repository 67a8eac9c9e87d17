"""Boxes: footprints of bodies on the ground, whether they touch, points seen from a body, and rays through a block."""

from __future__ import annotations

import numpy as np

from driving.scene import EGO_CENTRE, EGO_SIZE, Moment, State


def corners(boxes: np.ndarray) -> np.ndarray:
    """Corners (..., 4, 2), counter-clockwise from front left, of boxes (..., 5): x, y, yaw, width, length."""
    boxes = np.asarray(boxes, float)
    x, y, yaw, width, length = np.moveaxis(boxes, -1, 0)
    ahead = np.stack([np.cos(yaw), np.sin(yaw)], -1)[..., None, :] * (length / 2)[..., None, None]
    left = np.stack([-np.sin(yaw), np.cos(yaw)], -1)[..., None, :] * (width / 2)[..., None, None]
    along = np.array([1.0, -1.0, -1.0, 1.0])[:, None]
    across = np.array([1.0, 1.0, -1.0, -1.0])[:, None]
    return np.stack([x, y], -1)[..., None, :] + along * ahead + across * left


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether boxes a (..., 5) and b (..., 5) share area; bool, broadcast. A box with NaN touches nothing.

    Separating axis theorem: two convex shapes are apart exactly when the normal of some edge parts them.
    """
    a, b = np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float))
    first, second = corners(a), corners(b)
    touching = np.isfinite(a).all(-1) & np.isfinite(b).all(-1)
    for yaw in (a[..., 2], a[..., 2] + np.pi / 2, b[..., 2], b[..., 2] + np.pi / 2):
        axis = np.stack([np.cos(yaw), np.sin(yaw)], -1)[..., None, :]
        p, q = (first * axis).sum(-1), (second * axis).sum(-1)
        touching &= (p.max(-1) > q.min(-1)) & (q.max(-1) > p.min(-1))
    return touching


def ego_boxes(states: np.ndarray) -> np.ndarray:
    """Footprints (..., 5) of an ego whose rear axle is at states (..., >= 3): x, y, yaw, ..."""
    states = np.asarray(states, float)
    x, y, yaw = states[..., 0], states[..., 1], states[..., 2]
    width, length = np.full_like(x, EGO_SIZE[0]), np.full_like(x, EGO_SIZE[1])
    return np.stack([x + EGO_CENTRE * np.cos(yaw), y + EGO_CENTRE * np.sin(yaw), yaw, width, length], -1)


def actor_boxes(moment: Moment) -> np.ndarray:
    """Footprints (M, 5) of the actors present."""
    rows = [(s.x, s.y, s.yaw, a.size[0], a.size[1]) for a, s in moment.actors]
    return np.array(rows, float).reshape(-1, 5)


def to_world(poses: np.ndarray, body: State) -> np.ndarray:
    """Poses (..., 2 or 3) x, y[, yaw] in the axes of `body`, in the world's."""
    return _turned(poses, body.yaw, np.zeros(2), np.array([body.x, body.y]), body.yaw)


def to_body(poses: np.ndarray, body: State) -> np.ndarray:
    """Poses (..., 2 or 3) x, y[, yaw] in the world, in the axes of `body`."""
    return _turned(poses, -body.yaw, np.array([body.x, body.y]), np.zeros(2), -body.yaw)


def _turned(poses: np.ndarray, angle: float, before: np.ndarray, after: np.ndarray, yaw: float) -> np.ndarray:
    out = np.array(poses, float)
    cos, sin = np.cos(angle), np.sin(angle)
    out[..., :2] = (out[..., :2] - before) @ np.array([[cos, sin], [-sin, cos]]) + after
    out[..., 2:3] += yaw
    return out


def wrapped(angle: np.ndarray) -> np.ndarray:
    """Radians in -pi to pi."""
    return (np.asarray(angle) + np.pi) % (2 * np.pi) - np.pi


def through_block(start: np.ndarray, ray: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays start + t ray (..., 3) enter and leave a block of half sizes (..., 3) around 0: t (...), broadcast.

    A ray misses the block where it would enter after it leaves (slab method).
    """
    with np.errstate(all="ignore"):
        one, two = (-half - start) / ray, (half - start) / ray
    return np.fmin(one, two).max(-1), np.fmax(one, two).min(-1)

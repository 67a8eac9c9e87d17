"""Simple solids drawn into a camera's picture, where they are nearer than what is drawn already."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAR = 0.1
"""Metres before a camera within which nothing is drawn."""
FARTHEST = 150.0
"""Metres up to which ground and bodies are drawn."""
Window = tuple[slice, slice]
"""A part of a picture: rows and columns."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """One camera's picture while it is drawn."""

    pose: np.ndarray
    """float64 (4, 4) camera to world."""
    rays: np.ndarray
    """float32 (H, W, 3): where pixels look, in the world's axes, one metre along the optical axis."""
    focal: np.ndarray
    """(2,) in pixels."""
    middle: np.ndarray
    """(2,) the principal point."""
    colour: np.ndarray
    """uint8 (H, W, 3)."""
    depth: np.ndarray
    """float32 (H, W) along the optical axis."""
    moving: np.ndarray
    """uint8 (H, W): 255 where what is drawn moves."""

    def paint(self, window: Window, near: np.ndarray, paint: np.ndarray | tuple[int, int, int], moves: bool = False) -> None:
        """Draw a surface at depth `near` (h, w), infinite where there is none, in one colour or one a pixel (h, w, 3)."""
        nearer = near < self.depth[window]
        paint = np.asarray(paint, np.uint8)
        self.colour[window][nearer] = paint[nearer] if paint.ndim == 3 else paint
        self.depth[window] = np.where(nearer, near, self.depth[window])
        self.moving[window] = np.where(nearer, 255 * moves, self.moving[window])

    def window(self, corners: np.ndarray) -> Window | None:
        """The part of the picture that something with these corners (N, 3), in the camera's axes, may touch."""
        (height, width), z = self.depth.shape, corners[:, 2]
        if z.max() < NEAR or z.min() > FARTHEST:
            return None
        # What reaches behind the camera is cut where it does: what is left lies on the same side of every edge.
        low = corners[:, :2] * self.focal + self.middle * z[:, None]
        high = low - np.array([width, height]) * z[:, None]
        if (low.max(0) < 0).any() or (high.min(0) > 0).any():
            return None
        if z.min() < NEAR:
            return slice(0, height), slice(0, width)
        at = low / z[:, None]
        first = np.clip(np.floor(at.min(0)).astype(int), 0, (width, height))
        last = np.clip(np.ceil(at.max(0)).astype(int), 0, (width, height))
        return slice(int(first[1]), int(last[1])), slice(int(first[0]), int(last[0]))


CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
"""Of the cube of half size 1."""


def standing_spheroid(canvas: Canvas, centre: np.ndarray, size: np.ndarray, paint: tuple[int, int, int]) -> None:
    """Draw a spheroid with these half axes (3,) around a centre (3,)."""
    window = canvas.window((CORNERS * size + centre - canvas.pose[:3, 3]) @ canvas.pose[:3, :3])
    if window is not None:
        canvas.paint(window, meet_spheroid(canvas.pose[:3, 3] - centre, canvas.rays[window], size), paint)


def meet_block(start: np.ndarray, look: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays start + t look (..., 3) meet a block of half sizes (3,) around 0: t, infinite if never, and on which axis."""
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1 / look
        one, other = (-size - start).astype(np.float32) * inverse, (size - start).astype(np.float32) * inverse
    enters, leaves = np.minimum(one, other), np.maximum(one, other).min(-1)
    axis = enters.argmax(-1)
    near = enters.max(-1)
    return np.where((near <= leaves) & (near > 0), near, np.inf), axis


def meet_spheroid(start: np.ndarray, look: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The same of a spheroid with these half axes: t alone."""
    s, d = (start / size).astype(np.float32), look / size.astype(np.float32)
    a, b, c = (d * d).sum(-1), (d @ s), (s * s).sum() - 1
    root = b * b - a * c
    near = (-b - np.sqrt(np.maximum(root, 0))) / a
    return np.where((root > 0) & (near > 0), near, np.inf)

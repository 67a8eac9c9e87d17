"""Cameras that stand still: where, and through what lens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """A pinhole camera that looks at a point, its horizon level. Metres."""

    name: str
    position: tuple[float, float, float]
    looks_at: tuple[float, float, float]
    field: float = 42.0
    """Degrees from left to right."""

    def intrinsics(self, height: int, width: int) -> np.ndarray:
        """float64 (3, 3); pixel i spans [i, i + 1), so the middle of the picture is width / 2."""
        focal = width / 2 / np.tan(np.radians(self.field) / 2)
        return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])

    def pose(self) -> np.ndarray:
        """float64 (4, 4) camera to world, camera axes x right, y down, z forward."""
        forward = np.subtract(self.looks_at, self.position)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = right, np.cross(forward, right), forward, self.position
        return pose


FRONT = Camera(name="front", position=(0.0, -0.58, 0.50), looks_at=(0.0, 0.0, 0.04), field=36.0)
SIDE = Camera(name="side", position=(0.60, -0.20, 0.32), looks_at=(0.0, 0.0, 0.05), field=38.0)

"""Cameras on the ego vehicle: any number of them, with intrinsics and extrinsics.

The ego's axes are x forward, y left, z up, from the middle of the rear axle on the ground; a camera's x right, y down,
z forward (OpenCV), as in nuScenes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.errors import ZoetropeError


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """A pinhole camera."""

    name: str
    """As nuScenes names its channels: CAM_FRONT, ..."""
    position: tuple[float, float, float]
    """In the ego's axes, metres."""
    yaw: float
    """Degrees counter-clockwise from straight ahead."""
    focal: float
    """Focal length in widths of the picture."""
    pitch: float = 0.0
    """Degrees downwards."""

    def __post_init__(self) -> None:
        if not 0.2 <= self.focal <= 8:
            raise ZoetropeError(f"rig: camera '{self.name}': focal: expected 0.2 to 8 picture widths, found {self.focal}")
        if not 0 < self.position[2] < 10:
            raise ZoetropeError(f"rig: camera '{self.name}': position: height {self.position[2]} is not above the ground")
        if not -60 <= self.pitch <= 60:
            raise ZoetropeError(f"rig: camera '{self.name}': pitch: expected -60 to 60 degrees, found {self.pitch}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rig:
    """V cameras with pictures of one size."""

    cameras: tuple[Camera, ...]
    width: int = 128
    height: int = 72

    def __post_init__(self) -> None:
        names = [c.name for c in self.cameras]
        if not names or len(set(names)) != len(names):
            raise ZoetropeError(f"rig: cameras: expected one or more of different names, found {names}")
        if not (16 <= self.width <= 4096 and 16 <= self.height <= 4096):
            raise ZoetropeError(f"rig: {self.width}x{self.height} is no picture size")

    def intrinsics(self) -> np.ndarray:
        """float32 (V, 3, 3) in pixels; pixel centres are at half-integers."""
        out = np.zeros((len(self.cameras), 3, 3), np.float32)
        for k, camera in zip(out, self.cameras):
            focal = camera.focal * self.width
            k[:] = [[focal, 0, self.width / 2], [0, focal, self.height / 2], [0, 0, 1]]
        return out

    def extrinsics(self) -> np.ndarray:
        """float32 (V, 4, 4) camera to ego."""
        out = np.tile(np.eye(4, dtype=np.float32), (len(self.cameras), 1, 1))
        for pose, camera in zip(out, self.cameras):
            yaw, pitch = math.radians(camera.yaw), math.radians(camera.pitch)
            forward = np.array([math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), -math.sin(pitch)])
            right = np.array([math.sin(yaw), -math.cos(yaw), 0.0])
            pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
            pose[:3, 3] = camera.position
        return out

    def poses(self, x: float, y: float, yaw: float) -> np.ndarray:
        """float32 (V, 4, 4) camera to world, for an ego at x, y, yaw."""
        return (ego_pose(x, y, yaw) @ self.extrinsics()).astype(np.float32)


def ego_pose(x: float, y: float, yaw: float) -> np.ndarray:
    """float64 (4, 4) ego to world."""
    out = np.eye(4)
    out[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
    out[:2, 3] = x, y
    return out


def nuscenes_rig(width: int = 128, height: int = 72) -> Rig:
    """The six cameras of nuScenes (arXiv 1903.11027), rounded; its back camera sees wider than the others."""
    narrow, wide = 0.79, 0.506
    return Rig(
        width=width,
        height=height,
        cameras=(
            Camera(name="CAM_FRONT", position=(1.70, 0.0, 1.51), yaw=0, focal=narrow),
            Camera(name="CAM_FRONT_RIGHT", position=(1.55, -0.49, 1.50), yaw=-55, focal=narrow),
            Camera(name="CAM_BACK_RIGHT", position=(1.01, -0.48, 1.56), yaw=-110, focal=narrow),
            Camera(name="CAM_BACK", position=(0.03, 0.0, 1.57), yaw=180, focal=wide),
            Camera(name="CAM_BACK_LEFT", position=(1.03, 0.48, 1.57), yaw=110, focal=narrow),
            Camera(name="CAM_FRONT_LEFT", position=(1.52, 0.49, 1.51), yaw=55, focal=narrow),
        ),
    )

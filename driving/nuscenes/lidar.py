"""LIDAR_TOP from the cameras' depth: what a spinning lidar on the roof would have hit of what the cameras see."""

from __future__ import annotations

import math

import numpy as np

from driving.nuscenes.geometry import yaw_quaternion
from driving.rig import Rig
from driving.scene import Images

POSITION = (0.94, 0.0, 1.84)
"""In the ego's axes, metres; nuScenes', rounded."""
ROTATION = yaw_quaternion(-math.pi / 2)
"""Its x is the ego's right, its y ahead, its z up, as in nuScenes."""
ELEVATIONS = np.radians(np.linspace(-30.67, 10.67, 32))
"""Of the rings of nuScenes' lidar (HDL-32E)."""
AZIMUTHS = 1080
"""Returns of a ring in a turn."""
RANGE = 80.0
"""Metres; what is farther away or in the sky returns nothing."""
SURFACE = 0.01
"""Metres by which a box is widened and raised to count its points: bodies fill their boxes, so that points lie on the faces,
and the ground on which they stand is not theirs."""


def pixel_rays(width: int, height: int, intrinsics: np.ndarray, step: int = 1) -> np.ndarray:
    """float64 (H, W, 3) in the camera's axes with z = 1, through the middles of every `step`-th pixel."""
    x = (np.arange(0, width, step) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (np.arange(0, height, step) + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
    return np.stack([*np.meshgrid(x, y), np.ones((len(y), len(x)))], -1)


def point_cloud(images: Images, rig: Rig) -> np.ndarray:
    """float32 (N, 5) x, y, z, intensity (0 to 255), ring in the lidar's axes.

    Pixels are lifted by their depth; of those that fall between the same two neighbouring pulses, the nearest returns.
    """
    points, brightness = [], []
    for colour, depth, k, pose in zip(images.colour, images.depth, rig.intrinsics(), rig.extrinsics().astype(np.float64)):
        rays = pixel_rays(rig.width, rig.height, k)
        hit = np.isfinite(depth) & (depth > 0)
        points.append((rays[hit] * depth[hit, None]) @ pose[:3, :3].T + pose[:3, 3] - POSITION)
        brightness.append(colour[hit].mean(-1))
    ego = np.concatenate(points)
    distance = np.linalg.norm(ego, axis=1)
    elevation = np.arcsin(np.clip(ego[:, 2] / np.maximum(distance, 1e-6), -1, 1))
    spacing = ELEVATIONS[1] - ELEVATIONS[0]
    ring = np.round((elevation - ELEVATIONS[0]) / spacing).astype(int)
    pulse = np.floor((np.arctan2(ego[:, 1], ego[:, 0]) / (2 * math.pi) + 0.5) * AZIMUTHS).astype(int) % AZIMUTHS
    within = np.flatnonzero((distance > 0.5) & (distance < RANGE) & (ring >= 0) & (ring < len(ELEVATIONS)))
    cell = ring[within] * AZIMUTHS + pulse[within]
    order = np.lexsort((distance[within], cell))
    _, first = np.unique(cell[order], return_index=True)
    kept = within[order[first]]
    lidar = np.stack([-ego[kept, 1], ego[kept, 0], ego[kept, 2]], 1)
    return np.c_[lidar, np.concatenate(brightness)[kept], ring[kept]].astype(np.float32)


def points_in_box(points: np.ndarray, pose: np.ndarray, size: tuple[float, float, float]) -> int:
    """How many of (N, 3) points in the world lie in a box of `pose` (4, 4) and width, length, height, moved by SURFACE."""
    width, length, height = size
    local = (points - pose[:3, 3]) @ pose[:3, :3] - (0, 0, SURFACE)
    inside = np.abs(local) <= (length / 2 + SURFACE, width / 2 + SURFACE, height / 2)
    return int(inside.all(1).sum())

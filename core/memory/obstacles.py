"""What stands in the way: obstacle points out of depth images, and the distances to them all around a camera held level.

Shape letters: N points, H W the size of a depth image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.memory.geometry import to_world

SCAN_SECTORS = 128
"""Directions in which the distance to the nearest remembered obstacle is reported."""
CLEAR = 1e6
"""Distance of an obstacle where there is none."""
SCAN_SUPPORT = 3
"""Pixels of an image column that must stand at least as near for something to count as an obstacle there."""


def obstacle_points(depth: Tensor, rays: Tensor, pose: Tensor, heights: tuple[float, float]) -> Tensor:
    """World x and y (W, 2) of what stands nearest in each column of a depth image (H, W) between two heights; inf for nothing.

    `rays` (H W, 3) as of `pixel_rays`, `pose` (4, 4) of a camera that is held level.
    """
    height, width = depth.shape
    world = to_world(rays * depth.reshape(-1, 1), pose)
    standing = ((world[:, 2] > heights[0]) & (world[:, 2] < heights[1])).view(height, width) & (depth > 0)
    nearest = torch.where(standing, depth, float("inf")).kthvalue(SCAN_SUPPORT, 0).values
    points = to_world(rays.view(height, width, 3)[height // 2] * torch.nan_to_num(nearest, posinf=0.0)[:, None], pose)
    return torch.where(torch.isfinite(nearest)[:, None], points[:, :2], float("inf"))


def scan_points(points: Tensor, pose: Tensor) -> Tensor:
    """Distance to the nearest of points (N, 2) in SCAN_SECTORS directions, clockwise from forward, of a level camera."""
    offsets = points - pose[:2, 3]
    ahead, right = offsets @ pose[:2, 2], offsets @ pose[:2, 0]
    distance = torch.hypot(ahead, right).nan_to_num(nan=CLEAR, posinf=CLEAR).clamp(max=CLEAR)
    sector = (torch.nan_to_num(torch.atan2(right, ahead)) / (2 * torch.pi) * SCAN_SECTORS).round().long() % SCAN_SECTORS
    return torch.full((SCAN_SECTORS,), CLEAR).scatter_reduce(0, sector, distance, "amin")

"""What stands around the ego, read from its pictures.

`Perception` is what every planner that looks depends on; `by_depth` is the one that needs no learning and takes pictures of
any world that gives depth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from driving.rig import Rig
from driving.scene import EGO_CENTRE, EGO_SIZE, Images


@dataclass(frozen=True, kw_only=True, slots=True)
class Obstacle:
    """A body seen, in the ego's axes: metres and radians."""

    x: float
    y: float
    yaw: float
    width: float
    length: float
    category: str
    """As `driving.scene.CATEGORIES` names it, or `unknown`."""
    score: float
    """How sure, from 0 to 1."""

    @property
    def box(self) -> tuple[float, float, float, float, float]:
        """x, y, yaw, width, length."""
        return self.x, self.y, self.yaw, self.width, self.length


Perception = Callable[[Images, Rig], Sequence[Obstacle]]

RANGE = 45.0
"""Nothing farther is looked at, metres."""
LOWEST, HIGHEST = 0.3, 2.5
"""What is lower can be driven over, what is higher can be driven under, metres."""
CELL = 0.5
"""Size of a cell of the grid that points are gathered in, metres."""
ENOUGH = 3
"""Points that make a cell occupied."""
SURE = 20
"""Points that make an obstacle certain."""
LARGEST = 13.0
"""What is longer is no body but a wall; it is given in pieces of `PIECE` metres."""
PIECE = 2.0


def by_depth(images: Images, rig: Rig) -> list[Obstacle]:
    """Everything above the ground within `RANGE`: points of the depth pictures, gathered in a grid, touching cells joined."""
    points, _ = seen_points(images, rig)
    high = (points[:, 2] > LOWEST) & (points[:, 2] < HIGHEST) & (np.abs(points[:, :2]) < RANGE).all(1)
    own = (np.abs(points[:, 0] - EGO_CENTRE) < EGO_SIZE[1] / 2) & (np.abs(points[:, 1]) < EGO_SIZE[0] / 2)
    points = points[high & ~own, :2]
    size = round(2 * RANGE / CELL)
    cells = ((points + RANGE) / CELL).astype(np.int64).clip(0, size - 1)
    counts = np.bincount(cells[:, 0] * size + cells[:, 1], minlength=size * size).reshape(size, size)
    number, labels = cv2.connectedComponents((counts >= ENOUGH).astype(np.uint8), connectivity=8)
    label = labels[cells[:, 0], cells[:, 1]]
    out: list[Obstacle] = []
    for n in range(1, number):
        mine = points[label == n]
        box = _rectangle(mine)
        if max(box[3:]) <= LARGEST:
            out.append(_obstacle(box, len(mine)))
        else:
            out.extend(_pieces(mine))
    return out


def seen_points(images: Images, rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """What the pictures show within sight, in the ego's axes: float32 (P, 3) places, and their uint8 (P, 3) colours."""
    out, colours = [], []
    v, u = np.mgrid[: rig.height, : rig.width].astype(np.float32) + 0.5
    for colour, depth, k, pose in zip(images.colour, images.depth, rig.intrinsics(), rig.extrinsics()):
        seen = np.isfinite(depth) & (depth > 0) & (depth < 2 * RANGE)
        z = depth[seen]
        ray = np.stack([(u[seen] - k[0, 2]) / k[0, 0] * z, (v[seen] - k[1, 2]) / k[1, 1] * z, z], -1)
        out.append(ray @ pose[:3, :3].T + pose[:3, 3])
        colours.append(colour[seen])
    return np.concatenate(out).astype(np.float32), np.concatenate(colours)


def _rectangle(points: np.ndarray) -> tuple[float, float, float, float, float]:
    """The smallest box x, y, yaw, width, length around points (P, 2); its yaw between -45 and 45 degrees."""
    (x, y), (length, width), degrees = cv2.minAreaRect(points.astype(np.float32))
    quarters = round(degrees / 90)
    if quarters % 2:
        length, width = width, length
    return float(x), float(y), float(np.radians(degrees - 90 * quarters)), float(width), float(length)


def _obstacle(box: tuple[float, float, float, float, float], points: int) -> Obstacle:
    x, y, yaw, width, length = box
    score = min(points / SURE, 1.0)
    return Obstacle(x=x, y=y, yaw=yaw, width=max(width, 0.1), length=max(length, 0.1), category="unknown", score=score)


def _pieces(points: np.ndarray) -> list[Obstacle]:
    tiles = np.floor(points / PIECE).astype(np.int64)
    _, index = np.unique(tiles, axis=0, return_inverse=True)
    groups = (points[index.ravel() == n] for n in range(index.max() + 1))
    return [_obstacle(_rectangle(group), len(group)) for group in groups]

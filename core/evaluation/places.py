"""Is a picture the right place? Poses compared, walks cut into laps, and the nearest real view of a level.

A blur of the right colours can beat a sharp picture that is one step off in PSNR, and yet be nowhere. So each imagined frame is
matched against all real views of its level; the place where the best match was taken must be where the walker really is.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from core.evaluation.metrics import oriented_energy


@dataclass(frozen=True, kw_only=True, slots=True)
class Nearness:
    """When two poses count as the same place."""

    distance: float
    """In the source's unit."""
    degrees: float | None
    """None where the picture does not turn with the pose."""


def gap(pose: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance and angle in degrees between camera poses (..., 4, 4), broadcast."""
    distance = np.linalg.norm(pose[..., :3, 3] - other[..., :3, 3], axis=-1)
    turn = np.swapaxes(pose[..., :3, :3], -1, -2) @ other[..., :3, :3]
    cosine = (np.trace(turn, axis1=-2, axis2=-1) - 1) / 2
    return distance, np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def same_place(pose: np.ndarray, other: np.ndarray, near: Nearness) -> np.ndarray:
    """bool (...): whether the poses (..., 4, 4) are near each other."""
    distance, degrees = gap(pose, other)
    return (distance <= near.distance) & (True if near.degrees is None else degrees <= near.degrees)


def home_again(pose: np.ndarray, near: Nearness) -> int | None:
    """First frame at which a walk (T, 4, 4) that left its start is back there; None when it never is."""
    distance = np.linalg.norm(pose[:, :3, 3] - pose[0, :3, 3], axis=-1)
    left = np.flatnonzero(distance > near.distance)
    if len(left) == 0:
        return None
    back = np.flatnonzero((distance <= near.distance / 3) & (np.arange(len(pose)) > left[0]))
    return int(back[0]) if len(back) else None


def longest_absence(pose: np.ndarray, near: Nearness) -> tuple[int, int] | None:
    """The longest stretch of a walk (T, 4, 4) between two sights of its first view: [first frame away, frame of return)."""
    seen = np.flatnonzero(same_place(pose, pose[0], near))
    gaps = np.diff(seen)
    if len(gaps) == 0 or gaps.max() <= 1:
        return None
    widest = int(gaps.argmax())
    return int(seen[widest]) + 1, int(seen[widest + 1])


def describe(frames: np.ndarray) -> np.ndarray:
    """Frames uint8 (N, V, H, W, 3) -> float32 (N, D) that change little with sharpness and brightness, much with the place.

    Two parts of equal weight, each of unit length: the colours of a 16-column miniature less their mean, and the local energy
    of four orientations on the same grid, from a picture of 64 columns.
    """
    parts = []
    for camera in range(frames.shape[1]):
        height, width = frames.shape[2:4]
        rows = max(1, round(16 * height / width))
        mini = np.stack([cv2.resize(f, (16, rows), interpolation=cv2.INTER_AREA) for f in frames[:, camera]])
        small = np.stack([cv2.resize(f, (64, 4 * rows), interpolation=cv2.INTER_AREA) for f in frames[:, camera]])
        colour = mini.astype(np.float32).reshape(len(frames), -1)
        luma = torch.from_numpy(small).float().mean(-1)[:, None] / 255
        energy = torch.cat([F.avg_pool2d(oriented_energy(part), 4) for part in luma.split(64)])
        parts += [_unit(colour - colour.mean(-1, keepdims=True)), _unit(np.sqrt(energy.flatten(1).numpy()))]
    return np.concatenate(parts, -1)


class Gallery:
    """All real views of one level: descriptors, poses, and which episode and frame each is."""

    def __init__(self) -> None:
        self._described: list[np.ndarray] = []
        self._poses: list[np.ndarray] = []
        self._where: list[np.ndarray] = []

    def add(self, episode: int, frames: np.ndarray, pose: np.ndarray, stride: int = 1) -> None:
        """Add every `stride`-th of an episode's frames (T, V, H, W, 3) with its first camera's pose (T, 4, 4)."""
        taken = np.arange(0, len(frames), stride)
        self._described.append(describe(frames[taken]))
        self._poses.append(pose[taken])
        self._where.append(np.stack([np.full(len(taken), episode), taken], -1))

    def nearest(self, frames: np.ndarray, without: list[tuple[int, int]] | None = None, margin: int = 16) -> np.ndarray:
        """Poses (N, 4, 4) of the real views most like frames (N, V, H, W, 3).

        `without` (episode, frame) of each query leaves out that frame and `margin` around it: so real frames can be asked too.
        """
        described, poses, where = (np.concatenate(x) for x in (self._described, self._poses, self._where))
        likeness = describe(frames) @ described.T
        for row, (episode, frame) in zip(likeness, without or []):
            row[(where[:, 0] == episode) & (np.abs(where[:, 1] - frame) <= margin)] = -np.inf
        return poses[likeness.argmax(-1)]


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-6)

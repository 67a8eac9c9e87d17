"""Reading speed and yaw rate back from pictures: did the video go where it was told to?

A direct method (arXiv 1607.02565 explains the family): what every camera sees is carried to the next frame by a candidate
motion of the ego, and the motion whose prediction looks most like that frame is the answer. It needs no training, so it
cannot have learnt a source's habits, and it works for any known rig. Where depth is not known the ground is taken for flat
and all else for ground, which reads the yaw rate well and the speed poorly. Robust weights leave moving bodies out.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from driving.gate.figures import luma
from driving.rig import Rig
from driving.scene import RATE

FARTHEST = 30.0
"""Metres up to which places are looked at."""
POINTS = 2500
"""Of the strongest gradient are compared."""
SPEEDS = np.arange(-3.0, 27.1, 1.5)
"""m/s tried first."""
TURNS = np.array([-0.5, -0.3, -0.15, -0.05, 0.05, 0.15, 0.3, 0.5])
"""rad/s tried first."""
BLURS = (2.0, 1.0, 0.5)
"""Pixels of blur, from the first search to the last refinement, for pictures 128 wide."""
SEARCH_POINTS = 600
STARTS = 2
"""Best candidates of the search that are refined."""
ITERATIONS = 5
SCALE = 8.0
"""Grey levels beyond which a difference counts less and less (Cauchy)."""
_STEP = np.array([0.05, 0.005])
"""m/s and rad/s over which derivatives are taken."""


@dataclass(frozen=True, slots=True)
class _Points:
    """Pixels of all cameras whose place is known; M of them."""

    camera: np.ndarray
    row: np.ndarray
    column: np.ndarray
    place: np.ndarray
    """float64 (M, 3): where, in the ego's axes."""

    def __getitem__(self, at: np.ndarray | slice) -> _Points:
        return _Points(self.camera[at], self.row[at], self.column[at], self.place[at])


class EgoMotionReader:
    """Reads the ego's motion from a rig's pictures."""

    def __init__(self, rig: Rig, rate: float = RATE):
        self.rig, self.rate = rig, rate
        k, self._extrinsics = rig.intrinsics().astype(np.float64), rig.extrinsics().astype(np.float64)
        self._to_picture = k @ np.linalg.inv(self._extrinsics)[:, :3]
        at = np.stack(np.meshgrid(np.arange(rig.width) + 0.5, np.arange(rig.height) + 0.5, [1.0]), -1)[:, :, 0]
        self._rays = at @ np.swapaxes(np.linalg.inv(k), -1, -2)[:, None]
        falls = (self._rays @ self._extrinsics[:, None, 2, :3, None])[..., 0]
        with np.errstate(all="ignore"):
            self._ground = np.where(falls < 0, -self._extrinsics[:, 2, 3, None, None] / falls, 0)
        """Depth (V, H, W) of flat ground; 0 above the horizon."""

    def read(self, frames: np.ndarray, depth: np.ndarray | None = None) -> np.ndarray:
        """uint8 (T, V, H, W, 3) -> float32 (T - 1, 2): m/s and rad/s from each frame to the next.

        `depth` (T, V, H, W): metres along the optical axis, 0 or infinite where there is nothing.
        """
        grey = luma(frames)
        width = frames.shape[3]
        levels = [_blurred(grey, blur * width / 128) for blur in BLURS]
        out = []
        for t in range(len(grey) - 1):
            points = self._points(self._ground if depth is None else depth[t].astype(np.float64))
            out.append(self._pair(points, [level[t] for level in levels], [level[t + 1] for level in levels]))
        return np.array(out, np.float32).reshape(-1, 2)

    def _points(self, depth: np.ndarray) -> _Points:
        near = (depth > 0) & (depth < FARTHEST)
        camera, row, column = np.nonzero(near)
        local = self._rays[near] * depth[near][:, None]
        pose = self._extrinsics[camera]
        return _Points(camera, row, column, (pose[:, :3, :3] @ local[:, :, None])[:, :, 0] + pose[:, :3, 3])

    def _pair(self, points: _Points, before: list[np.ndarray], after: list[np.ndarray]) -> np.ndarray:
        if not len(points.camera):
            return np.full(2, np.nan)
        strength = _strength(before[-1])[points.camera, points.row, points.column]
        chosen = points[np.argsort(-strength, kind="stable")[:POINTS]]
        sparse = chosen[slice(None, None, max(1, len(chosen.camera) // SEARCH_POINTS))]
        grid = np.stack(np.meshgrid(SPEEDS, TURNS, indexing="ij"), -1).reshape(-1, 2)
        costs = np.array([self._cost(sparse, before[0], after[0], motion) for motion in grid])
        motions = [self._refine(chosen, before, after, grid[i]) for i in np.argsort(costs)[:STARTS]]
        final = [self._cost(chosen, before[-1], after[-1], motion) for motion in motions]
        return motions[int(np.argmin(final))]

    def _carry(self, points: _Points, motion: np.ndarray) -> np.ndarray:
        """Where the points are in the next frame's pictures, if the ego moves so: (M, 2), NaN behind the camera."""
        turn, way = motion[1] / self.rate, motion[0] / self.rate
        x = points.place[:, 0] - way * np.cos(turn / 2)
        y = points.place[:, 1] - way * np.sin(turn / 2)
        cos, sin = np.cos(turn), np.sin(turn)
        ego = np.stack([cos * x + sin * y, cos * y - sin * x, points.place[:, 2]], 1)
        matrix = self._to_picture[points.camera]
        seen = (matrix[:, :, :3] @ ego[:, :, None])[:, :, 0] + matrix[:, :, 3]
        with np.errstate(all="ignore"):
            return np.where(seen[:, 2:] > 0.3, seen[:, :2] / seen[:, 2:], np.nan)

    def _sample(self, picture: np.ndarray, points: _Points, pixel: np.ndarray) -> np.ndarray:
        """Values (M,) of pictures (V, H, W) at pixels (M, 2) of the points' own cameras; NaN outside."""
        _, height, width = picture.shape
        u, v = pixel[:, 0] - 0.5, pixel[:, 1] - 0.5
        inside = (u >= 0) & (v >= 0) & (u <= width - 1) & (v <= height - 1)
        u, v = np.where(inside, u, 0), np.where(inside, v, 0)
        i, j = np.minimum(v.astype(int), height - 2), np.minimum(u.astype(int), width - 2)
        a, b = v - i, u - j
        c = points.camera
        top = picture[c, i, j] * (1 - b) + picture[c, i, j + 1] * b
        bottom = picture[c, i + 1, j] * (1 - b) + picture[c, i + 1, j + 1] * b
        return np.where(inside, top * (1 - a) + bottom * a, np.nan)

    def _cost(self, points: _Points, before: np.ndarray, after: np.ndarray, motion: np.ndarray) -> float:
        rest = self._sample(after, points, self._carry(points, motion)) - before[points.camera, points.row, points.column]
        known = np.isfinite(rest)
        return float(np.log1p((rest[known] / SCALE) ** 2).mean()) if known.any() else np.inf

    def _refine(self, points: _Points, before: list[np.ndarray], after: list[np.ndarray], motion: np.ndarray) -> np.ndarray:
        """Gauss-Newton on the robust difference, from coarse to fine."""
        motion = motion.astype(np.float64)
        for one, two in zip(before, after):
            told = one[points.camera, points.row, points.column]
            for _ in range(ITERATIONS):
                here = self._sample(two, points, self._carry(points, motion))
                slope = []
                for axis in range(2):
                    step = np.eye(2)[axis] * _STEP
                    slope.append((self._sample(two, points, self._carry(points, motion + step)) - here) / _STEP[axis])
                J = np.stack(slope, 1)
                rest = here - told
                known = np.isfinite(rest) & np.isfinite(J).all(1)
                J, rest = J[known], rest[known]
                weight = 1 / (1 + (rest / SCALE) ** 2)
                normal = (J * weight[:, None]).T @ J + np.diag([1e-3, 1e-2])
                change = np.linalg.solve(normal, -(J * weight[:, None]).T @ rest)
                motion = motion + np.clip(change, [-2, -0.3], [2, 0.3])
                if np.abs(change[0]) < 0.01 and np.abs(change[1]) < 5e-4:
                    break
        return motion


def _blurred(grey: np.ndarray, deviation: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(p, (0, 0), deviation) for p in grey.reshape(-1, *grey.shape[-2:])]).reshape(grey.shape)


def _strength(grey: np.ndarray) -> np.ndarray:
    """Size of the gradient of (V, H, W)."""
    return np.abs(np.gradient(grey, axis=-1)) + np.abs(np.gradient(grey, axis=-2))

"""What the gate measures of a scene's pictures beside the detector: overlap, motion, stillness, sharpness, drift.

Every figure is None where a scene offers nothing to measure it on. Shape letters: T frames, V cameras, H, W.
"""

from __future__ import annotations

import cv2
import numpy as np

from driving.gate.boxes import Boxes, Sight
from driving.scene import RATE

SKY = 1000.0
"""Metres: what is further counts as this far."""
OVERLAP_EVERY, MOTION_EVERY = 5, 2
"""Overlap and motion are measured at every so-manieth frame."""
MIN_SHARED = 40
"""Pixels that two cameras must share in a frame to be compared."""
AGREE = 0.05
"""Share of the depth by which two cameras' depths of one place may differ."""
MOVING_SIDE = 6.0
"""Pixels: sides of a box whose motion is measured."""
MIN_MOTIONS = 12
"""Box motions needed for a correlation."""
DRIVING_SPEED = 1.0
"""m/s: above it, pictures must change."""
STILL_PAIRS = 5
"""Consecutive frame pairs (half a second) whose mean change is judged."""
DRIFT_FRAMES = 5
"""Frames over which colours are averaged before they are compared."""
_UPSCALE = 2
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def luma(frames: np.ndarray) -> np.ndarray:
    """uint8 (..., 3) RGB -> float32 (...) in 0..255."""
    return frames.astype(np.float32) @ _LUMA


def overlap_error(frames: np.ndarray, depth: np.ndarray | None, pose: np.ndarray, intrinsics: np.ndarray) -> float | None:
    """How much cameras differ where they see the same: mean absolute colour difference as a share of full scale.

    Every pixel of one camera is carried by its depth into every other and compared where both depths agree.
    """
    if depth is None:
        return None
    total, count = 0.0, 0
    k = np.asarray(intrinsics, np.float64)
    steps, cameras, height, width, _ = frames.shape
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    grid = np.stack([u, v, np.ones_like(u)], -1)
    for i in range(cameras):
        ray = grid @ np.linalg.inv(k[i]).T
        for j in range(cameras):
            change = np.linalg.inv(pose[0, j].astype(np.float64)) @ pose[0, i]
            if i == j or not _meet(ray, change, k[j], width, height):
                continue
            for t in range(0, steps, OVERLAP_EVERY):
                here = _known(depth[t, i])
                there = (ray * here[..., None]) @ change[:3, :3].T + change[:3, 3]
                z = there[..., 2]
                with np.errstate(all="ignore"):
                    pixel = (there @ k[j].T)[..., :2] / z[..., None]
                inside = (z > 0) & (pixel >= 0.5).all(-1) & (pixel[..., 0] < width - 0.5) & (pixel[..., 1] < height - 0.5)
                if inside.sum() < MIN_SHARED:
                    continue
                x, y = pixel[inside].T
                other = _known(depth[t, j])[y.astype(int), x.astype(int)]
                same = np.abs(other - z[inside]) < AGREE * z[inside]
                if same.sum() < MIN_SHARED:
                    continue
                at = (x[same].astype(np.float32) - 0.5, y[same].astype(np.float32) - 0.5)
                seen = cv2.remap(frames[t, j].astype(np.float32), at[0][None], at[1][None], cv2.INTER_LINEAR)[0]
                total += float(np.abs(seen - frames[t, i][inside][same]).mean(-1).sum())
                count += int(same.sum())
    return total / count / 255 if count else None


def _known(depth: np.ndarray) -> np.ndarray:
    """Depth with the sky, which is 0 or infinite, put far away."""
    out = np.minimum(depth.astype(np.float64), SKY)
    out[out == 0] = SKY
    return out


def _meet(ray: np.ndarray, change: np.ndarray, k: np.ndarray, width: int, height: int) -> bool:
    """Whether two cameras share any of the far distance."""
    far = ray @ change[:3, :3].T @ k.T
    with np.errstate(all="ignore"):
        pixel = far[..., :2] / far[..., 2:]
    return bool(((far[..., 2] > 0) & (pixel >= 0).all(-1) & (pixel < (width, height)).all(-1)).sum() >= MIN_SHARED)


def motion_agreement(frames: np.ndarray, boxes: Boxes, sight: Sight, demanded: np.ndarray) -> float | None:
    """Correlation of the optical flow inside told moving boxes with the motion of the boxes' projections."""
    flow_of = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    told, seen = [], []
    side = np.minimum(sight.box[..., 2] - sight.box[..., 0], sight.box[..., 3] - sight.box[..., 1])
    whole = demanded & (sight.inside > 0.95) & (side >= MOVING_SIDE) & (np.abs(boxes.speed) > DRIVING_SPEED)[:, None]
    centre = (sight.box[..., :2] + sight.box[..., 2:]) / 2
    for t in range(0, len(frames) - 1, MOTION_EVERY):
        for v in np.flatnonzero((whole[t] & whole[t + 1]).any(-1)):
            before, after = (_enlarged(frames[s, v]) for s in (t, t + 1))
            flow = flow_of.calc(before, after, np.zeros((*before.shape, 2), np.float32)) / _UPSCALE
            for n in np.flatnonzero(whole[t, v] & whole[t + 1, v]):
                x0, y0, x1, y1 = np.rint(sight.box[t, v, n] * _UPSCALE).astype(int)
                inner = flow[y0 + (y1 - y0) // 4 : y1 - (y1 - y0) // 4, x0 + (x1 - x0) // 4 : x1 - (x1 - x0) // 4]
                told.append(centre[t + 1, v, n] - centre[t, v, n])
                seen.append(np.median(inner.reshape(-1, 2), 0))
    if len(told) < MIN_MOTIONS:
        return None
    a, b = np.ravel(told), np.ravel(seen)
    if a.std() < 0.1:
        return None
    return float(np.corrcoef(a, b)[0, 1]) if b.std() > 1e-6 else 0.0


def _enlarged(frame: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, None, fx=_UPSCALE, fy=_UPSCALE, interpolation=cv2.INTER_LINEAR)


def ego_speed(pose: np.ndarray) -> np.ndarray:
    """(T - 1,) m/s between frames, from camera poses (T, V, 4, 4)."""
    return np.linalg.norm(np.diff(pose[:, :, :2, 3].astype(np.float64).mean(1), axis=0), axis=-1) * RATE


def stillest(frames: np.ndarray, pose: np.ndarray) -> float | None:
    """The least that any camera's picture changes in half a second of driving: log10 of the change over the contrast."""
    driving = ego_speed(pose) > DRIVING_SPEED
    if len(driving) < STILL_PAIRS:
        return None
    grey = luma(frames)
    contrast = np.maximum(grey.std((-2, -1)), 1.0)[:-1]
    change = np.abs(np.diff(grey, axis=0)).mean((-2, -1)) / contrast  # T-1 V
    kernel = np.ones(STILL_PAIRS) / STILL_PAIRS
    mean = np.stack([np.convolve(column, kernel, "valid") for column in change.T])
    throughout = np.convolve(driving, kernel, "valid") > 0.99
    return float(np.log10(mean[:, throughout].min() + 1e-4)) if throughout.any() else None


def sharpness(frames: np.ndarray) -> float:
    """Gradient of the pictures over that of the pictures a little blurred: contrast and weather cancel, focus remains."""
    fine, coarse = 0.0, 0.0
    for picture in frames[::OVERLAP_EVERY].reshape(-1, *frames.shape[2:]):
        grey = luma(picture)
        fine += _gradient(grey)
        coarse += _gradient(cv2.GaussianBlur(grey, (0, 0), 1.0))
    return fine / max(coarse, 1e-6)


def _gradient(grey: np.ndarray) -> float:
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


def colour_drift(frames: np.ndarray) -> float | None:
    """The most that mean colours move away from the beginning's, in the median camera, as a share of full scale.

    What comes into view differs from camera to camera; drift does not.
    """
    if len(frames) < 2 * DRIFT_FRAMES:
        return None
    usable = len(frames) // DRIFT_FRAMES * DRIFT_FRAMES
    mean = frames[:usable].mean((2, 3)).reshape(-1, DRIFT_FRAMES, frames.shape[1], 3).mean(1)
    return float(np.abs(np.median(mean - mean[0], axis=1)).max() / 255)

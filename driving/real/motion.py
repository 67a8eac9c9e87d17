"""How the car moved while it was filmed: a track on the ground, from logged speed and yaw rate or from measured poses."""

from __future__ import annotations

import numpy as np

from driving.nuscenes.geometry import rotation

EARTH = (6378137.0, 6378137.0, 6356752.314245)
"""Half axes of the WGS 84 ellipsoid, metres."""


def integrate(times: np.ndarray, speed: np.ndarray, yaw_rate: np.ndarray, at: np.ndarray) -> np.ndarray:
    """float64 (N, 4) x, y, yaw, speed at seconds `at` (N,), from logs (M,) at seconds `times`, in m/s and rad/s.

    The car starts at the origin and looks along x; between two entries of the log both quantities change evenly.
    """
    clock = np.union1d(times, at)
    speed, yaw_rate = np.interp(clock, times, speed), np.interp(clock, times, yaw_rate)
    yaw = _accumulated(yaw_rate, clock)
    middle = (yaw[1:] + yaw[:-1]) / 2
    way = (speed[1:] + speed[:-1]) / 2 * np.diff(clock)
    x, y = (np.concatenate([[0.0], np.cumsum(way * f(middle))]) for f in (np.cos, np.sin))
    track = np.stack([x, y, yaw, speed], 1)[np.searchsorted(clock, at)]
    origin = track[0].copy()
    cos, sin = np.cos(origin[2]), np.sin(origin[2])
    track[:, :2] = (track[:, :2] - origin[:2]) @ np.array([[cos, -sin], [sin, cos]])
    track[:, 2] -= origin[2]
    return track


def _accumulated(rate: np.ndarray, clock: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2 * np.diff(clock))])


def camera_poses(positions: np.ndarray, orientations: np.ndarray, height: float) -> np.ndarray:
    """float64 (N, 4, 4) camera to world, from positions (N, 3) in metres from the middle of the earth (ECEF), and quaternions
    (N, 4) w, x, y, z that turn a device's axes (x forward, y right, z down) into those.

    The world's x is east, y north, z up at the first position, which is at (0, 0, height).
    """
    up = _unit(positions[0] / np.square(EARTH))
    east = _unit(np.cross([0.0, 0.0, 1.0], up))
    to_world = np.stack([east, np.cross(up, east), up])
    device = np.stack([rotation(list(q)) for q in orientations])
    out = np.tile(np.eye(4), (len(positions), 1, 1))
    out[:, :3, :3] = to_world @ device[:, :, [1, 2, 0]]  # a camera's right, down and forward are the device's y, z and x
    out[:, :3, 3] = (positions - positions[0]) @ to_world.T + (0, 0, height)
    return out


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def track_of(poses: np.ndarray, times: np.ndarray, ahead: float) -> np.ndarray:
    """float64 (N, 4) x, y, yaw, speed of the rear axle, `ahead` metres behind a camera with poses (N, 4, 4)."""
    yaw = np.unwrap(np.arctan2(poses[:, 1, 2], poses[:, 0, 2]))
    place = poses[:, :2, 3] - ahead * np.stack([np.cos(yaw), np.sin(yaw)], 1)
    speed = np.linalg.norm(np.gradient(place, times, axis=0), axis=1) if len(times) > 1 else np.zeros(1)
    return np.concatenate([place, yaw[:, None], speed[:, None]], 1)

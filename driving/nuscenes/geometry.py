"""Rotations and boxes as nuScenes writes them."""

from __future__ import annotations

import math

import numpy as np

Quaternion = tuple[float, float, float, float]
"""w, x, y, z."""


def quaternion(rotation: np.ndarray) -> Quaternion:
    """Unit quaternion with w >= 0 of a rotation matrix (3, 3), by its largest component (Shepperd 1978)."""
    m = np.asarray(rotation, np.float64)
    squares = np.array([1 + m.trace(), *(1 + 2 * m[i, i] - m.trace() for i in range(3))])
    largest = int(squares.argmax())
    q = np.zeros(4)
    q[largest] = math.sqrt(squares[largest]) / 2
    scale = 1 / (4 * q[largest])
    odd = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]]) * scale
    if largest == 0:
        q[1:] = odd
    else:
        i = largest - 1
        q[0] = odd[i]
        for j in {0, 1, 2} - {i}:
            q[1 + j] = (m[i, j] + m[j, i]) * scale
    q /= np.linalg.norm(q) * (-1 if q[0] < 0 else 1)
    return (float(q[0]), float(q[1]), float(q[2]), float(q[3]))


def rotation(q: Quaternion | list[float]) -> np.ndarray:
    """float64 (3, 3) of a quaternion, which need not have unit length."""
    w, x, y, z = np.asarray(q, np.float64) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def yaw_quaternion(yaw: float) -> Quaternion:
    """Of a turn about the vertical, radians counter-clockwise."""
    turn = math.remainder(yaw, 2 * math.pi) / 2
    return (math.cos(turn), 0.0, 0.0, math.sin(turn))


def yaw_of(q: Quaternion | list[float]) -> float:
    """Heading of the x axis after a rotation, radians counter-clockwise."""
    x, y, _ = rotation(q)[:, 0]
    return math.atan2(y, x)


def transform(translation: list[float], q: Quaternion | list[float]) -> np.ndarray:
    """float64 (4, 4) of a record's `translation` and `rotation`: its own axes to those it is given in."""
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rotation(q), translation
    return out


def box_pose(x: float, y: float, yaw: float, height: float) -> np.ndarray:
    """float64 (4, 4): axes of a box that stands on the ground (x along its length, origin in its middle) to the world."""
    return transform([x, y, height / 2], yaw_quaternion(yaw))


def box_corners(pose: np.ndarray, size: tuple[float, float, float]) -> np.ndarray:
    """float64 (8, 3) in the world: front left, front right, back right, back left below; then the same above."""
    width, length, height = size
    ends = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * (length / 2, width / 2)
    corners = np.concatenate([np.c_[ends, np.full(4, z * height / 2)] for z in (-1, 1)])
    return corners @ pose[:3, :3].T + pose[:3, 3]

"""Whether a ride is comfortable: nuPlan's bounds (arXiv 2106.11810) on accelerations, jerks and turning."""

from __future__ import annotations

import numpy as np

from driving.scene import RATE

BRAKING, ACCELERATION = -4.05, 2.40
"""Longitudinal, m/s^2."""
LATERAL = 4.89
JERK, LONGITUDINAL_JERK = 8.37, 4.13
"""m/s^3."""
YAW_RATE, YAW_ACCELERATION = 0.95, 1.93
"""radians/s, radians/s^2."""
WINDOW = 9
"""Frames over which a slope is fitted."""


def comfortable(states: np.ndarray) -> bool:
    """Whether ego states (T, 4), a frame apart, keep every bound at every frame."""
    speed, yaw = states[:, 3], np.unwrap(states[:, 2])
    rate = slope(yaw)
    along, across = slope(speed), speed * rate
    along_jerk, across_jerk = slope(along), slope(across)
    return bool(
        (along >= BRAKING).all()
        and (along <= ACCELERATION).all()
        and (np.abs(across) <= LATERAL).all()
        and (np.hypot(along_jerk, across_jerk) <= JERK).all()
        and (np.abs(along_jerk) <= LONGITUDINAL_JERK).all()
        and (np.abs(rate) <= YAW_RATE).all()
        and (np.abs(slope(rate)) <= YAW_ACCELERATION).all()
    )


def slope(values: np.ndarray) -> np.ndarray:
    """Derivative (T,) a second of values (T,) by a parabola fitted around each (Savitzky and Golay 1964)."""
    count = min(WINDOW, len(values))
    if count < 3:
        return np.gradient(values, 1 / RATE) if len(values) > 1 else np.zeros_like(values)
    starts = np.clip(np.arange(len(values)) - count // 2, 0, len(values) - count)
    rows = starts[:, None] + np.arange(count)
    fit = np.linalg.pinv(np.stack([np.ones(count), np.arange(count), np.arange(count) ** 2], -1))
    _, linear, square = np.einsum("kc,tc->kt", fit, values[rows])
    return (linear + 2 * square * (np.arange(len(values)) - starts)) * RATE

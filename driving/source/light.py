"""Sun, sky, fog and exposure of an ambience. Colours are RGB shares from 0 to 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from driving.scene import Ambience


@dataclass(frozen=True, slots=True)
class Light:
    """What an ambience does to a picture."""

    sun: np.ndarray
    """float32 (3,): direction towards the sun."""
    direct: np.ndarray
    """float32 (3,): what a surface that faces the sun gets of it."""
    ambient: np.ndarray
    """float32 (3,): what every surface gets."""
    zenith: np.ndarray
    """float32 (3,): the sky overhead."""
    horizon: np.ndarray
    """float32 (3,): the sky at the horizon, and fog."""
    glow: np.ndarray
    """float32 (3,): added to the sky around the sun."""
    haze: float
    """Extinction per metre."""
    dark: float
    """From 0 by day to 1 at night: how much lamps matter."""

    @property
    def brightest(self) -> float:
        """What a white surface that faces the sun gives back."""
        return float((self.ambient + self.direct).max())


def light(ambience: Ambience) -> Light:
    """The light of an ambience."""
    elevation, azimuth = math.radians(ambience.sun_elevation), math.radians(ambience.sun_azimuth)
    sun = (math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation))
    day = _smooth(-9, 12, ambience.sun_elevation)
    low = day * (1 - _smooth(2, 25, ambience.sun_elevation))
    cover = 1 - (1 - ambience.cloud) * (1 - 0.8 * ambience.rain) * (1 - 0.7 * ambience.snow) * (1 - 0.9 * ambience.fog)
    above = _smooth(-1, 6, ambience.sun_elevation)
    direct = above * (1 - 0.92 * cover) * _mix((0.95, 0.90, 0.80), (0.95, 0.62, 0.36), low)
    daylight = _mix((0.50, 0.54, 0.62), (0.62, 0.64, 0.66), cover) * (1 - 0.28 * cover * ambience.rain)
    ambient = _mix((0.15, 0.165, 0.22), daylight, day)
    zenith = _mix((0.025, 0.032, 0.070), _mix((0.27, 0.47, 0.80), (0.60, 0.63, 0.67), cover), day)
    horizon = _mix((0.085, 0.092, 0.125), _mix((0.70, 0.80, 0.90), (0.70, 0.72, 0.74), cover), day)
    horizon = _mix(horizon, (0.88, 0.62, 0.44), 0.55 * low * (1 - cover))
    zenith = _mix(zenith, horizon, min(1.0, 1.5 * ambience.fog))
    grey = 1 - 0.3 * ambience.rain
    return Light(
        np.array(sun, np.float32),
        direct,
        ambient,
        zenith * grey,
        horizon * grey,
        (1 - 0.9 * cover) * day * _mix((0.9, 0.85, 0.7), (1.0, 0.72, 0.40), low),
        0.0012 + 0.085 * ambience.fog**1.5 + 0.010 * ambience.rain + 0.016 * ambience.snow,
        1 - _smooth(-8, 5, ambience.sun_elevation),
    )


def _smooth(low: float, high: float, value: float) -> float:
    """0 below `low`, 1 above `high`, smooth between."""
    t = min(1.0, max(0.0, (value - low) / (high - low)))
    return t * t * (3 - 2 * t)


def _mix(first: ArrayLike, second: ArrayLike, share: float) -> np.ndarray:
    return (np.asarray(first) * (1 - share) + np.asarray(second) * share).astype(np.float32)

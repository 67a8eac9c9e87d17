"""What is known of a frame as a whole, as numbers for the network: weather, light, and where the sun stands."""

from __future__ import annotations

import math

import numpy as np

from driving.scene import Ambience, State

FACTS_SIZE = 11


def facts(ambience: Ambience, ego: State) -> np.ndarray:
    """float32 (FACTS_SIZE,); all zero means that nothing is known."""
    elevation, azimuth = math.radians(ambience.sun_elevation), math.radians(ambience.sun_azimuth) - ego.yaw
    return np.array(
        [
            1.0,
            ambience.rain,
            ambience.snow,
            ambience.fog,
            ambience.cloud,
            math.sin(elevation),
            math.cos(elevation),
            float(ambience.night),
            math.cos(azimuth) * math.cos(elevation),
            math.sin(azimuth) * math.cos(elevation),
            ego.speed / 10,
        ],
        np.float32,
    )

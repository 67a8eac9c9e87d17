"""Named weathers and times of day, and what they look like: an `Ambience` drawn from their ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from driving.scene import Ambience

Span = tuple[float, float]
"""Lowest and highest value."""
NONE: Span = (0.0, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Weather:
    """Shares from 0 to 1, each from a span."""

    rain: Span = NONE
    snow: Span = NONE
    fog: Span = NONE
    cloud: Span = NONE


@dataclass(frozen=True, kw_only=True, slots=True)
class Time:
    """Where the sun stands, in degrees."""

    elevation: Span
    facing: Span | None = None
    """Azimuth relative to the ego's heading; None: anywhere."""


WEATHERS: dict[str, Weather] = {
    "clear": Weather(cloud=(0.0, 0.3)),
    "cloudy": Weather(cloud=(0.6, 1.0)),
    "rain": Weather(rain=(0.3, 0.6), cloud=(0.7, 1.0), fog=(0.0, 0.1)),
    "heavy_rain": Weather(rain=(0.75, 1.0), cloud=(0.9, 1.0), fog=(0.1, 0.25)),
    "fog": Weather(fog=(0.3, 0.55), cloud=(0.4, 0.9)),
    "dense_fog": Weather(fog=(0.7, 1.0), cloud=(0.6, 1.0)),
    "snow": Weather(snow=(0.4, 1.0), cloud=(0.7, 1.0), fog=(0.0, 0.2)),
}
TIMES: dict[str, Time] = {
    "day": Time(elevation=(25.0, 65.0)),
    "dawn": Time(elevation=(-4.0, 6.0)),
    "dusk": Time(elevation=(-5.0, 5.0)),
    "night": Time(elevation=(-50.0, -12.0)),
    "low_sun": Time(elevation=(3.0, 9.0), facing=(-14.0, 14.0)),
}


def draw(weather: str, time: str, heading: float, rng: np.random.Generator) -> Ambience:
    """Sample a named weather at a named time; `heading` is the ego's yaw in radians. Always takes the same number of draws."""
    sky, sun = WEATHERS[weather], TIMES[time]
    rain, snow, fog, cloud, elevation = (
        round(float(rng.uniform(*span)), 3) for span in (sky.rain, sky.snow, sky.fog, sky.cloud, sun.elevation)
    )
    azimuth = rng.uniform(*(sun.facing or (-180.0, 180.0))) + (math.degrees(heading) if sun.facing else 0.0)
    return Ambience(
        rain=rain, snow=snow, fog=fog, cloud=cloud, sun_elevation=elevation, sun_azimuth=round(float(azimuth) % 360, 3)
    )

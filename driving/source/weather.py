"""What light and weather do to a picture once every pixel's place is known: lamps, wetness, fog, sky, rain, snow."""

from __future__ import annotations

import cv2
import numpy as np

from driving.scene import Ambience
from driving.source.light import Light
from driving.source.mesh import Surface

GRAIN_SIZE = 256
"""Side of the tile of noise."""
GRAINS = {Surface.ASPHALT: 0.10, Surface.PAINT: 0.10, Surface.PAVING: 0.12, Surface.GRASS: 0.22, Surface.LEAVES: 0.25}
"""How much the brightness of a surface varies."""
HEADLIGHT_REACH = 22.0
CLOUD_HEIGHT = 5.0


def grain(rng: np.random.Generator) -> np.ndarray:
    """float32 (GRAIN_SIZE, GRAIN_SIZE): noise of several scales around 0 that tiles."""
    out = np.zeros((GRAIN_SIZE, GRAIN_SIZE), np.float32)
    for cells, weight in ((16, 0.5), (64, 0.35), (256, 0.4)):
        noise = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
        tiled = cv2.resize(np.tile(noise, (3, 3)), (3 * GRAIN_SIZE, 3 * GRAIN_SIZE), interpolation=cv2.INTER_LINEAR)
        out += weight * tiled[GRAIN_SIZE : 2 * GRAIN_SIZE, GRAIN_SIZE : 2 * GRAIN_SIZE]
    return out


def sky(rays: np.ndarray, light: Light, ambience: Ambience, noise: np.ndarray) -> np.ndarray:
    """float32 (..., 3) for unit directions (..., 3)."""
    up = np.clip(rays[..., 2], 0.02, 1)
    share = np.sqrt(up)[..., None]
    out = light.horizon * (1 - share) + light.zenith * share
    at = rays[..., :2] * (CLOUD_HEIGHT / up)[..., None]
    clouds = _sample(noise, at[..., 0], at[..., 1], 4.0)
    cover = np.clip((clouds + 1.6 * ambience.cloud - 0.9) * 1.5, 0, 1) * np.clip(up * 6, 0, 1) * (1 - 0.9 * light.dark)
    bright = light.horizon * 1.06 + 0.12 * light.direct
    out += cover[..., None] * (0.75 * (bright - out))
    near = np.clip(rays @ light.sun, 0, 1)
    halo = 0.5 * near**8 + 1.2 * near**64 + 4 * near**1200
    return out + halo[..., None] * light.glow


def falling(shape: tuple[int, int, int], share: float, length: int, rng: np.random.Generator) -> np.ndarray:
    """float32 (V, H, W) from 0 to 1: streaks of rain, or flakes where the length is 1."""
    views, height, width = shape
    out = np.zeros(shape, np.float32)
    many = round(share * height * width / (110 if length > 1 else 60))
    v, y = np.repeat(np.arange(views), many), rng.integers(-length, height, views * many)
    x, strength = rng.integers(0, width, views * many), rng.uniform(0.15, 0.6, views * many).astype(np.float32)
    for k in range(length):
        row = y + k
        seen = (row >= 0) & (row < height)
        out[v[seen], row[seen], x[seen]] = strength[seen]
    return out


def headlights(local: np.ndarray) -> np.ndarray:
    """float32 (...,): what the ego's lamps give at places (..., 3) in its axes."""
    x, y, z = local[..., 0] - 3.5, local[..., 1], local[..., 2]
    distance = np.maximum(x, 0.5)
    beam = np.exp(-((y / (1.2 + 0.32 * distance)) ** 2) - (np.maximum(z - 0.5, 0) / (0.6 + 0.06 * distance)) ** 2)
    return (beam * np.clip((x + 1) / 2, 0, 1) / (1 + (distance / HEADLIGHT_REACH) ** 2)).astype(np.float32)


def _sample(noise: np.ndarray, x: np.ndarray, y: np.ndarray, per_unit: float) -> np.ndarray:
    """The tile of noise at places, `per_unit` of its cells a unit."""
    mask = GRAIN_SIZE - 1
    return noise[(y * per_unit).astype(np.int32) & mask, (x * per_unit).astype(np.int32) & mask]


sample = _sample

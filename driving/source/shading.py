"""The picture, from the numbers of the triangles that its pixels see: grain, shadows, lamps, fog, sky, rain and snow."""

from __future__ import annotations

import cv2
import numpy as np

from driving.rig import Rig, ego_pose
from driving.road.network import Road
from driving.scene import Ambience, Moment
from driving.source import weather
from driving.source.floor import Floor
from driving.source.light import Light
from driving.source.mesh import Surface
from driving.source.table import Table

BEHIND = 300.0
"""Distance given to the sky where a pixel shows only a little of something else."""
CONTACT = 0.55
"""How much darker the ground is under a body."""
HEADLIGHT = np.array([0.95, 0.90, 0.78], np.float32)
STREET_LIGHT = np.array([0.80, 0.62, 0.38], np.float32)
LAMP_TOP = 7.0
"""Street lamps light what is lower than this."""
GRAIN_FADES = 14.0
"""Distance beyond which grain is finer than pixels and fades."""
GRAIN_PER_METRE = 6.0
PIERCING = 0.6
"""Share of the fog that a lamp's light gets through."""
MIRROR = 0.35
"""How much of the sky a soaked road gives back at a grazing angle."""
_FLAT = np.array([s in (Surface.ASPHALT, Surface.PAINT, Surface.PAVING, Surface.GRASS) for s in Surface])


class Shading:
    """For one scene."""

    def __init__(self, road: Road, rig: Rig, ambience: Ambience, light: Light, table: Table, seed: int) -> None:
        self._ambience, self._light, self._table, self._seed = ambience, light, table, seed
        self._noise = weather.grain(np.random.default_rng(seed))
        self._floor = Floor(road, light)
        self._grains = np.array([weather.GRAINS.get(s, 0.0) for s in Surface], np.float32)
        up = light.ambient + light.direct * max(float(light.sun[2]), 0)
        self._sunlit = light.direct * max(float(light.sun[2]), 0) / up
        """Share of the ground's light that comes from the sun."""

    def colour(
        self, numbers: np.ndarray, nearest: np.ndarray, rays: np.ndarray, depth: np.ndarray, poses: np.ndarray, moment: Moment
    ) -> np.ndarray:
        """uint8 (V, H, W, 3).

        `numbers` (V, H x scale, W x scale) are the samples' triangles, `nearest` (V, H, W) those of the pixels' middles at
        `depth`; `rays` (V, H, W, 3) go through these, 1 long along the optical axis; `poses` are camera to world.
        """
        light, table = self._light, self._table
        views, height, width = nearest.shape
        fine = table.palette.view("<u4")[:, 0][numbers].view(np.uint8).reshape(*numbers.shape, 4)
        small = _shrunk(fine, height, width).astype(np.float32) * np.float32(1 / 255)
        solid = _shrunk(np.where(numbers > 0, np.uint8(255), np.uint8(0))[..., None], height, width)[..., None]
        solid = solid.reshape(views, height, width, 1).astype(np.float32) * np.float32(1 / 255)
        base, glow = small[..., :3], small[..., 3:]
        far = np.where(np.isfinite(depth), depth, np.float32(BEHIND))
        places = rays * far[..., None] + poses[:, None, None, :3, 3]
        self._floor.maps(moment)
        surface = table.surface[nearest]
        self._grain(base, surface, places, far)
        lit = base * (glow + (1 - glow) * self._shine(surface, places, moment))
        heaven = np.zeros_like(lit)
        open_sky = solid[..., 0] < 1
        heaven[open_sky] = weather.sky(_unit(rays[open_sky]), light, self._ambience, self._noise)
        if self._ambience.rain:
            self._mirror(lit, surface, rays)
        clear = np.exp(-light.haze * far)[..., None]
        clear = clear + PIERCING * glow * (1 - clear)
        out = lit * clear + solid * (1 - clear) * light.horizon + (1 - solid) * heaven
        self._falling(out, moment.time)
        return (np.clip(out, 0, 1) * 255 + 0.5).astype(np.uint8)

    def _grain(self, base: np.ndarray, surface: np.ndarray, places: np.ndarray, far: np.ndarray) -> None:
        amount = self._grains[surface] * np.minimum(GRAIN_FADES / far, 1)
        noise = weather.sample(self._noise, places[..., 0] + places[..., 2], places[..., 1], GRAIN_PER_METRE)
        base *= (1 + amount * noise)[..., None]

    def _shine(self, surface: np.ndarray, places: np.ndarray, moment: Moment) -> np.ndarray:
        """float32 (V, H, W, 3): the light at each place over that of the palette."""
        light = self._light
        shadow, contact, pools = self._floor.read(places)
        flat = _FLAT[surface]
        shadow, contact = shadow * flat, contact * flat
        shine = (1 - shadow[..., None] * self._sunlit) * ((1 - CONTACT * contact) * np.float32(light.brightest))[..., None]
        if light.dark:
            ego = moment.ego
            back = np.linalg.inv(ego_pose(ego.x, ego.y, ego.yaw)).astype(np.float32)
            beam = weather.headlights(places @ back[:3, :3].T + back[:3, 3])
            pools = pools * np.clip(LAMP_TOP - places[..., 2], 0, 1)
            shine += light.dark * (beam[..., None] * HEADLIGHT + pools[..., None] * STREET_LIGHT)
        return shine

    def _mirror(self, lit: np.ndarray, surface: np.ndarray, rays: np.ndarray) -> None:
        """A wet road reflects the sky, the more the flatter it is looked at (Schlick's approximation)."""
        wet = (surface == Surface.ASPHALT) | (surface == Surface.PAINT)
        steep = np.clip(-_unit(rays[wet])[..., 2], 0, 1)
        share = (MIRROR * self._ambience.rain * (1 - steep) ** 5)[..., None]
        lit[wet] += share * (self._light.horizon - lit[wet])

    def _falling(self, out: np.ndarray, time: float) -> None:
        """Rain and snow before the camera."""
        shape = out.shape[:3]
        rng = np.random.default_rng([self._seed, round(time * 1000) % 2**32])
        level = 0.85 - 0.45 * self._light.dark
        for share, length, strength in ((self._ambience.rain, max(3, shape[1] // 10), 0.4), (self._ambience.snow, 1, 1.3)):
            if share:
                drops = np.minimum(strength * weather.falling(shape, share, length, rng), 1)[..., None]
                out += drops * (level - out)


def _unit(rays: np.ndarray) -> np.ndarray:
    return rays / np.sqrt((rays**2).sum(-1, keepdims=True))


def _shrunk(fine: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 (V, H, W, C) by area."""
    views, channels = len(fine), fine.shape[-1]
    rows = fine.reshape(-1, fine.shape[2], channels)
    return cv2.resize(rows, (width, views * height), interpolation=cv2.INTER_AREA).reshape(views, height, width, channels)

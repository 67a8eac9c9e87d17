"""The source world: Panda3D finds which triangle every pixel sees; colour, depth and labels are computed from that.

Pictures are drawn at SCALE times their size and averaged. Depth and ids are those of one sample near each pixel's middle.
"""

from __future__ import annotations

import numpy as np

from driving.rig import Rig
from driving.road.network import Road
from driving.scene import Ambience, Images, Moment
from driving.source import scenery
from driving.source.cast import Cast
from driving.source.light import light
from driving.source.mesh import Lamp, Mesh
from driving.source.raster import Raster
from driving.source.shading import Shading
from driving.source.table import Table

SCALE = 2
"""Samples a pixel, each way."""
TILE = 48.0
"""Side of the squares of ground that are drawn or left out together."""


class PandaSource:
    """An Imager (driving.source.imager). Several may exist in a process."""

    def __init__(self) -> None:
        self._raster = Raster()

    def begin(self, road: Road, rig: Rig, ambience: Ambience, seed: int) -> None:
        """Build the scene: the same arguments and moments give the same pictures, bit for bit."""
        self._rig, self._light = rig, light(ambience)
        self._dusk = max(self._light.dark, 0.6 * max(ambience.fog, ambience.rain, ambience.snow))
        rng = np.random.default_rng(seed)
        intrinsics = rig.intrinsics()
        self._rays = _rays(intrinsics, rig.width, rig.height)
        fine = intrinsics * np.array([[SCALE], [SCALE], [1]], np.float32)
        self._raster.begin(fine, rig.width * SCALE, rig.height * SCALE)
        self._table = Table(self._light, ambience)
        for layer, mesh in enumerate(scenery.ground(road)):
            for tile in _tiles(mesh):
                self._stand(tile, layer)
        for mesh in scenery.standing(road, rng):
            self._stand(mesh)
        self._cast = Cast(road, self._table, self._raster)
        self._shading = Shading(road, rig, ambience, self._light, self._table, seed)

    def show(self, moment: Moment) -> Images:
        """The moment. Only brake lights depend on the one shown before it."""
        self._cast.play(moment, self._dusk)
        poses = self._rig.poses(moment.ego.x, moment.ego.y, moment.ego.yaw)
        numbers = self._raster.numbers(poses)
        nearest = np.ascontiguousarray(numbers[:, ::SCALE, ::SCALE])
        rays = self._rays @ poses[:, None, :3, :3].transpose(0, 1, 3, 2)
        depth = self._depth(nearest, rays, poses)
        colour = self._shading.colour(numbers, nearest, rays, depth, poses, moment)
        return Images(colour, depth, self._table.actor[nearest])

    def close(self) -> None:
        """Free the engine's buffer."""
        self._raster.close()

    def _stand(self, mesh: Mesh, layer: int | None = None) -> None:
        """Add what stands still; its windows and lamps glow at night."""
        rows = self._table.add(mesh)
        self._raster.add(mesh.triangles, layer)
        self._table.place(rows, mesh.triangles)
        self._table.paint(rows, np.where(mesh.lamp != Lamp.NONE, self._light.dark, 0.0))

    def _depth(self, nearest: np.ndarray, rays: np.ndarray, poses: np.ndarray) -> np.ndarray:
        """Where each ray meets the plane of the triangle it sees."""
        plane = self._table.plane[nearest]
        towards = np.einsum("vhwc,vhwc->vhw", plane[..., :3], rays)
        height = plane[..., 3] - np.einsum("vhwc,vc->vhw", plane[..., :3], poses[:, :3, 3])
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = height / towards
        return np.where((nearest > 0) & (depth > 0), depth, np.inf).astype(np.float32)


def _rays(intrinsics: np.ndarray, width: int, height: int) -> np.ndarray:
    """float32 (V, H, W, 3): directions through pixels' middles in camera axes, 1 along the optical axis."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixels = np.stack([x, y, np.ones_like(x)], -1)
    return np.stack([pixels @ np.linalg.inv(k.astype(float)).T for k in intrinsics]).astype(np.float32)


def _tiles(mesh: Mesh) -> list[Mesh]:
    """The mesh in squares of ground."""
    cell = np.floor(mesh.triangles[..., :2].mean(1) / TILE).astype(int)
    _, group = np.unique(cell, axis=0, return_inverse=True)
    group = group.ravel()
    names = ("triangles", "colour", "surface", "lamp")
    return [Mesh(*(getattr(mesh, n)[group == g] for n in names)) for g in range(group.max() + 1)]

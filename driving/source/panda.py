"""The source world: Panda3D finds which triangle every pixel sees; colour, depth and labels are computed from that.

Pictures are drawn at SCALE times their size and averaged. Depth and ids are those of one sample near each pixel's middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from driving.rig import Rig, ego_pose
from driving.road.network import Road
from driving.scene import Actor, Ambience, Images, Moment, State
from driving.source import scenery, weather
from driving.source.bodies import Body, body
from driving.source.light import Light, light
from driving.source.mesh import Lamp, Mesh, Surface, joined, transformed
from driving.source.raster import Raster

SCALE = 2
"""Samples a pixel, each way."""
BRAKING = 0.8
"""Deceleration in m/s2 from which brake lights are on."""
BLINK = 0.4
"""Seconds that a beacon is on, and off."""
SNOW = np.array([0.92, 0.94, 0.97], np.float32)
TILE = 48.0
"""Side of the squares of ground that are drawn or left out together."""


@dataclass(slots=True)
class _Placed:
    """An actor in the engine."""

    body: Body
    nodes: list[Any]
    slices: list[slice]
    """Each part's rows in the table of triangles."""


class _Table:
    """What is known of every numbered triangle; row 0 is the sky."""

    def __init__(self) -> None:
        self.size = 1
        self.plane = np.zeros((1024, 4), np.float32)
        """Normal and its product with a corner, in the world."""
        self.albedo = np.zeros((1024, 3), np.float32)
        self.surface = np.zeros(1024, np.uint8)
        self.lamp = np.zeros(1024, np.uint8)
        self.actor = np.zeros(1024, np.int32)
        self.palette = np.zeros((1024, 4), np.uint8)
        """Colour in the light of the scene, and the share of it that glows."""

    def add(self, mesh: Mesh, actor: int = 0) -> slice:
        first, last = self.size, self.size + len(mesh)
        while last > len(self.plane):
            for name in ("plane", "albedo", "surface", "lamp", "actor", "palette"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros_like(old)]))
        rows = slice(first, last)
        self.albedo[rows] = mesh.colour / np.float32(255)
        self.surface[rows], self.lamp[rows], self.actor[rows] = mesh.surface, mesh.lamp, actor
        self.size = last
        return rows

    def place(self, rows: slice, triangles: np.ndarray) -> None:
        """Triangles (N, 3, 3) in the world."""
        normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        self.plane[rows, :3] = normal
        self.plane[rows, 3] = (normal * triangles[:, 0]).sum(1)


class PandaSource:
    """An Imager. The engine is one a process; a second PandaSource shares it and must not be used between this one's shows."""

    def __init__(self) -> None:
        self._raster = Raster()

    def begin(self, road: Road, rig: Rig, ambience: Ambience, seed: int) -> None:
        """Build the scene: the same arguments and moments give the same pictures, bit for bit."""
        self._road, self._rig, self._ambience, self._seed = road, rig, ambience, seed
        self._light = light(ambience)
        rng = np.random.default_rng(seed)
        self._noise = weather.grain(rng)
        intrinsics = rig.intrinsics()
        fine = intrinsics.copy()
        fine[:, :2] *= SCALE
        self._raster.begin(fine, rig.width * SCALE, rig.height * SCALE)
        self._rays = _rays(intrinsics, rig.width, rig.height)
        self._table = _Table()
        self._actors: dict[Actor, _Placed] = {}
        self._last: tuple[float, dict[int, float]] | None = None
        for layer, mesh in enumerate(scenery.ground(road)):
            for tile in _tiles(mesh):
                self._fixed(tile, layer)
        for mesh in scenery.standing(road, rng):
            self._fixed(mesh)
        self._signals = [(s, self._fixed(scenery.signal(s))) for s in road.signals.values()]
        self._grains = np.array([weather.GRAINS.get(s, 0.0) for s in Surface], np.float32)

    def show(self, moment: Moment) -> Images:
        """The moment. Only brake lights depend on the one shown before it."""
        self._place(moment)
        ego = moment.ego
        poses = self._rig.poses(ego.x, ego.y, ego.yaw)
        numbers = self._raster.numbers(poses)
        nearest = np.ascontiguousarray(numbers[:, ::SCALE, ::SCALE])
        directions = self._rays @ poses[:, None, :3, :3].transpose(0, 1, 3, 2)
        depth = self._depth(nearest, directions, poses)
        colour = self._colour(numbers, nearest, directions, depth, poses, moment)
        return Images(colour, depth, self._table.actor[nearest])

    def close(self) -> None:
        """Free the engine's buffer."""
        self._raster.close()

    def _fixed(self, mesh: Mesh, layer: int | None = None) -> slice:
        rows = self._table.add(mesh)
        self._raster.add(mesh.triangles, layer)
        self._table.place(rows, mesh.triangles)
        self._paint(rows, {})
        return rows

    def _place(self, moment: Moment) -> None:
        """Move the actors, light their lamps and the signals'."""
        before, speeds = self._last or (moment.time, {})
        gap = moment.time - before
        present = set()
        for actor, state in moment.actors:
            present.add(actor)
            placed = self._actors.get(actor) or self._enter(actor)
            was = speeds.get(actor.id, state.speed)
            braking = 0 < gap < 1 and (abs(was) - abs(state.speed)) / gap > BRAKING
            glowing = self._lamps(actor, state, braking, moment.time)
            for part, node, rows, pose in zip(placed.body.parts, placed.nodes, placed.slices, placed.body.pose(state)):
                self._raster.move(node, pose)
                self._table.place(rows, transformed(part.mesh.triangles, pose))
                self._paint(rows, glowing)
        for actor, placed in self._actors.items():
            if actor not in present:
                for node in placed.nodes:
                    self._raster.move(node, None)
        for signal, rows in self._signals:
            self._paint(rows, {Lamp[signal.colour(moment.time).upper()]: 1.0})
        self._last = (moment.time, {actor.id: state.speed for actor, state in moment.actors})

    def _enter(self, actor: Actor) -> _Placed:
        built = body(actor)
        slices = [self._table.add(part.mesh, actor.id + 1) for part in built.parts]
        nodes = [self._raster.add(part.mesh.triangles) for part in built.parts]
        self._actors[actor] = _Placed(built, nodes, slices)
        return self._actors[actor]

    def _lamps(self, actor: Actor, state: State, braking: bool, time: float) -> dict[Lamp, float]:
        """How brightly each of its lamps glows."""
        dark = 0.0 if actor.parked else min(1.0, self._light.dark + 0.5 * max(self._ambience.fog, self._ambience.rain))
        held = not actor.parked and abs(state.speed) < 0.2
        blink = int(time / BLINK) % 2 == 0
        return {
            Lamp.HEAD: dark,
            Lamp.TAIL: 1.0 if braking or held else 0.45 * dark,
            Lamp.BEACON_A: float(blink),
            Lamp.BEACON_B: float(not blink),
        }

    def _paint(self, rows: slice, glowing: dict[Lamp, float]) -> None:
        """Fill the palette from albedo, normal and lamps."""
        table, sun = self._table, self._light
        normal, surface = table.plane[rows, :3], table.surface[rows]
        albedo = table.albedo[rows]
        if self._ambience.snow:
            lies = np.clip(normal[:, 2:] * 1.3 - 0.2, 0, 1) * self._ambience.snow
            lies = lies * np.where((surface == Surface.ASPHALT) | (surface == Surface.PAINT), 0.6, 1.0)[:, None]
            albedo = albedo + lies.astype(np.float32) * (SNOW - albedo)
        if self._ambience.rain:
            wet = (surface == Surface.ASPHALT) | (surface == Surface.PAVING)
            albedo = albedo * np.where(wet, 1 - 0.4 * self._ambience.rain, 1.0).astype(np.float32)[:, None]
        facing = np.maximum(normal @ sun.sun, 0)[:, None]
        hemisphere = 0.8 + 0.2 * normal[:, 2:]
        brightest = (sun.ambient + sun.direct).max()
        lit = albedo * (sun.ambient * hemisphere + sun.direct * facing) / brightest
        levels = np.zeros(len(Lamp), np.float32)
        levels[Lamp.WINDOW] = levels[Lamp.STREET] = sun.dark
        for lamp, level in glowing.items():
            levels[lamp] = level
        glow = levels[table.lamp[rows]][:, None]
        off = np.where(table.lamp[rows] != Lamp.NONE, 0.45, 1.0).astype(np.float32)[:, None]
        colour = glow * table.albedo[rows] + (1 - glow) * lit * off
        table.palette[rows] = np.concatenate([colour, glow], 1).clip(0, 1) * 255 + 0.5

    def _depth(self, nearest: np.ndarray, directions: np.ndarray, poses: np.ndarray) -> np.ndarray:
        """Where each ray meets the plane of the triangle it sees."""
        plane = self._table.plane[nearest]
        towards = (plane[..., :3] * directions).sum(-1)
        height = plane[..., 3] - (plane[..., :3] @ poses[:, None, :3, 3, None])[..., 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = height / towards
        return np.where((nearest > 0) & (depth > 0), depth, np.inf).astype(np.float32)

    def _colour(
        self,
        numbers: np.ndarray,
        nearest: np.ndarray,
        directions: np.ndarray,
        depth: np.ndarray,
        poses: np.ndarray,
        moment: Moment,
    ) -> np.ndarray:
        views, height, width = nearest.shape
        sun, ambience = self._light, self._ambience
        fine = self._table.palette.view("<u4")[:, 0][numbers].view(np.uint8).reshape(views * height * SCALE, width * SCALE, 4)
        small = cv2.resize(fine, (width, views * height), interpolation=cv2.INTER_AREA).reshape(views, height, width, 4)
        flat = small.astype(np.float32) / 255
        solid = cv2.resize(
            (numbers > 0).astype(np.float32).reshape(views * height * SCALE, -1), (width, views * height), interpolation=cv2.INTER_AREA
        ).reshape(views, height, width, 1)
        base, glow = flat[..., :3], flat[..., 3:]
        far = np.where(np.isfinite(depth), depth, 200.0)[..., None]
        places = directions * far + poses[:, None, None, :3, 3]
        surface = self._table.surface[nearest]
        grain = self._grains[surface] * np.clip(12 / far[..., 0], 0, 1)
        base *= 1 + (grain * weather.sample(self._noise, places[..., 0] + places[..., 2], places[..., 1], 6.0))[..., None]
        exposure = (sun.ambient + sun.direct).max()
        shine = np.full((*nearest.shape, 1), exposure, np.float32)
        if sun.dark:
            back = np.linalg.inv(ego_pose(moment.ego.x, moment.ego.y, moment.ego.yaw))
            local = places @ back[:3, :3].T.astype(np.float32) + back[:3, 3].astype(np.float32)
            shine += 0.75 * sun.dark * weather.headlights(local)[..., None]
        lit = base * (glow + (1 - glow) * shine)
        unit = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
        heaven = weather.sky(unit, sun, ambience, self._noise)
        clear = np.exp(-sun.haze * far * (1 - 0.6 * glow))
        lit = lit * clear + solid * (1 - clear) * sun.horizon
        out = lit + (1 - solid) * heaven
        if ambience.rain or ambience.snow:
            rng = np.random.default_rng([self._seed, round(moment.time * 1000)])
            level = 0.35 + 0.65 * (1 - sun.dark)
            for share, length in ((ambience.rain, max(3, height // 10)), (ambience.snow, 1)):
                if share:
                    drops = weather.falling(nearest.shape, share, length, rng)[..., None]
                    drops = drops * (0.45 if length > 1 else 1.4)
                    out += np.minimum(drops, 1) * (level - out)
        return (np.clip(out, 0, 1) * 255 + 0.5).astype(np.uint8)


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
    return [
        Mesh(*(getattr(mesh, n)[group == g] for n in ("triangles", "colour", "surface", "lamp"))) for g in range(group.max() + 1)
    ]

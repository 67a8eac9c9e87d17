"""Light that falls on the ground, as maps seen from above: shadows, street lamps, other cars' head-lamps."""

from __future__ import annotations

import math

import cv2
import numpy as np

from driving.road.network import Road
from driving.scene import EGO_CENTRE, EGO_SIZE, Moment, State
from driving.source.light import Light

CELL = 0.25
"""Metres a cell."""
MARGIN = 40.0
"""How far the maps reach beyond the road."""
REACH = 70.0
"""How far from the ego actors' shadows and lamps are drawn."""
LOWEST_SUN = math.tan(math.radians(7))
"""Shadows grow no longer than at this elevation."""
POOL = 7.0
"""Metres from a street lamp at which its light has fallen to 1/e."""
BEAM = ((0.0, 0.5), (14.0, 3.2), (14.0, -3.2), (0.0, -0.5))
"""Of an actor's head-lamps: x, y from the middle of its front."""
WITH_BEAMS = ("car", "van", "truck", "bus", "ambulance", "police", "motorcycle")


class Floor:
    """What stands still is drawn once; who moves, for every moment."""

    def __init__(self, road: Road, light: Light) -> None:
        x0, y0, x1, y1 = road.bounds
        self._origin = np.array([x0 - MARGIN, y0 - MARGIN])
        width, height = (math.ceil((b - a + 2 * MARGIN) / CELL) for a, b in ((x0, x1), (y0, y1)))
        self._shade = np.zeros((height, width), np.uint8)
        self._pools = np.zeros((height, width), np.uint8)
        away = -light.sun[:2].astype(float)
        self._cast = away / max(math.hypot(*away), 1e-6) / max(float(np.tan(np.arcsin(light.sun[2]))), LOWEST_SUN)
        """Where the shadow of a point goes, for a metre of its height."""
        self._sunny, self._dark = bool(light.direct.max() > 0.05), light.dark > 0
        if self._sunny:
            for building in road.buildings:
                self._shadow(self._shade, np.asarray(building.footprint.exterior.coords)[:, :2], 0, building.height)
            for plant in road.plants:
                radius = plant.height * (0.5 if plant.kind == "bush" else 0.22)
                foot = 0.0 if plant.kind == "bush" else 0.3 * plant.height
                self._shadow(self._shade, _disc(plant.position, radius), foot, plant.height * 0.9)
        if self._dark:
            y, x = np.mgrid[-2 * POOL : 2 * POOL : CELL, -2 * POOL : 2 * POOL : CELL]
            pool = (255 * np.exp(-(x * x + y * y) / POOL**2)).astype(np.uint8)
            for lamp in road.lamps:
                column, row = self._cells(np.array([lamp]))[0].astype(int) - len(pool) // 2
                view = self._pools[max(row, 0) : row + len(pool), max(column, 0) : column + len(pool)]
                part = pool[max(-row, 0) :, max(-column, 0) :][: view.shape[0], : view.shape[1]]
                np.maximum(view, part, out=view)

    def maps(self, moment: Moment) -> None:
        """Draw the moment's actors; `read` then tells of these."""
        ego = moment.ego
        column, row = np.maximum(self._cells(np.array([[ego.x, ego.y]]))[0] - REACH / CELL, 0).astype(int)
        size = round(2 * REACH / CELL)
        self._corner = np.array([column, row])
        cut = np.s_[row : row + size, column : column + size]
        here = EGO_CENTRE * math.cos(ego.yaw), EGO_CENTRE * math.sin(ego.yaw)
        own = State(ego.x + here[0], ego.y + here[1], ego.yaw, ego.speed)
        bodies = [(EGO_SIZE, own), *((actor.size, state) for actor, state in moment.actors)]
        bodies = [(s, at) for s, at in bodies if abs(at.x - ego.x) < REACH and abs(at.y - ego.y) < REACH]
        self._now_shade, self._now_pools = self._shade[cut].copy(), self._pools[cut]
        self._contact = np.zeros_like(self._now_shade)
        if not self._now_shade.size:
            return
        for (width, length, height), state in bodies:
            corners = _placed(
                [(length / 2, width / 2), (length / 2, -width / 2), (-length / 2, -width / 2), (-length / 2, width / 2)], state
            )
            _fill(self._contact, self._cells(corners) - self._corner)
            if self._sunny:
                self._shadow(self._now_shade, corners, 0, height * 0.85, self._corner)
        self._contact = cv2.GaussianBlur(self._contact, (3, 3), 0)
        if self._sunny:
            self._now_shade = cv2.blur(self._now_shade, (3, 3))
        if self._dark:
            self._now_pools = self._now_pools.copy()
            for actor, state in moment.actors:
                if actor.category in WITH_BEAMS and not actor.parked:
                    beam = _placed([(x + actor.size[1] / 2, y) for x, y in BEAM], state)
                    _fill(self._now_pools, self._cells(beam) - self._corner, 150)
            self._now_pools = cv2.blur(self._now_pools, (9, 9))

    def read(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """float32 (V, H, W) each, from 0 to 1, at places (V, H, W, 3): direct light kept away by what stands in its way,
        any light kept away by what stands on the place, light of lamps."""
        corner = (self._origin / CELL + self._corner + 0.5).astype(np.float32)
        at = places[..., :2] * np.float32(1 / CELL) - corner
        images = ((self._now_shade, self._sunny), (self._contact, True), (self._now_pools, self._dark))
        shade, contact, pools = (_read(image, at) if used else np.zeros(at.shape[:-1], np.float32) for image, used in images)
        return shade, contact, pools

    def _cells(self, points: np.ndarray) -> np.ndarray:
        return (points - self._origin) / CELL

    def _shadow(self, image: np.ndarray, foot: np.ndarray, low: float, high: float, corner: np.ndarray | None = None) -> None:
        """Of an upright body between two heights over a convex footprint (N, 2)."""
        both = np.concatenate([foot + self._cast * low, foot + self._cast * high])
        cells = self._cells(both) - (0 if corner is None else corner)
        _fill(image, cv2.convexHull(cells.astype(np.float32))[:, 0])


def _read(image: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Bilinear at cells (V, H, W, 2), from 0 to 1; 0 outside."""
    if not image.size:
        return np.zeros(at.shape[:-1], np.float32)
    views = [
        cv2.remap(image, np.ascontiguousarray(view), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)  # type: ignore[call-overload]
        for view in at
    ]
    return np.stack(views).astype(np.float32) * np.float32(1 / 255)


def _fill(image: np.ndarray, cells: np.ndarray, value: int = 255) -> None:
    """Fill a convex polygon, to a sixteenth of a cell."""
    cv2.fillConvexPoly(image, np.round(cells * 16 - 8).astype(np.int32), value, cv2.LINE_8, 4)


def _disc(centre: tuple[float, float], radius: float) -> np.ndarray:
    angle = np.arange(8) * (math.pi / 4)
    return np.stack([np.cos(angle), np.sin(angle)], 1) * radius + centre


def _placed(corners: list[tuple[float, float]], state: State) -> np.ndarray:
    c, s = math.cos(state.yaw), math.sin(state.yaw)
    return np.array(corners) @ np.array([[c, s], [-s, c]]) + (state.x, state.y)

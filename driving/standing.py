"""What stands beside a road as a sketch draws it: buildings as plain walls, plants as rounded solids.

A map may know them (footprints and heights are public for many towns) or not; nuScenes does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from shapely.geometry.polygon import orient

from driving.road.network import Plant, Road
from driving.solids import FARTHEST, NEAR, Canvas, standing_spheroid

PLANTS_WITHIN = 70.0
"""Metres up to which plants are."""
WALL_SHADE = 0.85
"""How bright a wall is beside its building's colour."""
SUBPIXEL = 4
"""Binary digits behind the point when a wall's outline is filled."""


@dataclass(frozen=True, slots=True)
class Crown:
    """A plant's leaves as a spheroid, in shares of its height."""

    middle: float
    radius: float
    half_height: float
    colour: tuple[int, int, int]


CROWNS: dict[str, Crown] = {
    "broad": Crown(0.66, 0.26, 0.33, (84, 114, 54)),
    "conifer": Crown(0.5, 0.18, 0.46, (50, 82, 56)),
    "bush": Crown(0.48, 0.6, 0.52, (78, 104, 52)),
}
TRUNK = Crown(0.25, 0.035, 0.3, (88, 68, 50))
"""Of trees."""


class Standing:
    """All that stands beside one road."""

    def __init__(self, road: Road):
        walls, colours, heights = [np.zeros((0, 2, 2))], [np.zeros((0, 3))], [np.zeros(0)]
        for building in road.buildings:
            ring = shapely.get_coordinates(orient(building.footprint).exterior)
            sides = np.stack([ring[:-1], ring[1:]], 1)
            walls.append(sides)
            colours.append(np.tile(np.array(building.colour, float), (len(sides), 1)))
            heights.append(np.full(len(sides), building.height))
        self._walls, self._heights = np.concatenate(walls), np.concatenate(heights)
        self._colours = (np.concatenate(colours) * WALL_SHADE).astype(np.uint8)
        along = self._walls[:, 1] - self._walls[:, 0]
        self._normals = np.stack([along[:, 1], -along[:, 0]], 1)  # outward: footprints run counter-clockwise
        self._plants: list[tuple[Plant, Crown]] = []
        for plant in road.plants:
            self._plants.append((plant, CROWNS[plant.kind]))
            if plant.kind != "bush":
                self._plants.append((plant, TRUNK))
        self._places = np.array([p.position for p, _ in self._plants], float).reshape(-1, 2)

    def draw(self, canvas: Canvas) -> None:
        """Draw on a camera's canvas where nearer than what is drawn already."""
        here, ahead = canvas.pose[:2, 3], canvas.pose[:2, 2]
        for i in self._facing(here, ahead):
            self._wall(canvas, i)
        away = self._places - here
        seen = ((away**2).sum(1) < PLANTS_WITHIN**2) & (away @ ahead > -1.0)
        for i in np.flatnonzero(seen):
            plant, crown = self._plants[i]
            size = np.array([crown.radius, crown.radius, crown.half_height]) * plant.height
            standing_spheroid(canvas, np.array([*plant.position, crown.middle * plant.height]), size, crown.colour)

    def _facing(self, here: np.ndarray, ahead: np.ndarray) -> np.ndarray:
        """Walls that show their outside to a camera, some of it ahead and near enough."""
        away = self._walls - here
        faces = (away[:, 0] * self._normals).sum(1) < 0
        before = (away @ ahead).max(1) > NEAR
        return np.flatnonzero(faces & before & ((away**2).sum(2).min(1) < FARTHEST**2))

    def _wall(self, canvas: Canvas, i: int) -> None:
        (ax, ay), (bx, by) = self._walls[i]
        top = self._heights[i]
        corners = np.array([[ax, ay, 0], [bx, by, 0], [bx, by, top], [ax, ay, top]])
        outline = _clipped((corners - canvas.pose[:3, 3]) @ canvas.pose[:3, :3])
        if len(outline) < 3:
            return
        at = outline[:, :2] / outline[:, 2:] * canvas.focal + canvas.middle
        height, width = canvas.depth.shape
        low = np.clip(np.floor(at.min(0)), 0, (width, height)).astype(int)
        high = np.clip(np.ceil(at.max(0)), 0, (width, height)).astype(int)
        if (high <= low).any():
            return
        window = slice(low[1], high[1]), slice(low[0], high[0])
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        shifted = np.clip(at - low - 0.5, -(2**14), 2**14)  # OpenCV's pixel centres are whole numbers
        cv2.fillConvexPoly(mask, np.round(shifted * 2**SUBPIXEL).astype(np.int32), 1, lineType=cv2.LINE_8, shift=SUBPIXEL)
        normal = np.array([*self._normals[i], 0.0], np.float32)
        distance = np.float32((corners[0] - canvas.pose[:3, 3]) @ normal)
        with np.errstate(divide="ignore", invalid="ignore"):
            near = distance / (canvas.rays[window] @ normal)
        canvas.paint(window, np.where((mask > 0) & (near > 0) & (near < FARTHEST), near, np.inf), self._colours[i])


def _clipped(corners: np.ndarray) -> np.ndarray:
    """What of a polygon (N, 3) in a camera's axes lies before it, farther than NEAR (M, 3)."""
    out = []
    for a, b in zip(corners, np.roll(corners, -1, 0)):
        if a[2] >= NEAR:
            out.append(a)
        if (a[2] >= NEAR) != (b[2] >= NEAR):
            out.append(a + (b - a) * (NEAR - a[2]) / (b[2] - a[2]))
    return np.array(out).reshape(-1, 3)

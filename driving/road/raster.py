"""A road's picture from above: one class for each point of the ground."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import cv2
import numpy as np
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from core.errors import ZoetropeError
from driving.road.lines import lengths, offset, part
from driving.road.network import Marking, Road

PAINT, STOP_PAINT, CURB_WIDTH = 0.15, 0.4, 0.25
"""Widths of lines, stop lines and curbs, metres."""
DASH, DASH_GAP = 3.0, 4.5
"""Metres of paint and of none in a dashed line."""
DOUBLE_GAP = 0.16
"""From a double line's middle to each of its lines."""


class Ground(IntEnum):
    """What a point of the ground is."""

    NOTHING = 0
    """Grass and whatever no map knows."""
    DRIVABLE = 1
    WALKWAY = 2
    CROSSING = 3
    """Of pedestrians, on drivable ground."""
    WHITE = 4
    """Paint on drivable ground."""
    YELLOW = 5
    CURB = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Raster:
    """A picture of the ground. Row 0 is the north edge, column 0 the west edge."""

    classes: np.ndarray
    """uint8 (H, W) of `Ground`."""
    origin: tuple[float, float]
    """x, y of the south-west corner, metres."""
    resolution: float
    """Metres a pixel."""

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """float64 (..., 2) column and row of points (..., 2) in metres; a pixel's middle is at a half."""
        x, y = points[..., 0] - self.origin[0], points[..., 1] - self.origin[1]
        return np.stack([x / self.resolution, len(self.classes) - y / self.resolution], -1)


SHIFT = 4
"""Fractional bits of OpenCV's coordinates."""


def rasterize(road: Road, resolution: float = 0.2, margin: float = 10.0) -> Raster:
    """The road's ground at `resolution` metres a pixel (0.05 to 2), with `margin` metres of nothing around it."""
    if not 0.05 <= resolution <= 2:
        raise ZoetropeError(f"road {road.name}: raster: resolution: expected 0.05 to 2 metres a pixel, found {resolution:g}")
    x0, y0, x1, y1 = road.bounds
    origin = x0 - margin, y0 - margin
    size = [int(np.ceil((b - a + 2 * margin) / resolution)) for a, b in ((y0, y1), (x0, x1))]
    raster = Raster(classes=np.zeros(size, np.uint8), origin=origin, resolution=resolution)
    for geometry, kind in ((road.walkways, Ground.WALKWAY), (road.drivable, Ground.DRIVABLE)):
        _fill(raster, geometry, kind)
    for crossing in road.crossings:
        _fill(raster, crossing, Ground.CROSSING)
    for marking in sorted(road.markings, key=lambda m: m.kind == "curb"):
        _paint(raster, marking)
    return raster


def _fixed(raster: Raster, points: np.ndarray) -> np.ndarray:
    """int32 (N, 1, 2) in OpenCV's fixed point, whose pixel centres are whole numbers."""
    return np.round((raster.pixels(points) - 0.5) * (1 << SHIFT)).astype(np.int32)[:, None]


def _fill(raster: Raster, geometry: BaseGeometry, kind: Ground) -> None:
    """Each polygon alone with its holes, so that one inside another's hole is kept."""
    for polygon in [geometry] if isinstance(geometry, Polygon) else getattr(geometry, "geoms", ()):
        if isinstance(polygon, Polygon) and not polygon.is_empty:
            rings = [_fixed(raster, np.array(ring.coords)) for ring in (polygon.exterior, *polygon.interiors)]
            cv2.fillPoly(raster.classes, rings, int(kind), lineType=cv2.LINE_8, shift=SHIFT)


def _paint(raster: Raster, marking: Marking) -> None:
    lines, width = [marking.line], PAINT
    kind = Ground.YELLOW if marking.colour == "yellow" else Ground.WHITE
    if marking.kind == "double":
        lines = [offset(marking.line, side) for side in (DOUBLE_GAP, -DOUBLE_GAP)]
    elif marking.kind == "dashed":
        total = lengths(marking.line)[-1]
        lines = [part(marking.line, s, min(s + DASH, total)) for s in np.arange(0, max(total - 0.5, 0), DASH + DASH_GAP)]
    elif marking.kind == "stop":
        width = STOP_PAINT
    elif marking.kind == "curb":
        kind, width = Ground.CURB, CURB_WIDTH
    thick = max(int(round(width / raster.resolution)), 1)
    cv2.polylines(raster.classes, [_fixed(raster, line) for line in lines], False, int(kind), thick, cv2.LINE_8, SHIFT)

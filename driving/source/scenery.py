"""A road as meshes: the layers of its ground from grass up to paint, and what stands on it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import shapely
from shapely.geometry import LineString, MultiPolygon, Point, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient
from shapely.ops import nearest_points, substring

from driving.road.network import Building, Marking, Plant, Road, Signal
from driving.source.mesh import Colour, Lamp, Mesh, Surface, box, joined, lathe, made, quads, shade, turned

GRASS: Colour = (98, 118, 66)
ASPHALT: Colour = (92, 92, 96)
PAVING: Colour = (156, 152, 145)
PAINTS: dict[str, Colour] = {"white": (232, 232, 226), "yellow": (224, 172, 56)}
CURB: Colour = (186, 184, 178)
WINDOW: Colour = (70, 84, 100)
LIT: Colour = (255, 214, 140)
LAMP_COLOURS: dict[str, tuple[Lamp, Colour]] = {
    "red": (Lamp.RED, (255, 40, 30)),
    "yellow": (Lamp.YELLOW, (255, 190, 40)),
    "green": (Lamp.GREEN, (40, 240, 120)),
}
HORIZON = 1000.0
"""Half the side of the grass plane."""
LINE_WIDTHS = {"solid": 0.15, "dashed": 0.15, "double": 0.12, "stop": 0.45, "curb": 0.18}
DASH, DASH_PERIOD = 3.0, 9.0
STRIPE = 0.5
"""Width of a zebra crossing's stripe, and of the gap after it."""
LAMP_HEIGHT = 6.5
LIT_SHARE = 0.35
"""Windows with somebody at home."""


def ground(road: Road) -> list[Mesh]:
    """Layers at z = 0, each to be painted over the ones before it."""
    plane = Polygon([(-HORIZON, -HORIZON), (HORIZON, -HORIZON), (HORIZON, HORIZON), (-HORIZON, HORIZON)])
    x, y = (road.bounds[0] + road.bounds[2]) / 2, (road.bounds[1] + road.bounds[3]) / 2
    stripes = [stripe for crossing in road.crossings for stripe in _zebra(crossing)]
    layers = [
        _flat(plane, GRASS, Surface.GRASS).shifted(x, y),
        _flat(road.walkways, PAVING, Surface.PAVING),
        _flat(road.drivable, ASPHALT, Surface.ASPHALT),
        joined(_marking(m) for m in road.markings if m.kind == "curb"),
        joined(_marking(m) for m in road.markings if m.kind != "curb"),
        joined(_flat(s, PAINTS["white"], Surface.PAINT) for s in stripes),
    ]
    return [layer for layer in layers if len(layer)]


def standing(road: Road, rng: np.random.Generator) -> list[Mesh]:
    """Buildings, plants and street lamps, one mesh each."""
    out = [_building(b, rng) for b in road.buildings]
    out += [_plant(p, rng) for p in road.plants]
    out += [_street_lamp(road, x, y) for x, y in road.lamps]
    return out


def signal(light: Signal) -> Mesh:
    """A traffic light on its pole; its three lamps carry their codes."""
    x, y, z = light.position
    parts = [
        lathe([(0.07, -z), (0.06, -0.5)], 6, (96, 98, 100)),
        box((-0.16, -0.2, -0.55), (0.1, 0.2, 0.55), (30, 32, 32)),
    ]
    for height, (lamp, colour) in zip((0.34, 0.0, -0.34), LAMP_COLOURS.values()):
        disc = lathe([(0.15, 0.0), (0.14, 0.04)], 6, colour, lamp=lamp)
        parts.append(disc.placed(turned(1, math.pi / 2)).shifted(0.1, 0, height))
    return joined(parts).placed(turned(2, light.yaw)).shifted(x, y, z)


def _polygons(shape: BaseGeometry) -> Iterator[Polygon]:
    for part in getattr(shape, "geoms", [shape]):
        if isinstance(part, MultiPolygon):
            yield from part.geoms
        elif isinstance(part, Polygon) and part.area > 1e-4:
            yield part


def _flat(shape: BaseGeometry, colour: Colour, surface: Surface) -> Mesh:
    """A polygon on the ground."""
    found = [triangles for polygon in _polygons(shape) if len(triangles := _triangulated(polygon))]
    if not found:
        return joined([])
    flat = np.concatenate(found)
    return made(np.concatenate([flat, np.zeros((*flat.shape[:2], 1))], 2), colour, surface)


def _triangulated(polygon: Polygon) -> np.ndarray:
    """float64 (N, 3, 2), counter-clockwise, of a polygon that may have holes."""
    import mapbox_earcut  # optional: only who draws needs it

    rings = [shapely.get_coordinates(ring)[:-1] for ring in (polygon.exterior, *polygon.interiors)]
    corners = np.concatenate(rings).astype(np.float64)
    ends = np.cumsum([len(ring) for ring in rings]).astype(np.uint32)
    out = corners[mapbox_earcut.triangulate_float64(corners, ends).reshape(-1, 3)]
    (ax, ay), (bx, by) = (out[:, 1] - out[:, 0]).T, (out[:, 2] - out[:, 0]).T
    return np.where((ax * by - ay * bx < 0)[:, None, None], out[:, ::-1], out)


def _zebra(crossing: Polygon) -> Iterator[BaseGeometry]:
    """Stripes along the traffic, one after another along the way that people walk."""
    corners = shapely.get_coordinates(crossing.minimum_rotated_rectangle)[:4]
    one, two = corners[1] - corners[0], corners[3] - corners[0]
    along, across = (one, two) if np.linalg.norm(one) >= np.linalg.norm(two) else (two, one)
    length = float(np.linalg.norm(along))
    step = along / length
    for at in np.arange(STRIPE / 2, length - STRIPE / 2, 2 * STRIPE):
        a, b = corners[0] + step * at, corners[0] + step * (at + STRIPE)
        yield crossing.intersection(Polygon([a, b, b + across, a + across]))


def _marking(marking: Marking) -> Mesh:
    width = LINE_WIDTHS[marking.kind]
    if marking.kind == "curb":
        return _ribbon(marking.line, width, CURB, Surface.PAVING)
    colour = PAINTS[marking.colour]
    if marking.kind == "double":
        line = LineString(marking.line)
        sides = [line.parallel_offset(width, side) for side in ("left", "right")]
        return joined(_ribbon(np.asarray(s.coords), width, colour, Surface.PAINT) for s in sides if isinstance(s, LineString))
    if marking.kind == "dashed":
        line = LineString(marking.line)
        starts = np.arange(0, line.length, DASH_PERIOD)
        dashes = [substring(line, s, min(s + DASH, line.length)) for s in starts]
        return joined(_ribbon(np.asarray(d.coords), width, colour, Surface.PAINT) for d in dashes if d.length > 0.3)
    return _ribbon(marking.line, width, colour, Surface.PAINT)


def _ribbon(line: np.ndarray, width: float, colour: Colour, surface: Surface) -> Mesh:
    """A band along a line (N, 2)."""
    line = np.asarray(line, float)[:, :2]
    ahead = np.gradient(line, axis=0)
    ahead /= np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    side = np.stack([-ahead[:, 1], ahead[:, 0]], 1) * width / 2
    left, right = line + side, line - side
    corners = np.stack([right[:-1], right[1:], left[1:], left[:-1]], 1)
    return quads(np.concatenate([corners, np.zeros((len(corners), 4, 1))], 2), colour, surface)


def _building(building: Building, rng: np.random.Generator) -> Mesh:
    """Walls with rows of windows, some of them lit; a flat roof with a rim."""
    footprint = orient(building.footprint)
    ring = np.asarray(footprint.exterior.coords)[:, :2]
    height, colour = building.height, building.colour
    storeys = max(1, round(height / 3.1))
    storey = height / storeys
    parts = [_flat(footprint, shade(colour, 0.55), Surface.SOLID).shifted(0, 0, height)]
    for a, b in zip(ring[:-1], ring[1:]):
        length = float(np.linalg.norm(b - a))
        if length < 0.3:
            continue
        along = (b - a) / length
        out = np.array([along[1], -along[0]])

        def panel(s0: float, s1: float, z0: float, z1: float, stand: float) -> list[tuple[float, float, float]]:
            p, q = a + along * s0 + out * stand, a + along * s1 + out * stand  # noqa: B023 - called at once
            return [(p[0], p[1], z0), (q[0], q[1], z0), (q[0], q[1], z1), (p[0], p[1], z1)]

        parts.append(quads(np.array([panel(0, length, 0, height, 0)]), colour))
        parts.append(
            quads(np.array([panel(0, length, height - 0.5, height, 0.1), panel(0, length, 0, 0.6, 0.1)]), shade(colour, 0.7))
        )
        columns = int(length // 2.8)
        if columns == 0:
            continue
        pitch = length / columns
        dark, lit = [], []
        for floor in range(storeys):
            for column in range(columns):
                middle, sill = (column + 0.5) * pitch, floor * storey + 0.32 * storey
                pane = panel(middle - 0.7, middle + 0.7, sill, sill + 0.48 * storey, 0.12)
                (lit if rng.random() < LIT_SHARE else dark).append(pane)
        for panes, lamp in ((dark, Lamp.NONE), (lit, Lamp.WINDOW)):
            if panes:
                parts.append(quads(np.array(panes), LIT if lamp else WINDOW, Surface.GLASS, lamp))
    return joined(parts)


def _plant(plant: Plant, rng: np.random.Generator) -> Mesh:
    h, turn, tone = plant.height, float(rng.uniform(0, 6.3)), float(rng.uniform(0.8, 1.2))
    trunk: Colour = (88, 68, 50)
    if plant.kind == "bush":
        green = shade((78, 104, 52), tone)
        parts = [
            lathe([(0.5 * h, 0), (0.65 * h, 0.45 * h), (0.4 * h, 0.85 * h), (0.0, h)], 6, green, Surface.LEAVES, turn=turn)
        ]
    elif plant.kind == "conifer":
        green = shade((50, 82, 56), tone)
        parts = [lathe([(0.035 * h, 0), (0.03 * h, 0.2 * h)], 5, trunk)]
        parts += [
            lathe([(0.0, z * h), (r * h, z * h + 0.01), (0.0, top * h)], 7, green, Surface.LEAVES, turn=turn + z)
            for z, top, r in ((0.14, 0.55, 0.22), (0.36, 0.78, 0.17), (0.6, 1.0, 0.11))
        ]
    else:
        green = shade((84, 114, 54), tone)
        crown = [(0.10, 0.36), (0.24, 0.50), (0.27, 0.66), (0.20, 0.86), (0.0, 1.0)]
        parts = [
            lathe([(0.04 * h, 0), (0.025 * h, 0.42 * h)], 5, trunk),
            lathe([(r * h, z * h) for r, z in crown], 7, green, Surface.LEAVES, turn=turn),
            lathe(
                [(0.0, 0.4 * h), (0.14 * h, 0.5 * h), (0.15 * h, 0.62 * h), (0.0, 0.74 * h)],
                6,
                shade(green, 1.12),
                Surface.LEAVES,
            ).shifted(0.17 * h * math.cos(turn), 0.17 * h * math.sin(turn)),
        ]
    return joined(parts).shifted(*plant.position)


def _street_lamp(road: Road, x: float, y: float) -> Mesh:
    """A pole whose arm reaches over the road."""
    near = nearest_points(road.drivable, Point(x, y))[0]
    yaw = math.atan2(near.y - y, near.x - x)
    steel: Colour = (110, 112, 114)
    parts = [
        lathe([(0.10, 0), (0.06, LAMP_HEIGHT)], 6, steel),
        box((0, -0.05, LAMP_HEIGHT - 0.1), (1.6, 0.05, LAMP_HEIGHT), steel),
        box((1.1, -0.16, LAMP_HEIGHT - 0.06), (2.0, 0.16, LAMP_HEIGHT + 0.08), steel),
        box((1.15, -0.13, LAMP_HEIGHT - 0.16), (1.95, 0.13, LAMP_HEIGHT - 0.07), (255, 226, 170), lamp=Lamp.STREET),
    ]
    return joined(parts).placed(turned(2, yaw)).shifted(x, y)

"""A road as nuScenes' two maps: the mask of its surface, and the vectors of the map expansion 1.3.

nuScenes' maps begin at (0, 0) in their south-western corner, so a road is moved there: coordinates in a dataset are the scene's
plus `origin(road)`. Field names as `nuscenes.map_expansion.map_api` reads them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from shapely.geometry import LineString, Point, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from driving.nuscenes.tables import EXTRA, Record, token
from driving.road.lines import offset
from driving.road.network import Lane, Marking, Road

PaintKind = Literal["solid", "dashed", "double", "stop", "curb"]
PaintColour = Literal["white", "yellow"]
VERSION = "1.3"
PIXEL = 0.1
"""Metres a pixel of the mask; the devkit knows no other."""
BORDER = 20.0
"""Metres of map around what a road describes."""
_STRAIGHT = 0.02
"""Metres that a lane's centre may lie beside the straight pieces it is written as."""
_STOP_DEPTH = 0.5
"""Metres that a stop line is deep."""
_LIGHT_WIDTH = 0.3
_LIGHT_SPACING = 0.3
"""Metres from one lamp of a traffic light to the next."""
SEGMENTS: dict[tuple[PaintKind, PaintColour], str] = {
    ("solid", "white"): "SINGLE_SOLID_WHITE",
    ("solid", "yellow"): "SINGLE_SOLID_YELLOW",
    ("dashed", "white"): "DOUBLE_DASHED_WHITE",
    ("dashed", "yellow"): "DOUBLE_DASHED_YELLOW",
    ("double", "white"): "DOUBLE_SOLID_WHITE",
    ("double", "yellow"): "DOUBLE_SOLID_YELLOW",
}
"""Kind and colour of paint as `segment_type` names it; nuScenes' only dashed lines are called double."""


def origin(road: Road) -> np.ndarray:
    """float64 (2,): where the scene's (0, 0) lies in the dataset, whole metres."""
    x, y, _, _ = road.bounds
    return np.ceil(np.array([BORDER - x, BORDER - y]))


def canvas(road: Road) -> tuple[float, float]:
    """Width and height of the map in whole metres."""
    _, _, x, y = road.bounds
    width, height = np.ceil(np.array([x, y]) + origin(road) + BORDER)
    return float(width), float(height)


def polygons(geometry: BaseGeometry) -> list[Polygon]:
    """The polygons that a geometry is made of."""
    if isinstance(geometry, Polygon):
        return [] if geometry.is_empty else [geometry]
    return [p for part in getattr(geometry, "geoms", ()) for p in polygons(part)]


def mask(road: Road) -> np.ndarray:
    """uint8 (H, W): 255 where one may drive or walk, north up, PIXEL metres a pixel."""
    import cv2

    width, height = canvas(road)
    out = np.zeros((round(height / PIXEL), round(width / PIXEL)), np.uint8)
    bits = 4
    for polygon in polygons(unary_union([road.drivable, road.walkways, *road.crossings])):
        rings = []
        for ring in (polygon.exterior, *polygon.interiors):
            x, y = (np.array(ring.coords)[:, :2] + origin(road)).T / PIXEL
            rings.append(np.round(np.c_[x, len(out) - y] * 2**bits).astype(np.int32))
        cv2.fillPoly(out, rings, (255,), shift=bits)
    return out


def expansion(road: Road) -> Record:
    """The map expansion: all layers of version 1.3."""
    return _Expansion(road).build()


class _Expansion:
    """Layers as they fill up. Corners that lie on the same millimetre are one node, so that lanes which meet share theirs."""

    def __init__(self, road: Road):
        self.road = road
        self.origin = origin(road)
        names = "polygon line node drivable_area road_segment road_block lane ped_crossing walkway stop_line carpark_area"
        names += " lane_connector road_divider lane_divider traffic_light"
        self.layers: dict[str, list[Record]] = {name: [] for name in names.split()}
        self.nodes: dict[tuple[float, float], str] = {}

    def build(self) -> Record:
        road, layers = self.road, self.layers
        self._drivable()
        self._segments()
        self._blocks()
        for lane in road.lanes.values():
            self._lane(lane)
        self._surfaces()
        for signal in road.signals.values():
            self._light(signal.id)
        for marking in road.markings:
            self._paint(marking)
        followers = {self._of("lane", i): [self._of("lane", s) for s in lane.successors] for i, lane in road.lanes.items()}
        return {
            "version": VERSION,
            "canvas_edge": list(canvas(road)),
            EXTRA: {"origin": [float(v) for v in self.origin], "name": road.name, "kind": road.kind},
            **layers,
            "connectivity": {
                this: {"incoming": [other for other, after in followers.items() if this in after], "outgoing": after}
                for this, after in followers.items()
            },
            "arcline_path_3": {self._of("lane", i): self._path(lane.centre) for i, lane in road.lanes.items()},
        }

    def _of(self, kind: str, number: object) -> str:
        return token(self.road.name, kind, number)

    def _add(self, layer: str, **fields: Any) -> str:
        record = {"token": self._of(layer, len(self.layers[layer])), **fields}
        self.layers[layer].append(record)
        return record["token"]

    def _nodes(self, points: Iterable[Iterable[float]]) -> list[str]:
        out = []
        for x, y, *_ in points:
            key = (round(float(x + self.origin[0]), 3), round(float(y + self.origin[1]), 3))
            if key not in self.nodes:
                self.nodes[key] = self._add("node", x=key[0], y=key[1])
            out.append(self.nodes[key])
        return out

    def _line(self, points: np.ndarray) -> str:
        return self._add("line", node_tokens=self._nodes(points))

    def _polygon(self, polygon: Polygon) -> str:
        holes = [{"node_tokens": self._nodes(ring.coords[:-1])} for ring in polygon.interiors]
        return self._add("polygon", exterior_node_tokens=self._nodes(polygon.exterior.coords[:-1]), holes=holes)

    def _drivable(self) -> None:
        self.area = self._add("drivable_area", polygon_tokens=[self._polygon(p) for p in polygons(self.road.drivable)])

    def _segments(self) -> None:
        """road_segment: stretches of road with all their lanes, and what lies between them."""
        lanes = {i: lane for i, lane in self.road.lanes.items() if not lane.junction}
        stretches = [p for g in _groups(lanes, ("left", "right", "opposite")) for p in _outline(lanes[i] for i in g)]
        junctions = _outline(lane for lane in self.road.lanes.values() if lane.junction)
        self.segments = []
        for polygon, junction in [*((p, False) for p in stretches), *((p, True) for p in junctions)]:
            fields = {"polygon_token": self._polygon(polygon), "is_intersection": junction, "drivable_area_token": self.area}
            self.segments.append((polygon, self._add("road_segment", **fields)))

    def _segment_at(self, geometry: BaseGeometry) -> str:
        return min(self.segments, key=lambda pair: pair[0].distance(geometry))[1] if self.segments else ""

    def _blocks(self) -> None:
        """road_block: lanes side by side in one direction."""
        lanes = {i: lane for i, lane in self.road.lanes.items() if not lane.junction}
        self.block: dict[int, str] = {}
        for group in _groups(lanes, ("left", "right")):
            polygon = max(_outline(lanes[i] for i in group), key=lambda p: p.area)
            start, end = (np.concatenate([_edge(lanes[i], at) for i in group]) for at in (0, -1))
            block = self._add(
                "road_block",
                polygon_token=self._polygon(polygon),
                from_edge_line_token=self._line(start),
                to_edge_line_token=self._line(end),
                road_segment_token=self._segment_at(polygon),
            )
            self.block |= dict.fromkeys(group, block)

    def _lane(self, lane: Lane) -> None:
        left, right = sides(lane)
        ring = Polygon(np.concatenate([left, right[::-1]]))
        outline = ring if ring.is_valid else max(polygons(ring.buffer(0)), key=lambda p: p.area)
        record: Record = {"token": self._of("lane", lane.id), "polygon_token": self._polygon(outline)}
        if not lane.junction:
            record |= {
                "lane_type": "CAR",
                "from_edge_line_token": self._line(_edge(lane, 0)),
                "to_edge_line_token": self._line(_edge(lane, -1)),
                "left_lane_divider_segments": self._divider(left, self._kind_beside(left)),
                "right_lane_divider_segments": self._divider(right, self._kind_beside(right)),
            }
        light = None if lane.signal is None else self._of("light", lane.signal)
        record[EXTRA] = {"speed_limit": lane.speed_limit, "width": lane.width, "traffic_light_token": light}
        self.layers["lane_connector" if lane.junction else "lane"].append(record)

    def _kind_beside(self, line: np.ndarray) -> str:
        """What is painted along a lane's side."""
        middle = Point(line[len(line) // 2])
        near = [m for m in self.road.markings if (m.kind, m.colour) in SEGMENTS and LineString(m.line).distance(middle) < 0.5]
        return SEGMENTS[near[0].kind, near[0].colour] if near else "NIL"

    def _divider(self, line: np.ndarray, kind: str) -> list[Record]:
        return [{"node_token": node, "segment_type": kind} for node in self._nodes(line)]

    def _surfaces(self) -> None:
        for polygon in self.road.crossings:
            self._add("ped_crossing", polygon_token=self._polygon(polygon), road_segment_token=self._segment_at(polygon))
        for polygon in polygons(self.road.walkways):
            self._add("walkway", polygon_token=self._polygon(polygon))

    def _paint(self, marking: Marking) -> None:
        if marking.kind == "curb":
            return
        line = LineString(marking.line)
        if marking.kind == "stop":
            self._stop(line)
            return
        segments = self._divider(marking.line, SEGMENTS[marking.kind, marking.colour])
        if marking.kind == "double" or marking.colour == "yellow":
            self._add(
                "road_divider",
                line_token=self._line(marking.line),
                road_segment_token=self._segment_at(line),
                road_divider_segments=segments,
            )
        else:
            self._add("lane_divider", line_token=self._line(marking.line), lane_divider_segments=segments)

    def _stop(self, line: LineString) -> None:
        """A stop line belongs to the lanes that end at it."""
        lanes = [x for x in self.road.lanes.values() if not x.junction and line.distance(Point(x.centre[-1])) < x.width]
        lights = sorted({x.signal for x in lanes if x.signal is not None})
        self._add(
            "stop_line",
            polygon_token=self._polygon(polygons(line.buffer(_STOP_DEPTH / 2, cap_style="flat"))[0]),
            stop_line_type="TRAFFIC_LIGHT" if lights else "STOP_SIGN",
            ped_crossing_tokens=[],
            traffic_light_tokens=[self._of("light", i) for i in lights],
            road_block_token=self.block[lanes[0].id] if lanes else "",
        )

    def _light(self, number: int) -> None:
        signal = self.road.signals[number]
        x, y, z = signal.position
        across = np.array([-math.sin(signal.yaw), math.cos(signal.yaw)]) * _LIGHT_WIDTH / 2
        blocks = [self.block.get(i, "") for i, lane in self.road.lanes.items() if lane.signal == number]
        turn = {"rx": 0.0, "ry": 0.0, "rz": 0.0}
        self.layers["traffic_light"].append(
            {
                "token": self._of("light", number),
                "line_token": self._line(np.stack([(x, y) - across, (x, y) + across])),
                "traffic_light_type": "VERTICAL",
                "from_road_block_token": blocks[0] if blocks else "",
                "items": [
                    {
                        "color": colour,
                        "shape": "CIRCLE",
                        "rel_pos": {"tx": 0.0, "ty": 0.0, "tz": height * _LIGHT_SPACING, **turn},
                        "to_road_block_tokens": [],
                    }
                    for colour, height in (("RED", 1), ("YELLOW", 0), ("GREEN", -1))
                ],
                "pose": {
                    "tx": round(x + float(self.origin[0]), 3),
                    "ty": round(y + float(self.origin[1]), 3),
                    "tz": z,
                    **turn,
                    "rz": signal.yaw,
                },
                EXTRA: {"phases": [list(p) for p in signal.phases], "offset": signal.offset},
            }
        )

    def _path(self, centre: np.ndarray) -> list[Record]:
        """The centre as Dubins paths (two arcs and a straight between them) of which only the straight has a length."""
        points = np.array(LineString(centre).simplify(_STRAIGHT).coords) + self.origin
        out = []
        for (x0, y0), (x1, y1) in zip(points[:-1].tolist(), points[1:].tolist()):
            yaw = math.atan2(y1 - y0, x1 - x0)
            out.append(
                {
                    "start_pose": [round(x0, 3), round(y0, 3), yaw],
                    "end_pose": [round(x1, 3), round(y1, 3), yaw],
                    "shape": "LSR",
                    "radius": 999.0,
                    "segment_length": [0.0, math.hypot(x1 - x0, y1 - y0), 0.0],
                }
            )
        return out


def sides(lane: Lane) -> tuple[np.ndarray, np.ndarray]:
    """Its left and right border, each float64 (N, 2)."""
    return offset(lane.centre, lane.width / 2), offset(lane.centre, -lane.width / 2)


def _edge(lane: Lane, at: int) -> np.ndarray:
    """float64 (2, 2): across the lane at its start (0) or its end (-1)."""
    left, right = sides(lane)
    return np.stack([left[at], right[at]])


def _outline(lanes: Iterable[Lane]) -> list[Polygon]:
    """Polygons around lanes that lie beside or upon each other."""
    seam = 0.05
    areas = [LineString(lane.centre).buffer(lane.width / 2 + seam, cap_style="flat") for lane in lanes]
    return polygons(unary_union(areas).buffer(-seam))


def _groups(lanes: dict[int, Lane], beside: tuple[str, ...]) -> list[list[int]]:
    """Lanes that are joined through these of their neighbours, in order of their first."""
    left, out = set(lanes), []
    for start in lanes:
        if start not in left:
            continue
        left.discard(start)
        group, front = [start], [start]
        while front:
            lane = lanes[front.pop()]
            near = sorted({getattr(lane, side) for side in beside} & left)
            left -= set(near)
            group += near
            front += near
        out.append(group)
    return out

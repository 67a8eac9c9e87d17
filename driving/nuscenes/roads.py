"""Roads read from nuScenes' map expansion, real or ours."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from shapely.geometry import LineString, Point, Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from core.errors import ZoetropeError
from driving.nuscenes.maps import SEGMENTS
from driving.nuscenes.tables import EXTRA, Record
from driving.road.lines import pieces
from driving.road.network import Lane, Marking, Road, Signal

REACH = 250.0
"""Metres around the ego's path that are read of a map that is not ours: those are of whole cities."""
SPEED_LIMIT = 50 / 3.6
"""Where the map tells none, metres a second."""
_SPACING = 1.0
"""Metres between the points of a lane's centre."""
_CURB = 0.5
"""Metres between road and walkway over which they still share a curb."""
_PAINT = {name: key for key, name in SEGMENTS.items()}


def read_road(folder: Path, location: str, path: np.ndarray) -> tuple[Road, np.ndarray]:
    """The road around an ego's path (T, 2), and where its (0, 0) lies in the dataset, float64 (2,).

    Without the map expansion (a separate download of nuScenes) the road is empty. nuScenes knows no buildings, plants, speed
    limits or phases of traffic lights; the last two are read where our own writer noted them.
    """
    file = folder / "maps" / "expansion" / f"{location}.json"
    if not file.exists():
        return Road(name=location, kind="unknown", lanes={}, drivable=Polygon(), walkways=Polygon()), np.zeros(2)
    try:
        data = json.loads(file.read_bytes())
        return _RoadReader(data, path).read(location)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError) as error:
        raise ZoetropeError(f"{file}: no map expansion of version 1.3 ({type(error).__name__}: {error})") from None


class _RoadReader:
    def __init__(self, data: Record, path: np.ndarray):
        self.data = data
        self.extra = data.get(EXTRA, {})
        self.origin = np.array(self.extra.get("origin", (0.0, 0.0)))
        ends = path if len(path) > 1 else np.repeat(path, 2, 0)
        near = LineString(ends - self.origin).buffer(REACH)
        self.area = box(*-self.origin, *data["canvas_edge"] - self.origin) if EXTRA in data else near
        self.node = {n["token"]: (n["x"] - self.origin[0], n["y"] - self.origin[1]) for n in data["node"]}
        self.line = {r["token"]: r["node_tokens"] for r in data["line"]}
        self.polygon = {r["token"]: r for r in data["polygon"]}

    def read(self, location: str) -> tuple[Road, np.ndarray]:
        data = self.data
        lights = {r["token"]: i for i, r in enumerate(r for r in data["traffic_light"] if EXTRA in r)}
        drivable = self._surface([t for r in data["drivable_area"] for t in r["polygon_tokens"]])
        walkways = self._surface([r["polygon_token"] for r in data["walkway"]])
        crossings = (self._polygon(r["polygon_token"]) for r in data["ped_crossing"])
        road = Road(
            name=self.extra.get("name", location),
            kind=self.extra.get("kind", "unknown"),
            lanes=self._lanes(lights),
            drivable=drivable,
            walkways=walkways,
            crossings=tuple(p for p in crossings if p.intersects(self.area)),
            markings=(*self._paint(), *_curbs(drivable, walkways)),
            signals={lights[r["token"]]: self._signal(lights[r["token"]], r) for r in data["traffic_light"] if EXTRA in r},
        )
        return road, self.origin

    def _points(self, nodes: list[str]) -> np.ndarray:
        return np.array([self.node[n] for n in nodes], np.float64).reshape(-1, 2)

    def _polygon(self, token: str) -> Polygon:
        record = self.polygon[token]
        holes = [self._points(h["node_tokens"]) for h in record["holes"] if len(h["node_tokens"]) > 2]
        return Polygon(self._points(record["exterior_node_tokens"]), holes)

    def _surface(self, tokens: list[str]) -> BaseGeometry:
        parts = [p if p.is_valid else p.buffer(0) for p in map(self._polygon, tokens)]
        near = [p for p in parts if p.intersects(self.area)]
        return unary_union([p if p.within(self.area) else p.intersection(self.area) for p in near])

    def _lanes(self, lights: dict[str, int]) -> dict[int, Lane]:
        found: dict[str, Lane] = {}
        for layer in ("lane", "lane_connector"):
            for record in self.data[layer]:
                pieces = self.data["arcline_path_3"].get(record["token"], [])
                centre = follow(pieces) - self.origin
                if len(centre) < 2 or not LineString(centre).intersects(self.area):
                    continue
                extra = record.get(EXTRA, {})
                outline = self._polygon(record["polygon_token"])
                found[record["token"]] = Lane(
                    id=len(found),
                    centre=centre,
                    width=extra.get("width") or outline.area / LineString(centre).length,
                    speed_limit=extra.get("speed_limit", SPEED_LIMIT),
                    junction=layer == "lane_connector",
                    signal=lights.get(str(extra.get("traffic_light_token"))),
                )
        after = {t: self.data["connectivity"].get(t, {}).get("outgoing", []) for t in found}
        lanes = [replace(x, successors=tuple(found[a].id for a in after[t] if a in found)) for t, x in found.items()]
        return {lane.id: _with_neighbours(lane, lanes) for lane in lanes}

    def _paint(self) -> list[Marking]:
        out = []
        for layer, usual in (("lane_divider", "DOUBLE_DASHED_WHITE"), ("road_divider", "DOUBLE_SOLID_YELLOW")):
            for record in self.data[layer]:
                line = self._points(self.line[record["line_token"]])
                if len(line) < 2 or not LineString(line).intersects(self.area):
                    continue
                segments = record.get(f"{layer}_segments") or [{}]
                kind, colour = _PAINT.get(str(segments[0].get("segment_type")), _PAINT[usual])
                out.append(Marking(line=line, kind=kind, colour=colour))
        for record in self.data["stop_line"]:
            polygon = self._polygon(record["polygon_token"])
            if polygon.intersects(self.area):
                out.append(Marking(line=_long_axis(polygon), kind="stop"))
        return out

    def _signal(self, number: int, record: Record) -> Signal:
        pose, extra = record["pose"], record[EXTRA]
        return Signal(
            id=number,
            position=(pose["tx"] - self.origin[0], pose["ty"] - self.origin[1], pose["tz"]),
            yaw=pose["rz"],
            phases=tuple((colour, seconds) for colour, seconds in extra["phases"]),
            offset=extra["offset"],
        )


def follow(pieces: list[Record]) -> np.ndarray:
    """float64 (N, 2): points along Dubins paths, `_SPACING` apart and at their ends."""
    points: list[tuple[float, float]] = []
    for piece in pieces:
        x, y, yaw = piece["start_pose"]
        points.append((x, y))
        for shape, length in zip(piece["shape"], piece["segment_length"]):
            turn = {"L": 1, "S": 0, "R": -1}[shape] / piece["radius"]
            steps = math.ceil(length / _SPACING)
            start, heading = (x, y), yaw
            for step in range(1, steps + 1):
                along = length * step / steps
                yaw = heading + turn * along
                chord = along * np.sinc(turn * along / (2 * math.pi))
                middle = heading + turn * along / 2
                x, y = start[0] + chord * math.cos(middle), start[1] + chord * math.sin(middle)
                points.append((x, y))
    kept = [p for i, p in enumerate(points) if i == 0 or math.dist(p, points[i - 1]) > 1e-3]
    return np.array(kept, np.float64).reshape(-1, 2)


def _with_neighbours(lane: Lane, lanes: list[Lane]) -> Lane:
    """With the lanes beside its middle; those of junctions have none."""
    if lane.junction:
        return lane
    line = LineString(lane.centre)
    middle, ahead = (np.array(line.interpolate(line.length / 2 + d).coords[0]) for d in (0, 0.5))
    forward = (ahead - middle) / np.linalg.norm(ahead - middle)
    beside: dict[str, tuple[float, int]] = {}
    for other in lanes:
        if other.junction or other.id == lane.id:
            continue
        path = LineString(other.centre)
        at = path.project(Point(middle))
        offset = np.array(path.interpolate(at).coords[0]) - middle
        left, distance = forward[0] * offset[1] - forward[1] * offset[0], float(np.linalg.norm(offset))
        a, b = (np.array(path.interpolate(at + d).coords[0]) for d in (-0.5, 0.5))
        same = float((b - a) @ forward)
        widths = distance / ((lane.width + other.width) / 2)
        if abs(left) < 0.8 * distance or distance < 0.5:
            continue
        side = ("left" if left > 0 else "right") if same > 0 else "opposite"
        if widths < (5 if side == "opposite" else 1.5):
            beside[side] = min(beside.get(side, (math.inf, -1)), (distance, other.id))
    return replace(lane, **{side: number for side, (_, number) in beside.items()})


def _long_axis(polygon: Polygon) -> np.ndarray:
    """float64 (2, 2): the middle line along the longer side of its smallest rectangle."""
    corners = np.array(polygon.minimum_rotated_rectangle.boundary.coords)[:4]
    if math.dist(corners[0], corners[1]) < math.dist(corners[1], corners[2]):
        return np.stack([corners[:2].mean(0), corners[2:].mean(0)])
    return np.stack([corners[1:3].mean(0), corners[[3, 0]].mean(0)])


def _curbs(drivable: BaseGeometry, walkways: BaseGeometry) -> list[Marking]:
    """Where the road ends at a walkway."""
    return [Marking(line=line, kind="curb") for line in pieces(drivable.boundary.intersection(walkways.buffer(_CURB)))]

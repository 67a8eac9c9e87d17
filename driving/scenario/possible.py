"""Whether a scene could happen: nobody in a wall, off the map, or inside another."""

from __future__ import annotations

import numpy as np
import shapely
from shapely.ops import unary_union

from driving.geometry import corners, ego_boxes, overlap
from driving.road.query import on_drivable
from driving.scene import RATE, Scene

LIGHT = ("pedestrian", "child", "animal", "ball", "debris", "cone", "barrier")
"""These may touch each other."""
OUTSIDE = 10.0
"""Metres beyond the described ground that still count as on the map."""


def problem(scene: Scene, collision: bool = False) -> str | None:
    """What is impossible about a scene, in a few words; None if nothing. `collision`: bodies may touch the ego."""
    ego = ego_boxes(scene.ego)
    return _of_ego(scene, ego) or _of_actors(scene, ego, collision)


def _of_ego(scene: Scene, boxes: np.ndarray) -> str | None:
    off = np.flatnonzero(~on_drivable(scene.road, boxes[:, :2]))
    return f"the ego leaves the road after {off[0] / RATE:.1f} s" if len(off) else None


def _of_actors(scene: Scene, ego: np.ndarray, collision: bool) -> str | None:
    if not scene.actors:
        return None
    names = [f"actor {a.id} ({a.category})" for a in scene.actors]
    sizes = np.array([a.size[:2] for a in scene.actors])[:, None].repeat(len(scene), 1)
    boxes = np.concatenate([scene.tracks[..., :3], sizes], -1)
    x0, y0, x1, y1 = scene.road.bounds
    x, y = scene.tracks[..., 0], scene.tracks[..., 1]
    outside = (x < x0 - OUTSIDE) | (x > x1 + OUTSIDE) | (y < y0 - OUTSIDE) | (y > y1 + OUTSIDE)
    if (hit := _first(outside)) is not None:
        return f"{names[hit[0]]} is off the map of road {scene.road.name} after {hit[1] / RATE:.1f} s"
    walls = unary_union([b.footprint for b in scene.road.buildings])
    shapely.prepare(walls)
    points = np.nan_to_num(np.concatenate([corners(boxes), boxes[..., None, :2]], -2), nan=1e9)
    inside: np.ndarray = np.any(shapely.contains_xy(walls, points[..., 0], points[..., 1]), axis=-1)
    if (hit := _first(inside)) is not None:
        return f"{names[hit[0]]} is inside a wall after {hit[1] / RATE:.1f} s"
    if not collision and (hit := _first(np.atleast_2d(overlap(boxes, ego[None])))) is not None:
        return f"{names[hit[0]]} hits the ego after {hit[1] / RATE:.1f} s"
    light = np.array([a.category in LIGHT for a in scene.actors])
    radius = np.hypot(sizes[:, 0, 0], sizes[:, 0, 1]) / 2
    apart = np.hypot(x[:, None] - x[None], y[:, None] - y[None])
    near = apart < (radius[:, None] + radius[None])[..., None]
    i, j, t = np.nonzero(near & np.triu(~(light[:, None] & light[None]), 1)[..., None])
    touch = np.flatnonzero(overlap(boxes[i, t], boxes[j, t]))
    if len(touch):
        k = touch[np.argmin(t[touch])]
        return f"{names[i[k]]} and {names[j[k]]} touch after {t[k] / RATE:.1f} s"
    return None


def _first(where: np.ndarray) -> tuple[int, int] | None:
    """Row and column of the earliest true entry of bool (N, T)."""
    if not where.any():
        return None
    frame = int(np.argmax(where.any(0)))
    return int(np.argmax(where[:, frame])), frame

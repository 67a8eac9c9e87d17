"""A scene as its ego meets it: where every actor is along and beside the line that the ego drives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from shapely.ops import unary_union

from driving.road.lines import direction, headings, lengths
from driving.road.query import nearest_lane, path_from, project
from driving.scene import EGO_CENTRE, Scene

STEP = 0.5
"""Shortest piece of the driven line, metres."""
LEAP = 3.0
"""Metres over which the driven line joins its lane."""
HORIZON = 120.0
"""Metres beyond which nobody matters."""


@dataclass(frozen=True, kw_only=True)
class View:
    """Arrays over N actors and T frames; NaN while an actor is not there or beyond the horizon."""

    scene: Scene

    @cached_property
    def category(self) -> np.ndarray:
        """str (N,)."""
        return np.array([actor.category for actor in self.scene.actors], dtype=str)

    @cached_property
    def tracks(self) -> np.ndarray:
        """float64 (N, T, 4): x, y, yaw, speed."""
        return self.scene.tracks if self.scene.actors else np.zeros((0, len(self.scene), 4))

    @cached_property
    def line(self) -> np.ndarray:
        """float64 (M, 2): what the middle of the ego drives along, carried on by its lanes at both ends."""
        middle = self._middle
        kept = [middle[0]]
        for point in middle[1:]:
            if np.hypot(*(point - kept[-1])) >= STEP:
                kept.append(point)
        return np.concatenate([self._beyond(0)[0], kept, self._beyond(-1)[1]])

    def _beyond(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Points (P, 2) of the ego's lane behind and of its lanes ahead of its middle at a frame; the next step at least."""
        (x, y), yaw = self._middle[frame], float(self.scene.ego[frame, 2])
        lane, s, _ = nearest_lane(self.scene.road, x, y, yaw)
        path = path_from(self.scene.road, lane, (), s + HORIZON)
        step = STEP * direction(yaw)
        behind, ahead = path.points[path.along < s - LEAP], path.points[path.along > s + LEAP]
        return np.concatenate([behind, [(x, y) - step]]), np.concatenate([[(x, y) + step], ahead])

    @property
    def _middle(self) -> np.ndarray:
        yaw = self.scene.ego[:, 2]
        return self.scene.ego[:, :2] + EGO_CENTRE * np.stack([np.cos(yaw), np.sin(yaw)], 1)

    @cached_property
    def _frenet(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        along, yaws = lengths(self.line), headings(self.line)
        own, _ = project(self.line, along, self._middle)
        shape = self.tracks.shape[:2]
        s, left = np.full((2, *shape), np.nan)
        near = np.hypot(self.tracks[..., 0] - self._middle[:, 0], self.tracks[..., 1] - self._middle[:, 1]) < HORIZON
        for i in np.flatnonzero(near.any(1)):
            s[i, near[i]], left[i, near[i]] = project(self.line, along, self.tracks[i, near[i], :2])
        return s - own, left, np.interp(s, along, yaws)

    @property
    def ahead(self) -> np.ndarray:
        """float64 (N, T): metres along the line from the ego's middle to each actor's; negative behind."""
        return self._frenet[0]

    @property
    def left(self) -> np.ndarray:
        """float64 (N, T): metres to the left of the line."""
        return self._frenet[1]

    @cached_property
    def turned(self) -> np.ndarray:
        """float64 (N, T): heading relative to the line's beside it, radians in [-pi, pi)."""
        return (self.tracks[..., 2] - self._frenet[2] + np.pi) % (2 * np.pi) - np.pi

    @cached_property
    def on_road(self) -> np.ndarray:
        """bool (N, T): whether the middle is on drivable ground."""
        return self.inside(self.scene.road.drivable)

    @cached_property
    def on_crossing(self) -> np.ndarray:
        """bool (N, T): whether the middle is on a crossing, give or take half a metre."""
        return self.inside(unary_union(self.scene.road.crossings).buffer(0.5))

    def inside(self, area: shapely.Geometry) -> np.ndarray:
        """bool (N, T)."""
        shapely.prepare(area)
        x, y = np.nan_to_num(self.tracks[..., 0], nan=1e9), np.nan_to_num(self.tracks[..., 1], nan=1e9)
        return shapely.contains_xy(area, x, y)

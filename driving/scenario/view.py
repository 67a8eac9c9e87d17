"""A scene as its ego meets it: where every actor is along and beside the line that the ego drives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from shapely.ops import unary_union

from driving.road.lines import direction, headings, lengths
from driving.road.query import project
from driving.scene import EGO_CENTRE, Scene

STEP = 0.5
"""Shortest piece of the driven line, metres."""


@dataclass(frozen=True, kw_only=True)
class View:
    """Arrays over N actors and T frames; NaN while an actor is not there."""

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
        """float64 (M, 2): what the middle of the ego drives along, and a step straight on at both ends."""
        middle = self._middle
        kept = [middle[0]]
        for point in middle[1:]:
            if np.hypot(*(point - kept[-1])) >= STEP:
                kept.append(point)
        first, last = (STEP * direction(float(yaw)) for yaw in self.scene.ego[[0, -1], 2])
        return np.concatenate([[kept[0] - first], kept, [kept[-1] + last]])

    @property
    def _middle(self) -> np.ndarray:
        yaw = self.scene.ego[:, 2]
        return self.scene.ego[:, :2] + EGO_CENTRE * np.stack([np.cos(yaw), np.sin(yaw)], 1)

    @cached_property
    def _frenet(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        along, yaws = lengths(self.line), headings(self.line)
        own, _ = project(self.line, along, self._middle)
        shape = self.tracks.shape[:2]
        rows = [project(self.line, along, track[:, :2]) for track in self.tracks]
        s, left = np.array(rows).reshape(*shape[:1], 2, shape[1]).swapaxes(0, 1)
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

"""The way that a run is asked to take: the line, its speed limits and the signals along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from driving.planning.lines import place
from driving.road.network import Road
from driving.road.query import LanePath
from driving.scene import State

AHEAD = 80.0
"""Metres of the way that a planner is shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """A path along lanes of a road."""

    road: Road
    path: LanePath

    def along(self, state: State) -> float:
        """Metres along the way of the place beside the rear axle."""
        return self.path.project(state.x, state.y)[0]

    def ahead(self, along: float) -> np.ndarray:
        """The line (M, 2) from `along` on, a point a metre, in the scene's coordinates."""
        return place(self.path.points, along + np.arange(0.0, AHEAD + 1.0))[:, :2]

    def limit(self, along: float) -> float:
        """Speed limit, m/s."""
        return self.road.lanes[self.path.lane_at(along)].speed_limit

    def stop(self, along: float, time: float) -> float | None:
        """Metres to the nearest stop line ahead whose signal is not green; None where none is near."""
        for index, lane in enumerate(self.path.lanes):
            signal, metres = self.road.lanes[lane].signal, self.path.end_of(index) - along
            if signal is not None and 0 <= metres < AHEAD and self.road.signals[signal].colour(time) != "green":
                return metres
        return None

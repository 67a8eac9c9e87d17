"""A recording in the source world's place: an imager that shows what was filmed."""

from __future__ import annotations

import numpy as np

from core.errors import ZoetropeError
from core.memory.sketch import SKETCH_DEPTH
from driving.nuscenes.read import Recording
from driving.rig import Rig
from driving.road.network import Road
from driving.scene import RATE, Ambience, Images, Moment, Scene
from driving.sketch import Sketcher

SAME_PLACE = 0.05
"""Metres, and radians, by which what is shown may be off."""


class Replay:
    """An Imager of one recording's pictures. Depth is that of the map and the boxes, 0 (unknown) elsewhere."""

    def __init__(self, recording: Recording):
        self._frames = recording.episode.frames

    def begin(self, road: Road, rig: Rig, ambience: Ambience, seed: int) -> None:
        if self._frames.shape[1:4] != (len(rig.cameras), rig.height, rig.width):
            raise ZoetropeError(
                f"replay: pictures {self._frames.shape[1:4]} are not those of a rig of {len(rig.cameras)} cameras"
            )
        self._sketcher = Sketcher(road, rig)

    def show(self, moment: Moment) -> Images:
        t = min(round(moment.time * RATE), len(self._frames) - 1)
        depth = self._sketcher.draw(moment)[SKETCH_DEPTH].astype(np.float32)
        return Images(np.ascontiguousarray(self._frames[t]), depth)

    def close(self) -> None:
        pass


def still_shows(recording: Scene, scene: Scene, frames: int) -> bool:
    """Whether the first frames of a recording show a changed scene too: the same view, light, ego and actors."""
    if recording.rig != scene.rig or recording.ambience != scene.ambience:
        return False
    return all(_alike(recording.moment(t), scene.moment(t)) for t in range(min(frames, len(scene))))


def _alike(a: Moment, b: Moment) -> bool:
    bodies = [np.array([(s.x, s.y, s.yaw) for s in (m.ego, *(state for _, state in m.actors))], dtype=float) for m in (a, b)]
    looks = [[(actor.category, actor.size, actor.colour) for actor, _ in m.actors] for m in (a, b)]
    return looks[0] == looks[1] and bool(np.abs(bodies[0] - bodies[1]).max() < SAME_PLACE)

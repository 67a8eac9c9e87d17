"""A generated world in the source world's place: an imager whose pictures a network makes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.episodes.episode import Episode
from core.streaming.session import Session
from core.streaming.world import World
from driving.record import SKY_DEPTH, to_episode, told
from driving.rig import Rig
from driving.road.network import Road
from driving.scene import Ambience, Images, Moment, Scene, State
from driving.source.imager import Imager
from driving.source.record import actions

CONTEXT_FRAMES = 3
"""First frames that are taken from another imager where there is one."""


class Dream:
    """An Imager. With `first`, another imager shows the first frames of a scene; without, none is needed."""

    def __init__(self, world: World, first: Imager | None = None, frames: int = CONTEXT_FRAMES):
        self.world, self.first, self.frames = world, first, frames if first is not None else 0
        self.session: Session | None = None

    def begin(self, road: Road, rig: Rig, ambience: Ambience, seed: int) -> None:
        """Start a scene."""
        if self.first is not None:
            self.first.begin(road, rig, ambience, seed)
        self.session = None
        self._seen: list[tuple[Moment, Images]] = []
        self._setting = (road, rig, ambience, seed)
        self._tell = told(road, rig, ambience)

    def show(self, moment: Moment) -> Images:
        """The next moment, 1 / RATE seconds after the last one."""
        _, rig, _, seed = self._setting
        if len(self._seen) < self.frames and self.first is not None:
            images = replace(self.first.show(moment), ids=None)
            self._seen.append((moment, images))
            self._ego = moment.ego
            return images
        if self.session is None:
            blank = not self._seen
            if blank:
                self._ego = moment.ego
            self.session = self.world.open(self._blank(moment) if blank else self._context(), seed=seed, blank=blank)
        action = actions(_track(self._ego, moment.ego))[0]
        pose = rig.poses(moment.ego.x, moment.ego.y, moment.ego.yaw)
        frame = self.session.step(action, pose, self._tell(moment))
        self._ego = moment.ego
        assert frame.depth is not None
        return Images(frame.frame, _far(frame.depth), None)

    def fork(self, seed: int | None = None) -> Dream:
        """Another that goes on from here, for what might be; with a `seed` it imagines otherwise."""
        twin = Dream(self.world, self.first, self.frames)
        twin.__dict__.update(self.__dict__)
        twin._seen = list(self._seen)
        twin.session = None if self.session is None else self.session.fork(seed)
        return twin

    def close(self) -> None:
        if self.first is not None:
            self.first.close()

    def _context(self) -> Episode:
        """What the other imager has shown, as the session's context."""
        road, rig, ambience, seed = self._setting
        moments, shown = zip(*self._seen)
        ego = np.array([[m.ego.x, m.ego.y, m.ego.yaw, m.ego.speed] for m in moments])
        scene = Scene(name="context", road=road, rig=rig, ambience=ambience, ego=ego, seed=seed)
        return to_episode(scene, shown, moments)

    def _blank(self, moment: Moment) -> Episode:
        """One frame of nothing, for its cameras alone."""
        _, rig, _, _ = self._setting
        view = (1, len(rig.cameras), rig.height, rig.width)
        known = self._tell(moment)
        return Episode(
            frames=np.zeros((*view, 3), np.uint8),
            action=np.zeros((1, 2), np.float32),
            pose=rig.poses(moment.ego.x, moment.ego.y, moment.ego.yaw)[None],
            intrinsics=rig.intrinsics(),
            depth=np.zeros(view, np.float16),
            conditions={name: value[None] for name, value in known.items()},
        )


def _track(*states: State) -> np.ndarray:
    return np.array([[s.x, s.y, s.yaw, s.speed] for s in states])


def _far(depth: np.ndarray) -> np.ndarray:
    """Depth with the sky at infinity."""
    return np.where(depth > SKY_DEPTH / 2, np.float32(np.inf), depth)

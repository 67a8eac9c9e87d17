"""What a world remembers of the newest frames: their values in its key/value ring.

They are what later frames read of them, so the world has put there what it takes to go on; reading them costs nothing. A
session that has only observed has denoised and decoded nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from core.episodes.episode import FACTS, Episode
from core.errors import ZoetropeError
from core.memory.ring import KeyValueRing
from core.memory.sketch import SKETCH, SKETCH_DEPTH
from core.streaming.frames import Conditions
from core.streaming.model import WorldConfig
from core.streaming.session import Session
from core.streaming.world import World
from driving.record import SKY_DEPTH
from driving.rig import Rig
from driving.scene import RATE, Images, State
from driving.source.record import actions

FRAMES = 2
"""Newest frames that are read."""


def layers(config: WorldConfig) -> tuple[int, ...]:
    """Which of the backbone's layers are read: the one in its middle and the last."""
    count = config.backbone.layers
    return tuple(sorted({count // 2, count - 1}))


def shape(config: WorldConfig) -> tuple[int, int]:
    """(n, d): tokens of a frame, and numbers that are read of each."""
    return config.frame_shape.tokens, config.backbone.width * len(layers(config))


def remembered(session: Session) -> Tensor:
    """(FRAMES, n, d): what `session` remembers of its newest frames, the newest last; a frame that is not held repeats it.

    Raises ZoetropeError for a batch, or a session that knows no frame yet.
    """
    if not session.single or session.number == 0:
        raise ZoetropeError("trajectory: needs a session of its own, and one that has seen a frame")
    ring, picked = session.ring, list(layers(session.world.config))
    newest = _values(ring, session.number - 1, picked)
    assert newest is not None
    older = (_values(ring, session.number - 1 - age, picked) for age in range(FRAMES - 1, 0, -1))
    return torch.stack([*(newest if x is None else x for x in older), newest])


def _values(ring: KeyValueRing, number: int, picked: list[int]) -> Tensor | None:
    """(n, d) of frame `number`; None where the ring does not hold it in full."""
    for (level, _, tokens, start), times in zip(ring.spans, ring.times):
        at = (times == number).nonzero()
        if level == 0 and number >= 0 and len(at):
            begin = start + int(at[0]) * tokens
            return ring.values_at(slice(begin, begin + tokens))[picked, 0].permute(2, 0, 1, 3).flatten(1)
    return None


class Witness:
    """Shows a session what the cameras see, and nothing else: no sketch of what is known, no weather."""

    def __init__(self, world: World, rig: Rig, seed: int = 0):
        self.world, self.rig, self.seed = world, rig, seed
        self.session: Session | None = None
        self.elapsed = 0.0
        """Seconds between the newest two frames; 0 where there is one."""

    def see(self, images: Images, ego: State, time: float) -> Session:
        """These pictures, seen from there, at that many seconds. The session that has seen them."""
        pose = self.rig.poses(ego.x, ego.y, ego.yaw)
        depth = np.minimum(images.depth, SKY_DEPTH).astype(np.float16)
        if self.session is None:
            context = Episode(
                frames=images.colour[None],
                action=np.zeros((1, 2), np.float32),
                pose=pose[None],
                intrinsics=self.rig.intrinsics(),
                depth=depth[None],
                conditions={name: value[None] for name, value in unknown(self.world.config).items()},
            )
            self.session = self.world.open(context, seed=self.seed)
        else:
            self.elapsed = time - self._time
            self.session.observe(images.colour, motion(self._ego, ego, self.elapsed), pose, depth)
        self._ego, self._time = ego, time
        return self.session


def motion(before: State, after: State, seconds: float) -> np.ndarray:
    """The action float32 (2,) that leads from one state to another: mean speed, m/s, and yaw rate, rad/s."""
    track = np.array([[s.x, s.y, s.yaw, s.speed] for s in (before, after)])
    return actions(track)[0] / np.float32(seconds * RATE)


def unknown(config: WorldConfig) -> Conditions:
    """The conditions of a frame of which nothing is told."""
    view = (config.cameras, config.height, config.width)
    nothing = {
        SKETCH: np.zeros((*view, 4), np.uint8),
        SKETCH_DEPTH: np.zeros(view, np.float16),
        FACTS: np.zeros(config.facts, np.float32),
    }
    return {name: nothing[name] for name in config.conditions}

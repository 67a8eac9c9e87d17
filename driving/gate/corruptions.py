"""Ways in which a scene can be wrong, made on purpose from right ones: what the gate must catch.

Each takes an Episode with boxes, poses and intrinsics and a random generator, and returns another Episode.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

from core.episodes.episode import Episode
from driving.gate.boxes import CONDITION, Boxes, Sight, project

SHIFT = 2.5
"""Metres by which boxes are moved."""
BLUR = 1.2
"""Pixels of Gaussian deviation, for pictures 128 wide."""
CAST = (40.0, 0.0, -40.0)
"""RGB by which colours have drifted at the end."""
LAG = 5
"""Frames by which boxes run ahead of the pictures."""

Corruption = Callable[[Episode, np.random.Generator], Episode]


def shifted_boxes(episode: Episode, rng: np.random.Generator) -> Episode:
    """All boxes some metres to one side."""
    rows = episode.conditions[CONDITION].copy()
    angle = rng.uniform(-np.pi, np.pi)
    rows[..., 2] += SHIFT * np.cos(angle)
    rows[..., 3] += SHIFT * np.sin(angle)
    return _told(episode, rows)


def lagging_boxes(episode: Episode, rng: np.random.Generator) -> Episode:
    """Boxes of half a second later."""
    rows = episode.conditions[CONDITION]
    return _told(episode, rows[np.minimum(np.arange(len(rows)) + LAG, len(rows) - 1)])


def missing_actor(episode: Episode, rng: np.random.Generator) -> Episode:
    """The best seen actor painted over with what surrounds it."""
    sight, actor = _best_seen(episode)
    frames = episode.frames.copy()
    height, width = frames.shape[2:4]
    for t, v in zip(*np.nonzero(sight.shown[..., actor])):
        x0, y0, x1, y1 = sight.box[t, v, actor]
        mask = np.zeros((height, width), np.uint8)
        mask[max(int(y0) - 1, 0) : int(y1) + 2, max(int(x0) - 1, 0) : int(x1) + 2] = 1
        frames[t, v] = cv2.inpaint(np.ascontiguousarray(frames[t, v]), mask, 3, cv2.INPAINT_TELEA)
    return dataclasses.replace(episode, frames=frames)


def untold_actor(episode: Episode, rng: np.random.Generator) -> Episode:
    """The best seen actor struck from what was told."""
    rows = episode.conditions[CONDITION].copy()
    rows[:, _best_seen(episode)[1]] = 0
    return _told(episode, rows)


def swapped_cameras(episode: Episode, rng: np.random.Generator) -> Episode:
    """Two cameras' pictures exchanged."""
    order = np.arange(episode.frames.shape[1])
    a, b = rng.choice(len(order), 2, replace=False)
    order[[a, b]] = order[[b, a]]
    return dataclasses.replace(episode, frames=episode.frames[:, order])


def frozen_video(episode: Episode, rng: np.random.Generator) -> Episode:
    """Nothing moves from some frame in the first two thirds on."""
    stop = int(rng.integers(len(episode) // 4, 2 * len(episode) // 3 + 1))
    return dataclasses.replace(episode, frames=episode.frames[np.minimum(np.arange(len(episode)), stop)])


def blur(episode: Episode, rng: np.random.Generator) -> Episode:
    """Out of focus."""
    deviation = BLUR * episode.frames.shape[3] / 128
    pictures = [cv2.GaussianBlur(p, (0, 0), deviation) for p in episode.frames.reshape(-1, *episode.frames.shape[2:])]
    return dataclasses.replace(episode, frames=np.stack(pictures).reshape(episode.frames.shape))


def drifting_colours(episode: Episode, rng: np.random.Generator) -> Episode:
    """Ever redder."""
    cast = np.linspace(0, 1, len(episode))[:, None, None, None, None] * np.array(CAST)
    return dataclasses.replace(episode, frames=np.clip(episode.frames + cast, 0, 255).astype(np.uint8))


CORRUPTIONS: dict[str, Corruption] = {
    f.__name__: f
    for f in (
        shifted_boxes,
        lagging_boxes,
        missing_actor,
        untold_actor,
        swapped_cameras,
        frozen_video,
        blur,
        drifting_colours,
    )
}


def _told(episode: Episode, rows: np.ndarray) -> Episode:
    return dataclasses.replace(episode, conditions={**episode.conditions, CONDITION: rows})


def _best_seen(episode: Episode) -> tuple[Sight, int]:
    """The Sight of all boxes, and the actor that fills most of the pictures while it is no giant at the lens."""
    assert episode.pose is not None and episode.intrinsics is not None
    height, width = episode.frames.shape[2:4]
    sight = project(Boxes.read(episode.conditions[CONDITION]), episode.pose, episode.intrinsics, width, height)
    area = np.where(sight.area < 0.25 * width * height, sight.area, 0)
    return sight, int(area.sum((0, 1)).argmax())

"""The few demonstrations that everything grows from, out of our recordings or a LeRobot dataset, ready for a world to go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.episodes.episode import Episode
from core.errors import ZoetropeError
from core.streaming.world import World
from robotics.cloning import lessons
from robotics.lerobot.demonstration import Demonstration
from robotics.record import OBJECTS, PROPRIOCEPTION
from robotics.task import Task


def read(folder: Path, count: int, seed: int, policy: str | None = None) -> list[Episode]:
    """`count` successful demonstrations drawn by the seed, or all where there are fewer; of one recorded policy if named.

    Their conditions hold proprioception and, where it is known, where things are. Raises ZoetropeError where there are none.
    """
    found = lessons.read(folder, policy)
    return [_told(d) for d in lessons.choose(found, min(count, len(found)), seed)]


def check(demonstrations: Sequence[Episode], world: World | None, task: Task) -> None:
    """That they show the task, and that the world can go on from them; ZoetropeError naming what does not fit."""
    first = demonstrations[0]
    if (found := first.action.shape[1:]) != (task.action_size,):
        raise ZoetropeError(f"demonstrations: actions of shape {found}, and the task's have {task.action_size} numbers")
    own = {PROPRIOCEPTION: len(task.proprioception_names)}
    asked = own if world is None else {p.name: p.size for p in world.config.state}
    for name, size in asked.items():
        found = first.conditions[name].shape[1] if name in first.conditions else 0
        if found != size:
            raise ZoetropeError(f"demonstrations: {found} numbers of '{name}', where {size} are needed")
    if world is not None:
        wanted = (world.config.cameras, world.config.height, world.config.width)
        if (found := first.frames.shape[1:4]) != wanted:
            raise ZoetropeError(f"demonstrations: pictures of {found} (cameras, height, width), and the world's are {wanted}")


def demonstration(
    episode: Episode, source: str, action_is_pseudo: np.ndarray | None = None, confidence: np.ndarray | None = None
) -> Demonstration:
    """An episode with its provenance; without one its actions count as true. Objects are told where the episode tells them."""
    steps = len(episode)
    reward = np.zeros(steps, np.float32) if episode.reward is None else episode.reward
    ended = np.zeros(steps, bool) if episode.terminated is None else episode.terminated
    return Demonstration(
        episode=replace(episode, reward=reward, terminated=ended),
        state=episode.conditions[PROPRIOCEPTION],
        environment_state=episode.conditions.get(OBJECTS),
        source=source,
        action_is_pseudo=np.zeros(steps, bool) if action_is_pseudo is None else action_is_pseudo,
        confidence=np.ones(steps, np.float32) if confidence is None else confidence,
    )


def _told(found: Demonstration) -> Episode:
    """Its episode with what its state says among the conditions."""
    episode = found.episode
    known = {PROPRIOCEPTION: found.state}
    if found.environment_state is not None:
        known[OBJECTS] = found.environment_state
    reward = np.zeros(len(episode), np.float32) if episode.reward is None else episode.reward
    return replace(episode, conditions=episode.conditions | known, reward=reward)

"""Record episodes of a task: mixed behaviours, failures included, seeded, resumable, every finished episode kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from core.config import to_dict
from core.episodes.episode import Episode
from core.episodes.recording import Recorder, check_plan, record_missing
from core.errors import ZoetropeError
from robotics import policies, tasks
from robotics.policies import Checked
from robotics.scene.variation import Variation
from robotics.task import Task

SPLITS = ("train", "validation", "test")
SEEDS_PER_SPLIT = 1_000_000
PROPRIOCEPTION, OBJECTS = "proprioception", "objects"
"""Names in `Episode.conditions` of what the robot knows of itself, float32 (T, P), and of where things are, float32 (T, O)."""
TASK, POLICY, SEED, SUCCESS = "task", "policy", "seed", "success"
"""Names in `Episode.metadata`; success is `true` or `false`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitConfig:
    """How much of one split to record."""

    resets: int
    """Starts; each is played by every policy."""
    policies: tuple[str, ...]
    """One episode a start for each entry; repeat a name for more of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordConfig:
    """What is recorded of a task."""

    train: SplitConfig
    validation: SplitConfig
    test: SplitConfig
    task: str = "push"
    height: int = 64
    width: int = 64
    variation: Variation = field(default_factory=Variation)

    def split(self, name: str) -> SplitConfig:
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    def make_task(self) -> Task:
        """The task as it is recorded."""
        return tasks.make(self.task, (self.height, self.width), self.variation)


def reset_seed(split: str, index: int) -> int:
    """The seed of start `index` of a split. Splits never share one: each owns a range of numbers."""
    if not 0 <= index < SEEDS_PER_SPLIT:
        raise ZoetropeError(f"start {index} is outside a split's {SEEDS_PER_SPLIT} starts")
    return SPLITS.index(split) * SEEDS_PER_SPLIT + index


def record_episode(task: Task, policy: Checked, seed: int, policy_seed: int, frames: int | None = None) -> Episode:
    """Play one episode, or its first `frames` (>= 2), from the start of `seed` and return it.

    `action` of the last frame is what the policy would do next.
    """
    seen = [task.reset(seed)]
    policy.reset(policy_seed)
    actions, rewards, poses, success, ended = [], [], [task.poses], False, False
    while True:
        actions.append(policy(seen[-1]))
        if ended or len(seen) == frames:
            break
        observation, reward, success, ended = task.step(actions[-1])
        seen.append(observation)
        rewards.append(reward)
        poses.append(task.poses)
    terminated = np.zeros(len(seen), bool)
    terminated[-2] = success  # out of time is no end of the world
    return Episode(
        frames=np.stack([o.frames for o in seen]),
        action=np.stack(actions),
        pose=np.stack(poses),
        intrinsics=task.intrinsics,
        reward=np.array([*rewards, 0.0], np.float32),
        terminated=terminated,
        conditions={
            PROPRIOCEPTION: np.stack([o.proprioception for o in seen]),
            OBJECTS: np.stack([o.known_objects for o in seen]),
        },
        text=task.instruction,
        metadata={TASK: task.name, POLICY: policy.name, SEED: str(seed), SUCCESS: str(bool(success)).lower()},
    )


def record(config: RecordConfig, split: str, folder: Path, processes: int) -> int:
    """Record every episode of `split` that `folder` does not hold yet. Returns how many were made."""
    wanted = config.split(split)
    task = config.make_task()  # a missing simulator or an unknown policy is said here, in one line, not by a broken pool
    for name in wanted.policies:
        policies.make(name, task)
    plan = to_dict(wanted) | {
        "task": config.task,
        "size": [config.height, config.width],
        "variation": to_dict(config.variation),
    }
    check_plan(folder, plan, grows="resets")
    recorder: Callable[[], Recorder] = partial(_recorder, config, split)
    return record_missing(folder, wanted.resets * len(wanted.policies), recorder, processes, f"record {split}")


def _recorder(config: RecordConfig, split: str) -> Recorder:
    task, wanted = config.make_task(), config.split(split)
    played = [policies.make(name, task) for name in wanted.policies]

    def make(index: int) -> Episode:
        start, policy = divmod(index, len(played))
        seed = reset_seed(split, start)
        return record_episode(task, played[policy], seed, policy_seed=seed * 101 + policy)

    return make

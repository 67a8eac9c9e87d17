"""Record episodes from a source: several processes, seeded, resumable, a progress bar, every finished episode kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from core.config import to_dict
from core.episodes.episode import Episode
from core.episodes.recording import Recorder, check_plan, record_missing
from core.episodes.store import EpisodeStore
from games.source import Policy, Source, level_number


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitConfig:
    """How much of one split to record."""

    levels: int
    policies: tuple[str, ...]
    """One episode a level for each entry; repeat a name for more of it."""
    frames: int
    """Longest episode; a terminated one is shorter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordConfig:
    """What `zoetrope record` makes."""

    train: SplitConfig
    validation: SplitConfig
    test: SplitConfig

    def split(self, name: str) -> SplitConfig:
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


Maker = Callable[[], Source]
PolicyMaker = Callable[[Source, str, int], Policy]


def record_episode(source: Source, make_policy: PolicyMaker, level: int, policy_name: str, seed: int, frames: int) -> Episode:
    """Play one episode of at most `frames` frames and return it."""
    seen = [source.reset(level)]
    policy = make_policy(source, policy_name, seed)
    actions, rewards, terminated = [], [], []
    while True:
        action = policy.act()
        actions.append(action)
        if len(seen) == frames or seen[-1].terminated:
            break
        seen.append(source.step(action))
        rewards.append(seen[-1].reward)
        terminated.append(seen[-1].terminated)
    first = seen[0]
    stack = lambda name: np.stack([getattr(o, name) for o in seen])[:, None]  # noqa: E731 - adds the camera axis
    return Episode(
        frames=stack("frame"),
        action=np.stack(actions),
        pose=None if first.pose is None else stack("pose"),
        depth=None if first.depth is None else stack("depth"),
        intrinsics=None if source.intrinsics is None else source.intrinsics[None],
        reward=np.array([*rewards, 0.0], np.float32),
        terminated=np.array([*terminated, False]),
        metadata={"level": str(level), "policy": policy_name, "seed": str(seed)},
    )


def record(make_source: Maker, make_policy: PolicyMaker, config: RecordConfig, split: str, folder: Path, processes: int) -> int:
    """Record every episode of `split` that `folder` does not hold yet. Returns how many were made.

    `make_source` and `make_policy` must be picklable (module-level functions or partials of them).
    """
    wanted = config.split(split)
    check_plan(folder, to_dict(wanted), grows="levels")
    count = wanted.levels * len(wanted.policies)
    if all(EpisodeStore(folder).has(index) for index in range(count)):
        return 0
    make_source().close()  # a missing engine is said here, in one line, not by a broken pool
    recorder = partial(_recorder, make_source, make_policy, wanted, split)
    return record_missing(folder, count, recorder, processes, f"record {split}")


def _recorder(make_source: Maker, make_policy: PolicyMaker, wanted: SplitConfig, split: str) -> Recorder:
    source = make_source()

    def make(index: int) -> Episode:
        level, policy = level_number(split, index // len(wanted.policies)), wanted.policies[index % len(wanted.policies)]
        return record_episode(source, make_policy, level, policy, seed=level * 101 + index, frames=wanted.frames)

    return make

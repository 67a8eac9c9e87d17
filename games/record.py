"""Record episodes from a source: several processes, seeded, resumable, a progress bar, every finished episode kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from core.config import to_dict
from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.files import write_text
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
    store, wanted = EpisodeStore(folder), config.split(split)
    _check_plan(folder / "plan.json", wanted)
    jobs = [
        (index, level_number(split, index // len(wanted.policies)), wanted.policies[index % len(wanted.policies)])
        for index in range(wanted.levels * len(wanted.policies))
        if not store.has(index)
    ]
    if not jobs:
        return 0
    make_source().close()  # a missing engine is said here, in one line, not by a broken pool
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _start, (make_source, make_policy, store, wanted.frames))
    try:
        with tqdm(total=len(jobs), unit="episode", desc=f"record {split}") as bar:
            for done in as_completed([pool.submit(_run, job) for job in jobs]):
                done.result()
                bar.update()
    finally:
        pool.shutdown(cancel_futures=True)
    return len(jobs)


def _check_plan(path: Path, wanted: SplitConfig) -> None:
    """A folder holds one plan; another one would give its episodes another meaning. More levels only add to it."""
    plan = to_dict(wanted)
    if path.exists():
        held = json.loads(path.read_text())
        if held == plan:
            return
        if held | {"levels": plan["levels"]} == plan and held["levels"] < plan["levels"]:
            write_text(path, json.dumps(plan, indent=2) + "\n")
        else:
            raise ZoetropeError(
                f"{path.parent}: holds a recording of another plan; record into another folder or delete this one"
            )
    elif EpisodeStore(path.parent).indices():
        raise ZoetropeError(f"{path.parent}: holds episodes of no known plan; record into another folder")
    else:
        write_text(path, json.dumps(plan, indent=2) + "\n")


_worker: tuple[Source, PolicyMaker, EpisodeStore, int]


def _start(make_source: Maker, make_policy: PolicyMaker, store: EpisodeStore, frames: int) -> None:
    global _worker  # one engine a process, reused for all its episodes
    _worker = (make_source(), make_policy, store, frames)


def _run(job: tuple[int, int, str]) -> None:
    index, level, policy_name = job
    source, make_policy, store, frames = _worker
    store.write(index, record_episode(source, make_policy, level, policy_name, seed=level * 101 + index, frames=frames))

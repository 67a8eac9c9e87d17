"""Recording: what an episode holds, splits apart, resuming, and what a killed recording leaves behind."""
# pyright: reportOptionalSubscript=false, reportOptionalMemberAccess=false, reportArgumentType=false

from pathlib import Path

import numpy as np
import pytest

from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from games.record import RecordConfig, SplitConfig, record, record_episode
from games.source import SPLITS, Observation, Source, level_number


class Counter:
    """A stand-in engine: every pixel tells the level and how many steps were made; it ends after nine of them."""

    intrinsics: np.ndarray | None = None

    def reset(self, level: int) -> Observation:
        self.level, self.steps = level, 0
        return self._observe(0.0)

    def step(self, action: np.ndarray) -> Observation:
        self.steps += 1
        return self._observe(float(action))

    def close(self) -> None: ...

    def _observe(self, reward: float) -> Observation:
        frame = np.full((4, 6, 3), (self.level % 97, self.steps, 0), np.uint8)
        return Observation(frame, np.eye(4, dtype=np.float32) * self.steps, reward=reward, terminated=self.steps == 9)


class Random:
    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)

    def act(self) -> np.ndarray:
        return np.array(self.rng.integers(5))


def make_policy(source: Source, name: str, seed: int) -> Random:
    return Random(seed)


def config(levels: int = 2, frames: int = 6) -> RecordConfig:
    split = SplitConfig(levels=levels, policies=("a", "b"), frames=frames)
    return RecordConfig(train=split, validation=split, test=split)


def contents(folder: Path) -> dict[int, tuple[bytes, bytes, dict[str, str]]]:
    """What each episode holds; the order of a file's header entries is not fixed, so files are not compared byte by byte."""
    store = EpisodeStore(folder)
    return {i: ((e := store.read(i)).frames.tobytes(), e.action.tobytes(), e.metadata) for i in store.indices()}


def test_actions_lead_to_the_following_frame():
    episode = record_episode(Counter(), make_policy, 5, "a", seed=1, frames=6)
    assert episode.frames.shape == (6, 1, 4, 6, 3) and episode.action.shape == (6,) and episode.pose.shape == (6, 1, 4, 4)
    assert (episode.frames[:, 0, 0, 0] == [(5, step, 0) for step in range(6)]).all()
    assert (episode.reward[:-1] == episode.action[:-1]).all() and episode.reward[-1] == 0
    assert not episode.terminated.any()
    assert episode.metadata == {"level": "5", "policy": "a", "seed": "1"}


def test_a_terminated_episode_is_shorter():
    episode = record_episode(Counter(), make_policy, 5, "a", seed=1, frames=50)
    assert len(episode) == 10
    assert episode.terminated.tolist() == [False] * 8 + [True, False]


def test_splits_never_share_a_level():
    ranges = [{level_number(split, index) for index in (0, 1, 999_999)} for split in SPLITS]
    assert len(set.union(*ranges)) == sum(len(r) for r in ranges)


def test_resumes_only_what_is_missing_and_survives_a_kill(tmp_path):
    assert record(Counter, make_policy, config(), "train", tmp_path, processes=2) == 4
    before = contents(tmp_path)
    assert len(before) == 4 and len({e[0] + e[1] for e in before.values()}) == 4
    store = EpisodeStore(tmp_path)
    store.path(2).unlink()
    kept = store.path(1).stat().st_mtime_ns
    leftover = tmp_path / ".000002.k1ll9.safetensors"  # what kill -9 leaves: a temporary file that never got its name
    leftover.write_bytes(store.path(1).read_bytes()[:100])
    assert store.indices() == [0, 1, 3] and len(list(store)) == 3
    assert record(Counter, make_policy, config(), "train", tmp_path, processes=1) == 1
    assert contents(tmp_path) == before  # the same whatever the number of processes
    assert store.path(1).stat().st_mtime_ns == kept
    assert record(Counter, make_policy, config(), "train", tmp_path, processes=1) == 0


def test_a_recording_may_grow_but_not_change(tmp_path):
    record(Counter, make_policy, config(levels=1), "train", tmp_path, processes=1)
    before = contents(tmp_path)
    assert record(Counter, make_policy, config(levels=2), "train", tmp_path, processes=1) == 2
    assert {i: contents(tmp_path)[i] for i in before} == before
    for other in (config(levels=1), config(levels=3, frames=7)):
        with pytest.raises(ZoetropeError, match="another plan"):
            record(Counter, make_policy, other, "train", tmp_path, processes=1)


def test_unknown_split_folder_records_its_own_levels(tmp_path):
    record(Counter, make_policy, config(levels=1), "test", tmp_path, processes=1)
    assert {e.metadata["level"] for e in EpisodeStore(tmp_path)} == {str(level_number("test", 0))}


@pytest.mark.parametrize("frames", [1, 2])
def test_shortest_episodes(frames):
    assert len(record_episode(Counter(), make_policy, 0, "a", seed=0, frames=frames)) == frames

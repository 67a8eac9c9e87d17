"""Recording: what an episode of a task holds, splits apart, resuming, and the configuration that comes along."""
# pyright: reportOptionalSubscript=false, reportOptionalMemberAccess=false, reportArgumentType=false

from dataclasses import replace

import numpy as np
import pytest

from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from robotics import policies, tasks, worlds
from robotics.record import OBJECTS, PROPRIOCEPTION, SPLITS, RecordConfig, SplitConfig, record, record_episode, reset_seed
from robotics.task import HOLD

pytest.importorskip("mujoco")


def config(resets: int = 1, names: tuple[str, ...] = ("expert", "noisy:1")) -> RecordConfig:
    split = SplitConfig(resets=resets, policies=names)
    return RecordConfig(task="reach", height=16, width=24, train=split, validation=split, test=split)


def test_an_episode_replays_from_its_seed_and_actions():
    task = tasks.make("push", (16, 24))
    episode = record_episode(task, policies.make("expert", task), seed=7, policy_seed=0)
    assert episode.frames.shape[1:] == (2, 16, 24, 3) and episode.pose.shape[1:] == (2, 4, 4) and episode.depth is None
    assert episode.metadata == {"task": "push", "policy": "expert", "seed": "7", "success": "true"}
    assert (episode.reward[-HOLD - 1 : -1] == 1).all() and np.flatnonzero(episode.terminated).tolist() == [len(episode) - 2]
    seen = task.reset(7)
    for t in range(len(episode)):
        assert np.array_equal(seen.frames, episode.frames[t])
        assert np.array_equal(seen.proprioception, episode.conditions[PROPRIOCEPTION][t])
        assert np.array_equal(seen.objects, episode.conditions[OBJECTS][t])
        if t + 1 < len(episode):
            outcome = task.step(episode.action[t])
            seen = outcome.observation
            assert outcome.reward == episode.reward[t]


def test_a_failure_is_kept_and_does_not_terminate():
    task = tasks.make("reach", (8, 8))
    episode = record_episode(task, policies.make("random", task), seed=0, policy_seed=0)
    assert len(episode) == task.horizon and not episode.terminated.any()
    assert episode.metadata["success"] == "false"


def test_splits_never_share_a_start():
    ranges = [{reset_seed(split, index) for index in (0, 1, 999_999)} for split in SPLITS]
    assert len(set.union(*ranges)) == sum(len(r) for r in ranges)
    with pytest.raises(ZoetropeError, match="outside"):
        reset_seed("train", 1_000_000)


def test_resumes_grows_and_keeps_to_its_plan(tmp_path):
    assert record(config(), "validation", tmp_path, processes=1) == 2
    store = EpisodeStore(tmp_path)
    before = [store.read(i) for i in range(2)]
    assert [e.metadata["policy"] for e in before] == ["expert", "noisy:1"]
    assert {e.metadata["seed"] for e in before} == {str(reset_seed("validation", 0))}
    store.path(1).unlink()
    assert record(config(resets=2), "validation", tmp_path, processes=1) == 3
    assert all(np.array_equal(store.read(i).frames, e.frames) for i, e in enumerate(before))
    with pytest.raises(ZoetropeError, match="another plan"):
        record(replace(config(resets=2), task="pick"), "validation", tmp_path, processes=1)
    with pytest.raises(ZoetropeError, match="unknown policy 'clever'"):
        record(config(names=("clever",)), "train", tmp_path / "other", processes=1)


def test_the_configuration_that_comes_along_is_whole():
    config = worlds.load(worlds.CONFIGS / "push.yaml")
    task = config.record.make_task()
    assert config.world.action.size == task.action_size and config.world.cameras == len(task.cameras)
    for split in SPLITS:
        assert all(policies.make(name, task) for name in config.record.split(split).policies)

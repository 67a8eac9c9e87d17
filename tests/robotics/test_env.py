"""A generated robot world as a Gymnasium environment."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from core.errors import ZoetropeError
from robotics import worlds
from robotics.env import RobotEnv
from tests.robotics import tiny

pytest.importorskip("mujoco")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(worlds, "load_world", lambda name: (tiny.config(), tiny.world()))


def test_passes_gymnasiums_own_check():
    check_env(gymnasium.make("robotics.env:zoetrope/Push-v0").unwrapped, skip_render_check=True)


def test_same_seed_same_episode_and_starts_can_be_chosen():
    runs = []
    for _ in range(2):
        env = RobotEnv("push", render_mode="rgb_array")
        seen, info = env.reset(seed=3)
        env.action_space.seed(0)
        states = [seen["objects"]] + [env.step(env.action_space.sample())[0]["objects"] for _ in range(5)]
        runs.append((info["start"], np.stack(states)))
        assert env.render().shape == (16, 32, 3)
    assert runs[0][0] == runs[1][0] and np.array_equal(runs[0][1], runs[1][1])
    assert RobotEnv("push").reset(options={"start": 7})[1] == {"start": 7}
    with pytest.raises(ZoetropeError, match="start -1"):
        RobotEnv("push").reset(options={"start": -1})
    with pytest.raises(gymnasium.error.ResetNeeded):
        RobotEnv("push").step(np.zeros(2))


def test_without_predicted_objects_the_reward_judges():
    env = RobotEnv((tiny.config(objects=False), tiny.world(objects=False)), judge_by="reward")
    seen, _ = env.reset(seed=0)
    assert set(seen) == {"pixels", "proprioception"}
    assert env.step(np.zeros(2))[1] in (0.0, 1.0)
    with pytest.raises(ZoetropeError, match="predicts no objects"):
        RobotEnv((tiny.config(objects=False), tiny.world(objects=False)))

"""The worlds as Gymnasium environments."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from core.errors import ZoetropeError
from games import env as environments
from games import loading
from tests.apps import fakes


@pytest.fixture(autouse=True)
def fake_worlds(monkeypatch):
    monkeypatch.setattr(loading, "load", fakes.loaded)


@pytest.mark.parametrize("name", ["Maze", "Crafter", "MiniGrid"])
def test_passes_gymnasiums_own_check(name):
    check_env(gymnasium.make(f"zoetrope/{name}-v0").unwrapped, skip_render_check=True)


def test_same_seed_same_episode():
    runs = []
    for _ in range(2):
        env = gymnasium.make("games.env:zoetrope/Maze-v0", render_mode="rgb_array")
        frames = [env.reset(seed=5)[0]]
        env.action_space.seed(7)
        frames += [env.step(env.action_space.sample())[0] for _ in range(20)]
        assert np.array_equal(env.render(), frames[-1])
        runs.append(np.stack(frames))
    assert np.array_equal(*runs)


def test_choices_become_actions():
    maze, crafter = fakes.loaded("maze").game, fakes.loaded("crafter").game
    assert maze.to_action([2, 1, 0, 1]).tolist() == [1, 0, -1, 1]
    assert maze.to_action([1, 1, 1, 0]).tolist() == list(maze.keys.idle)
    assert crafter.to_action(5) == 5
    assert maze.to_action(np.ones((3, 4), int)).shape == (3, 4)


def test_start_can_be_chosen_and_step_needs_reset():
    env = environments.WorldEnv("maze")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(env.action_space.sample())
    frame, info = env.reset(options={"start": 2})
    assert info["start"] == 2 and np.array_equal(frame, fakes.loaded().starts[2].frames[-1, 0])
    with pytest.raises(ZoetropeError, match="starts 0 to 2"):
        env.reset(options={"start": 3})


def test_vector_equals_single():
    many = gymnasium.make_vec("zoetrope/Maze-v0", num_envs=3)
    frames, info = many.reset(seed=1)
    singles = [environments.WorldEnv("maze") for _ in range(3)]
    assert all(
        np.array_equal(s.reset(seed=0, options={"start": i})[0], f)
        for s, i, f in zip(singles, info["start"], frames, strict=True)
    )
    many.action_space.seed(3)
    for _ in range(10):
        actions = many.action_space.sample()
        frames, rewards, *_ = many.step(actions)
        steps = [s.step(a) for s, a in zip(singles, actions, strict=True)]
        assert [s[1] for s in steps] == rewards.tolist()
        # the fake paints its seed into the green channel; everything else is the same
        assert all(np.array_equal(s[0][..., 0], f[..., 0]) for s, f in zip(steps, frames, strict=True))


def test_vector_begins_anew_on_the_step_after_the_end():
    many = gymnasium.make_vec("zoetrope/Maze-v0", num_envs=2, max_episode_steps=40)
    many.reset(seed=0, options={"start": 0})
    right, idle = [1, 2, 2, 0], [1, 1, 1, 0]  # row 0 walks until the fake world ends at x = 60
    seen = [many.step(np.array([right, idle])) for _ in range(30)]
    ends = [i for i, s in enumerate(seen) if s[2][0]]
    assert ends[0] == 27 and not any(s[2][1] for s in seen)
    begun = seen[ends[0] + 1]
    assert begun[1][0] == 0 and not begun[2][0]
    assert any(np.array_equal(begun[0][0], s.frames[-1, 0]) for s in fakes.loaded().starts)
    later = [many.step(np.array([idle, idle])) for _ in range(12)]
    assert later[9][3].tolist() == [False, True], "the other row is truncated at its own age"
    assert not later[10][3].any()


def test_vector_all_truncated_together_reopens():
    many = gymnasium.make_vec("zoetrope/Maze-v0", num_envs=2, max_episode_steps=3)
    many.reset(seed=0)
    idle = np.array([[1, 1, 1, 0]] * 2)
    truncated = [many.step(idle)[3].all() for _ in range(8)]
    assert truncated == [False, False, True, False, False, False, True, False]

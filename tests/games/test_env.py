"""The worlds as Gymnasium environments."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from core.errors import ZoetropeError
from games import env as environments
from games import loading, registry
from tests.apps import fakes
from tests.core import worlds


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
        assert all(np.array_equal(dot(s[0]), dot(f)) for s, f in zip(steps, frames, strict=True))


def test_vector_begins_anew_on_the_step_after_the_end():
    many = gymnasium.make_vec("zoetrope/Maze-v0", num_envs=2, max_episode_steps=40)
    many.reset(seed=0, options={"start": 0})
    right, idle = [1, 2, 2, 0], [1, 1, 1, 0]  # row 0 walks until the fake world ends at x = 60
    seen = [many.step(np.array([right, idle])) for _ in range(30)]
    ends = [i for i, s in enumerate(seen) if s[2][0]]
    assert ends[0] == 27 and not any(s[2][1] for s in seen)
    begun = seen[ends[0] + 1]
    assert begun[1][0] == 0 and not begun[2][0]
    assert begun[4]["_start"].tolist() == [True, False]
    assert np.array_equal(begun[0][0], fakes.loaded().starts[begun[4]["start"][0]].frames[-1, 0])
    later = [many.step(np.array([idle, idle])) for _ in range(12)]
    assert later[9][3].tolist() == [False, True], "the other row is truncated at its own age"
    assert not later[10][3].any()


def dot(frame: np.ndarray) -> np.ndarray:
    """The fake paints its seed into the green channel; everything else depends on the start and the actions alone."""
    return frame[..., 0]


def test_one_that_ends_leaves_the_others_as_they_were():
    many = environments.WorldVectorEnv(3, "maze", max_episode_steps=100)
    singles = [environments.WorldEnv("maze") for _ in range(3)]
    frames, info = many.reset(seed=4)
    for single, start in zip(singles, info["start"], strict=True):
        single.reset(seed=0, options={"start": int(start)})
    draw, groups = np.random.default_rng(0), []
    for _ in range(60):
        actions = draw.integers(0, 2, (3, 4))
        actions[:, 1] = 1
        actions[0, 2], actions[1:, 2] = 2, 1  # row 0 alone goes right, to where the fake world ends
        over = many._ended.copy()
        frames, reward, *_, info = many.step(actions)
        groups.append(sorted(group.rows.tolist() for group in many._groups))
        for row, single in enumerate(singles):
            if over[row]:
                expected, paid = single.reset(options={"start": int(info["start"][row])})[0], 0.0
            else:
                expected, paid, *_ = single.step(actions[row])
            assert np.array_equal(dot(frames[row]), dot(expected)) and reward[row] == paid
    assert groups[0] == [[0, 1, 2]] and groups[-1] == [[0], [1, 2]]


def test_those_that_end_together_begin_together():
    many = environments.WorldVectorEnv(3, "maze")
    many.reset(seed=0)
    idle = np.array([[1, 1, 1, 0]] * 3)
    for ended, groups in (([0, 2], [[0, 2], [1]]), ([2], [[0], [1], [2]]), ([0, 1], [[0, 1], [2]]), ([0, 1, 2], [[0, 1, 2]])):
        many._ended[ended] = True
        many.step(idle)
        assert sorted(group.rows.tolist() for group in many._groups) == groups
        many.step(idle)
    many.close()
    with pytest.raises(gymnasium.error.ResetNeeded):
        many.step(idle)


def test_vector_over_a_real_session():
    """The fake sessions above promise nothing that the real ones do not keep."""
    world = worlds.world(spatial=False, discrete=True)
    starts = tuple(worlds.episode(world.config, seed=s).window(0, 4) for s in range(2))
    many = environments.WorldVectorEnv(3, loading.Loaded("minigrid", registry.GAMES["minigrid"], world, starts), steps=1)
    many.reset(seed=0)
    for ended in ([], [1], [0, 1]):
        many._ended[:] = np.isin(range(3), ended)
        frames, _, _, _, info = many.step(np.array([0, 1, 2]))
        assert frames.shape == (3, 32, 64, 3)
        assert all(np.array_equal(frames[row], starts[info["start"][row]].frames[-1, 0]) for row in ended)
    assert [group.session.steps for group in many._groups] == [1, 1]


@pytest.mark.parametrize("name, before", [("games.env:zoetrope/Maze-v0", ""), ("zoetrope/Maze-v0", "import games.env")])
def test_the_name_alone_is_enough(name, before):
    """In a fresh interpreter, where nothing has registered the worlds yet."""
    code = f"""{before}
import gymnasium
for make in gymnasium.make, gymnasium.make_vec:
    try:
        make({name!r}, world="nowhere")
    except Exception as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=registry.CONFIGS.parent, capture_output=True, text=True)
    assert done.stdout.count("unknown world 'nowhere'") == 2, (done.stdout, done.stderr)


def test_vector_all_truncated_together_reopens():
    many = gymnasium.make_vec("zoetrope/Maze-v0", num_envs=2, max_episode_steps=3)
    many.reset(seed=0)
    idle = np.array([[1, 1, 1, 0]] * 2)
    truncated = [many.step(idle)[3].all() for _ in range(8)]
    assert truncated == [False, False, True, False, False, False, True, False]

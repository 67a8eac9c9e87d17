"""MiniGrid: repeatable to the bit, connected rooms, exact pose, policies that do what their names say."""
# pyright: reportOptionalSubscript=false, reportOptionalMemberAccess=false, reportArgumentType=false

import numpy as np
import pytest

pytest.importorskip("minigrid")

from games.minigrid import source as minigrid
from games.minigrid.policies import POLICIES, MiniGridPolicy
from games.record import record_episode
from games.source import level_number


@pytest.fixture(scope="module")
def source():
    engine = minigrid.MiniGridSource()
    yield engine
    engine.close()


def play(source, name="explore", level=0, frames=80, seed=7):
    return record_episode(source, MiniGridPolicy, level, name, seed, frames)


@pytest.mark.parametrize("name", POLICIES)
def test_same_seed_same_frames(source, name):
    first, again = play(source, name), play(minigrid.MiniGridSource(), name)
    assert first.frames.tobytes() == again.frames.tobytes()
    assert first.action.tobytes() == again.action.tobytes() and first.pose.tobytes() == again.pose.tobytes()
    assert first.frames.shape[1:] == (1, minigrid.HEIGHT, minigrid.WIDTH, 3)
    assert first.action.dtype == np.int64 and first.action.max() < len(minigrid.ACTIONS)


def test_splits_and_seeds_differ(source):
    level = level_number("validation", 0)
    assert play(source, level=level).frames.tobytes() != play(source).frames.tobytes()
    assert play(source, seed=8).action.tobytes() != play(source).action.tobytes()


def test_all_rooms_but_the_locked_one_are_joined():
    for seed in range(100):
        joined, locked = minigrid.connections(np.random.default_rng(seed))
        assert sum(locked in pair for pair in joined) == 1
        seen = {(locked + 4) % 9 if locked != 4 else 0}
        for _ in range(9):
            seen |= {r for pair in joined if seen & set(pair) and locked not in pair for r in pair}
        assert seen == set(range(9)) - {locked}


def test_pose_follows_the_walker(source):
    for level in range(3):
        source.reset(level)
        rng = np.random.default_rng(level)
        for _ in range(60):
            x, y, heading = source.position
            action = int(rng.choice([0, 1, 2, 2]))
            seen = source.step(action)
            forward, right, down = seen.pose[:3, 2], seen.pose[:3, 0], seen.pose[:3, 1]
            assert np.allclose(np.cross(right, down), forward)
            moved = seen.pose[:2, 3] - (x, y)
            if action == 2:
                assert np.allclose(moved, 0) or np.allclose(moved, (np.cos(heading), np.sin(heading)), atol=1e-5)
            else:
                turned = (source.position[2] - heading + np.pi) % (2 * np.pi) - np.pi
                assert np.allclose(moved, 0) and np.isclose(turned, np.pi / 2 if action == 0 else -np.pi / 2)


def test_exploring_ends_at_the_goal_with_a_reward(source):
    episode = play(source, level=1, frames=700)
    assert episode.terminated[:-1].sum() == 1 and episode.terminated[len(episode) - 2]
    assert episode.reward[len(episode) - 2] > 0.9 and set(episode.action) == set(range(7))


def test_return_comes_home_and_sees_the_same(source):
    episode = play(source, "return", level=2, frames=300)
    at_home = (episode.pose == episode.pose[0]).all((1, 2, 3))
    away = np.abs(episode.pose[:, 0, :2, 3] - episode.pose[0, 0, :2, 3]).sum(-1)
    later = np.flatnonzero(at_home & (np.arange(300) > away.argmax()))
    assert away.max() >= 6 and len(later) > 0
    assert (episode.frames[later[-1]] == episode.frames[0]).mean() > 0.9  # doors may stand open since


def test_pushing_and_idling_stand_still(source):
    for name in ("push", "idle"):
        episode = play(source, name, frames=150)
        still = (episode.pose[1:] == episode.pose[:-1]).all((1, 2, 3))
        assert still.mean() > 0.5

"""Crafter: repeatable to the bit, position exact, policies that live, return, push and stand. Small worlds: they are slow."""
# pyright: reportOptionalSubscript=false, reportOptionalMemberAccess=false, reportArgumentType=false

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("crafter")

from games.crafter import source as crafter
from games.crafter.policies import POLICIES, CrafterPolicy
from games.record import record_episode
from games.source import level_number

SIDE = 32


@pytest.fixture(scope="module")
def source():
    return crafter.CrafterSource(SIDE)


@pytest.fixture(scope="module")
def explored(source):
    return play(source, "explore", frames=260)


def play(source, name, level=1, frames=64, seed=7):
    return record_episode(source, CrafterPolicy, level, name, seed, frames)


def test_actions_are_the_engines(source):
    assert tuple(source.env.action_names) == crafter.ACTIONS


def test_same_seed_same_frames_in_another_process(explored):
    """Creature bookkeeping once followed memory addresses: only another process shows that it no longer does."""
    program = (
        "import hashlib; from games.crafter.source import CrafterSource; from games.crafter.policies import CrafterPolicy\n"
        "from games.record import record_episode; padding = [object() for _ in range(12345)]\n"
        f"e = record_episode(CrafterSource({SIDE}), CrafterPolicy, 1, 'explore', 7, 260)\n"
        "print(hashlib.sha256(e.frames.tobytes() + e.action.tobytes() + e.pose.tobytes()).hexdigest())"
    )
    root = Path(__file__).parents[2]
    other = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    import hashlib

    here = hashlib.sha256(explored.frames.tobytes() + explored.action.tobytes() + explored.pose.tobytes()).hexdigest()
    assert other.stdout.strip() == here


def test_contract(explored):
    assert explored.frames.shape[1:] == (1, crafter.HEIGHT, crafter.WIDTH, 3)
    assert explored.action.dtype == np.int64 and explored.action.max() < len(crafter.ACTIONS)
    assert explored.intrinsics.shape == (1, 3, 3) and explored.depth.shape == explored.frames.shape[:4]


def test_exploring_gathers_and_crafts(explored, source):
    kinds = {crafter.ACTIONS[a] for a in explored.action}
    assert {"do", "place_table", "make_wood_pickaxe"} <= kinds
    assert explored.reward.sum() > 5


def test_splits_and_seeds_differ(source):
    first = source.reset(1).frame
    assert not np.array_equal(first, source.reset(level_number("validation", 1)).frame)
    assert np.array_equal(first, source.reset(1).frame)


def test_pose_follows_the_player(source):
    ways = {"move_left": (-1, 0), "move_right": (1, 0), "move_up": (0, 1), "move_down": (0, -1)}
    before = source.reset(1)
    moved = 0
    for name in [*ways, *reversed(ways)] * 2:
        after = source.step(crafter.ACTIONS.index(name))
        step = after.pose[:2, 3] - before.pose[:2, 3]
        assert np.allclose(step, 0) or np.allclose(step, ways[name])
        heading = source.position[2]
        assert np.allclose((np.cos(heading), np.sin(heading)), ways[name])  # faces that way, moved or not
        assert np.allclose(np.cross(after.pose[:3, 0], after.pose[:3, 1]), after.pose[:3, 2])
        assert np.isinf(after.depth[24, 31]) and after.depth[3, 3] == 1  # the player's cell is no ground
        moved += not np.allclose(step, 0)
        before = after
    assert moved > 8
    column, row = source.player.pos
    assert source.position[:2] == (column + 0.5, SIDE - row - 0.5)


@pytest.mark.parametrize("name", [n for n in POLICIES if n != "explore"])
def test_policies_are_seeded_and_do_what_they_say(source, name):
    episode = play(source, name)
    if name in ("return", "wander"):
        again = play(source, name)
        assert episode.frames.tobytes() == again.frames.tobytes() and episode.action.tobytes() == again.action.tobytes()
    here = episode.pose[:, 0, :2, 3]
    away = np.abs(here - here[0]).sum(-1)
    if name in ("lap", "return"):
        assert away.max() >= 6
    if name == "return":
        assert (away[away.argmax() :] == 0).any()
    if name == "idle":
        assert (episode.action == 0).sum() >= 20 and away.max() <= 20
    if name == "push":
        assert (here[1:] == here[:-1]).all(-1).mean() > 0.3

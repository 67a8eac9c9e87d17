"""Examples run: a policy is bred in the generated world and plays in MuJoCo."""

import gymnasium
import numpy as np
import pytest

from robotics import tasks, worlds
from robotics.cloning.measure import successes
from robotics.examples import dream
from tests.robotics import tiny

pytest.importorskip("mujoco")


@pytest.fixture
def env(monkeypatch):
    monkeypatch.setattr(worlds, "load_world", lambda name: (tiny.config(), tiny.world()))
    return dream.Progress(gymnasium.make("robotics.env:zoetrope/Push-v0"))


def test_breeding_in_a_dream_repeats_and_its_policy_plays_in_mujoco(env):
    how = dream.Breeding(generations=2, population=4, elites=2, starts=1, frames=3)
    weights, returns = dream.breed(env, how, progress=False)
    again, _ = dream.breed(env, how, progress=False)
    assert np.array_equal(weights, again) and len(returns) == 2 and np.isfinite(returns).all()
    assert successes(dream.policy(weights), tasks.make("push", (16, 16), pictures=False), 1).shape == (1,)


def test_shaping_adds_up_to_the_way_won(env):
    weights = np.random.default_rng(0).standard_normal(dream.SIZE)
    first, _ = env.reset(seed=1)
    seen, earned = first, 0.0
    for _ in range(4):
        seen, reward, *_ = env.step(dream.act(weights, seen))
        earned += reward
    assert earned == pytest.approx(dream.potential(seen) - dream.potential(first), abs=1e-5)


def test_what_is_turned_is_done_turned():
    """The scene turned by a quarter: the action too."""
    rng = np.random.default_rng(0)
    weights, hand, block, target = 0.2 * rng.standard_normal(dream.SIZE), *rng.uniform(-0.1, 0.1, (3, 2))
    turn = np.array([[0, -1], [1, 0]])

    def action(*places: np.ndarray) -> np.ndarray:
        hand, block, target = places
        things = np.concatenate([block, np.zeros(3), target])
        return dream.act(weights, {"proprioception": np.append(hand, [0, 0]), "objects": things})

    assert np.allclose(turn @ action(hand, block, target), action(turn @ hand, turn @ block, turn @ target), atol=1e-6)


def test_the_cross_entropy_method_finds_what_pays(monkeypatch):
    wanted = np.linspace(-1, 1, dream.SIZE)
    monkeypatch.setattr(dream, "episode", lambda env, weights, start, frames: -float(((weights - wanted) ** 2).sum()))
    how = dream.Breeding(generations=40, starts=1)
    _, returns = dream.breed(gymnasium.Env(), how, progress=False)
    assert returns[-1] > 0.3 * returns[0]

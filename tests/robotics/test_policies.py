"""Policies: experts win, behaviours lie between them and chance, names are found, mistakes end in one line."""

import sys
import types

import numpy as np
import pytest

from core.errors import ZoetropeError
from robotics import policies, tasks
from robotics.policies import Checked
from robotics.task import Observation, Task

pytest.importorskip("mujoco")

SEEN = Observation(frames=np.zeros((2, 4, 4, 3), np.uint8), proprioception=np.zeros(4, np.float32))


def success_rate(task: Task, policy: Checked, seeds: range) -> float:
    wins = 0
    for seed in seeds:
        seen, ended, success = task.reset(seed), False, False
        policy.reset(seed)
        while not ended:
            seen, _, success, ended = task.step(policy(seen))
        wins += success
    return wins / len(seeds)


@pytest.mark.parametrize("name", tasks.NAMES)
def test_experts_win(name):
    task = tasks.make(name, pictures=False)
    assert success_rate(task, policies.make("expert", task), range(40)) >= 0.95


def test_behaviours_lie_between_the_expert_and_chance():
    task = tasks.make("push", pictures=False)
    noisy, bursts, chance = (success_rate(task, policies.make(n, task), range(8)) for n in ("noisy:2", "burst:0.75", "random"))
    assert chance <= 0.25 and 0 < noisy < 1 and 0 < bursts < 1


@pytest.mark.parametrize("name", ["random", "noisy:1", "burst:0.5", "delay:2", "bias:0.25"])
def test_a_seed_repeats_an_episode(name):
    task = tasks.make("push", pictures=False)
    policy = policies.make(name, task)

    def actions(seed: int) -> bytes:
        seen = task.reset(0)
        policy.reset(seed)
        taken = []
        for _ in range(12):
            taken.append(policy(seen))
            seen = task.step(taken[-1]).observation
        return np.stack(taken).tobytes()

    first = actions(1)
    assert actions(1) == first
    assert (actions(2) != first) == (name != "delay:2")


def test_a_delay_is_the_experts_own_actions_later():
    task = tasks.make("push", pictures=False)
    late, expert = policies.make("delay:3", task), policies.make("expert", task)
    seen = task.reset(0)
    late.reset(0)
    wanted = []
    for frame in range(8):
        wanted.append(expert(seen))
        done = late(seen)
        assert np.array_equal(done, wanted[frame - 3] if frame >= 3 else np.zeros(2))
        seen = task.step(done).observation


@pytest.mark.parametrize(
    "name", ["wrong", "noisy:", "noisy:-1", "noisy:nan", "burst:1.5", "delay:0.5", "bias:x", "expert:1", ""]
)
def test_unknown_names_and_amounts(name):
    with pytest.raises(ZoetropeError, match="policy") as caught:
        policies.make(name, tasks.make("push"))
    assert "\n" not in str(caught.value)


def test_an_expert_says_when_nobody_tells_where_things_are():
    policy = policies.make("expert", tasks.make("push"))
    assert policy.privileged and not policies.make("random", tasks.make("push")).privileged
    with pytest.raises(ZoetropeError, match="where the objects are"):
        policy(SEEN)


def failing(observation: Observation) -> np.ndarray:
    raise RuntimeError("no\nluck")


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (lambda o: np.array([np.nan, 0.0]), "NaN"),
        (lambda o: np.zeros(3), r"expected 2 numbers, found shape \(3,\)"),
        (lambda o: None, "expected 2 numbers"),
        (lambda o: "left", "expected 2 numbers, found str"),
        (failing, "RuntimeError: no luck"),
    ],
)
def test_mistakes_end_in_one_line_that_names_the_policy(policy, said):
    with pytest.raises(ZoetropeError, match=f"'mine'.*{said}") as caught:
        Checked(policy, "mine", 2)(SEEN)
    assert "\n" not in str(caught.value)


def test_actions_are_clipped():
    assert Checked(lambda o: [3, -3], "mine", 2)(SEEN).tolist() == [1.0, -1.0]


class Predicts:
    def predict(self, observation: dict[str, np.ndarray]) -> tuple[np.ndarray, None]:
        assert set(observation) == {"pixels", "proprioception"}
        return observation["proprioception"][:2] + 0.5, None


class Selects:
    """As LeRobot's: callable too, for its loss, which must not be taken for acting."""

    resets = 0

    def __call__(self, batch: object) -> None:
        raise AssertionError

    def reset(self) -> None:
        self.resets += 1

    def select_action(self, batch: dict) -> object:
        assert batch["observation.images.side"].shape == (1, 3, 4, 4) and batch["task"] == [tasks.make("push").instruction]
        return batch["observation.state"][:, :2] + 0.25


@pytest.fixture
def user_module(monkeypatch):
    module = types.ModuleType("someones_policies")
    module.__dict__.update(
        predicts=lambda task: Predicts(),
        selects=lambda task: Selects(),
        plain=lambda task: lambda o: np.full(task.action_size, 0.125),
        broken=lambda task: 1 / 0,
        nothing=lambda task: None,
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


@pytest.mark.parametrize(("factory", "value"), [("predicts", 0.5), ("selects", 0.25), ("plain", 0.125)])
def test_policies_of_other_styles(user_module, factory, value):
    policy = policies.make(f"{user_module}:{factory}", tasks.make("push"))
    policy.reset(0)
    assert policy(SEEN).tolist() == [value, value]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("someones_policies:broken", "ZeroDivisionError"),
        ("someones_policies:nothing", "expected a callable"),
        ("someones_policies:absent", "has no 'absent'"),
        ("nobodys_policies:plain", "no module 'nobodys_policies'"),
    ],
)
def test_factories_that_do_not_work(user_module, name, said):
    with pytest.raises(ZoetropeError, match=said):
        policies.make(name, tasks.make("push"))

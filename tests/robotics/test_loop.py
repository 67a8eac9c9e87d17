"""Policies in a generated world: a batch is as good as one by one, results are kept, mistakes are said in one line."""
# pyright: reportOptionalSubscript=false, reportOptionalMemberAccess=false

from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest

from core.errors import ZoetropeError
from robotics import evaluate as evaluation
from robotics import policies, worlds
from robotics.evaluate import Plan, clip_path, evaluate
from robotics.loop import CONTEXT, Recorded, judge, parted, play
from robotics.record import record_episode
from robotics.scene.challenges import Push
from robotics.task import HOLD
from tests.robotics import tiny

pytest.importorskip("mujoco")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(Push, "horizon", 14)


def started(names: tuple[str, ...], frames: int | None = CONTEXT):
    task = tiny.config().record.make_task()
    players = [policies.make(name, task) for name in names]
    return task, players, [record_episode(task, p, 3 + i, 3 + i, frames) for i, p in enumerate(players)]


def test_a_batch_of_episodes_is_what_they_are_one_by_one():
    world, names = tiny.world(), ("noisy:0.5", "random", "delay:5")
    task, players, contexts = started(names)
    verdict = judge("objects", task, world)
    most = [14, 8, 11]
    batch = play(world, task, players, contexts, [3, 4, 5], verdict, most)
    assert [len(r) for r in batch] == most, "members leave when they are over"
    for i in range(3):
        (alone,) = play(world, task, [players[i]], [contexts[i]], [3 + i], verdict, [most[i]])
        assert np.allclose(alone.state, batch[i].state, atol=1e-5) and alone.success == batch[i].success
        assert np.abs(alone.frames.astype(int) - batch[i].frames.astype(int)).max() <= 1
        assert np.array_equal(alone.frames[:CONTEXT], contexts[i].frames)


def test_the_policy_sees_what_the_world_predicts_and_its_action_decides_what_comes():
    world = tiny.world()
    task, _, contexts = started(("random",))
    seen, actions = [], np.random.default_rng(0).uniform(-1, 1, (14, 2)).astype(np.float32)

    def watching(observation):
        seen.append(observation)
        return actions[len(seen) - 1]

    checked = policies.Checked(watching, "mine", 2)
    (rollout,) = play(world, task, [checked], contexts, [0], judge("objects", task, world))
    assert len(seen) == task.horizon - 1, "of the last frame nothing is asked"
    assert all(np.array_equal(s.frames, f) for s, f in zip(seen, rollout.frames))
    assert all(np.array_equal(s.state, state) for s, state in zip(seen, rollout.state))
    session = world.open(contexts[0], seed=0)
    for t in range(CONTEXT, task.horizon):
        assert np.allclose(session.step(actions[t - 1]).state, rollout.state[t], atol=1e-6)


def test_success_is_the_goal_held_for_a_while():
    world = tiny.world()
    task, players, contexts = started(("random",))
    calls = cycle([True] * (HOLD - 1) + [False])
    (rollout,) = play(world, task, players, contexts, [0], lambda observation, reward: next(calls))
    assert not rollout.success and len(rollout) == task.horizon, "too late"
    (rollout,) = play(world, task, players, contexts, [0], lambda observation, reward: True)
    assert rollout.success and len(rollout) == CONTEXT + HOLD


def test_where_two_worlds_part():
    world = tiny.world()
    task, players, (truth,) = started(("random",), frames=None)
    recorded = policies.Checked(Recorded(truth.action), "recorded", 2)
    (rollout,) = play(world, task, [recorded], [truth.window(0, CONTEXT)], [0], judge("objects", task, world))
    exact = np.concatenate([truth.conditions["proprioception"], truth.conditions["objects"]], 1)
    same = replace(rollout, state=exact.copy())
    assert parted(truth, same, task) is None
    same.state[9, 4 + 5] += 0.05
    same.state[7, 4 + 3] += 1.0  # the cosine of an angle is no place
    assert parted(truth, same, task) == 9
    assert parted(truth, replace(rollout, state=exact[:, :4]), task) is None


def test_results_are_kept_and_nothing_counts_twice(tmp_path, monkeypatch):
    world, config = tiny.world(), tiny.config()
    plan = Plan(policies=("expert", "random"), episodes=3, generated=2, replay=True, batch=2)
    whole = evaluate(world, config, plan, tmp_path / "whole", progress=False)
    assert whole["policies"] == 2 and whole["episodes"] == 3 and whole["independent_training_runs"] == 0
    assert set(whole["per_policy"]["expert"]) >= {"success_true", "success_world", "success_powered"}
    assert whole["judge"]["replay"]["agreement"]["n"] == 6 and whole["rollouts_saved"] is not None
    assert clip_path(tmp_path / "whole", "expert").exists()

    made, add = [], evaluation.Ledger.add

    def killed(ledger, key, row):
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(key)
        add(ledger, key, row)

    monkeypatch.setattr(evaluation.Ledger, "add", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate(world, config, plan, tmp_path / "cut", progress=False)
    monkeypatch.setattr(evaluation.Ledger, "add", lambda *of: (made.append(of[1]), add(*of)))
    (ledger,) = (tmp_path / "cut").glob("*.jsonl")
    with open(ledger, "ab") as file:
        file.write(b'{"key": "paired 20000')  # killed while it wrote
    again = evaluate(world, config, plan, tmp_path / "cut", progress=False)
    assert len(made) == len(set(made)) == 2 * (3 + 3 + 2)
    unsteady = ("frames_per_second", "commit")
    assert all(again[name] == whole[name] for name in whole if name not in unsteady)
    made.clear()
    more = evaluate(world, config, replace(plan, episodes=4, generated=0, replay=False), tmp_path / "cut", progress=False)
    assert len(made) == 2 and more["episodes"] == 4, "what is known is not played again"


def test_mistakes_are_said_in_one_line(tmp_path, monkeypatch):
    config = tiny.config(objects=False)
    world = tiny.world(objects=False)
    with pytest.raises(ZoetropeError, match="policy 'expert' must know where the objects are, and this world"):
        evaluate(world, config, Plan(policies=("expert",), judge="reward"), tmp_path, progress=False)
    with pytest.raises(ZoetropeError, match="--judge reward"):
        evaluate(world, config, Plan(policies=("random",), episodes=1), tmp_path, progress=False)
    figures = evaluate(world, config, Plan(policies=("random",), episodes=2, judge="reward"), tmp_path, progress=False)
    assert figures["pearson"] is None and figures["parted"]["random"]["median_frame"] is None
    for wrong, said in (
        ({"policies": ()}, "at least one policy"),
        ({"policies": ("random", "random")}, "'random' is named twice"),
        ({"policies": ("random",), "episodes": 0}, "--episodes must be at least 1, found 0"),
    ):
        with pytest.raises(ZoetropeError, match=said):
            Plan(**wrong)


def test_a_policy_that_fails_in_the_generated_world_is_named():
    world = tiny.world()
    task, _, contexts = started(("random",))
    calls = iter(range(100))
    broken = policies.Checked(lambda o: np.full(2, np.nan) if next(calls) > 5 else np.zeros(2), "mine", 2)
    with pytest.raises(ZoetropeError, match="policy 'mine': action: expected finite numbers"):
        play(world, task, [broken], contexts, [0], judge("objects", task, world))


def test_configurations_must_fit_their_task():
    config = tiny.config()
    with pytest.raises(ZoetropeError, match="world.state: expected"):
        replace(config, world=replace(config.world, state=config.world.state[1:]))
    with pytest.raises(ZoetropeError, match="2 action numbers and 2 cameras, the world 2 and 1"):
        replace(config, world=replace(config.world, cameras=1))
    with pytest.raises(ZoetropeError, match="unknown task 'dance'"):
        replace(config, record=replace(config.record, task="dance"))


def test_a_folder_without_a_robot_world_is_refused(tmp_path):
    with pytest.raises(ZoetropeError, match="no robot world here; train one with: zoetrope train push"):
        worlds.load_world(str(tmp_path))
    tiny.world().model.save(tmp_path)
    config, world = worlds.load_world(str(tmp_path))
    assert config.name == "push" and world.config == tiny.config().world

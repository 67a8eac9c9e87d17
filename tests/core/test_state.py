"""What is measured of a frame and predicted of the next: the closed loop, its units, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from worlds import episode, model, world, world_config

from core.backbone.action import ActionConfig
from core.backbone.state import StateHead
from core.diffusion.flow import FlowConfig
from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.streaming.model import WorldModel
from core.streaming.world import World
from core.training.history import HistoryConfig, roll_out
from core.training.prepare import PrepareConfig, PreparedStore, measure_state, prepare
from core.training.recipe import RecipeConfig, train
from core.training.stages import train_state
from core.training.trainer import TrainConfig

CONFIG = world_config(spatial=False, state=True)


def told(data: Episode, t: int) -> dict[str, np.ndarray]:
    return {name: data.conditions[name][t] for name in ("joints", "things")}


def test_a_batch_predicts_the_states_of_its_members_and_each_step_is_told_the_last(tmp_path):
    w = world(spatial=False, state=True)
    data = [episode(w.config, seed=s) for s in (0, 1)]
    batch = w.open([d.window(0, 6) for d in data], seed=[5, 9])
    singles = [w.open(d.window(0, 6), seed=s) for d, s in zip(data, (5, 9))]
    for t in range(6, 12):
        out = batch.step(np.stack([d.action[t] for d in data]))
        for row, session in enumerate(singles):
            state = session.step(data[row].action[t]).state
            assert state.shape == (5,) and state.dtype == np.float32
            assert np.allclose(out.state[row], state, atol=1e-4)
    session = singles[0]
    session.save(tmp_path / "s.safetensors")
    ahead = [session.step(data[0].action[t]).state for t in range(4)]
    session.rewind(4)
    for other in (World.resume(tmp_path / "s.safetensors", w), session.fork()):
        assert np.array_equal(ahead, [other.step(data[0].action[t]).state for t in range(4)])
    changed = session.fork()
    changed._state = changed._state + 0.5
    assert np.abs(changed.step(data[0].action[0]).state - ahead[0] - 0.5).max() > 1e-6, "what was predicted is told"


def test_a_real_frame_puts_the_state_right():
    w = world(spatial=False, state=True)
    data = episode(w.config)
    session, watched = w.open(data.window(0, 6)), w.open(data.window(0, 7))
    pose = data.pose[6]
    session.observe(data.frames[6], data.action[5], pose, None, told(data, 6))
    assert np.array_equal(session.step(data.action[6]).state, watched.step(data.action[6]).state)
    with pytest.raises(ZoetropeError, match="needs 'joints' of every real frame"):
        session.observe(data.frames[6], data.action[5])
    with pytest.raises(ZoetropeError, match="things: expected 3 numbers"):
        session.observe(data.frames[6], data.action[5], pose, None, told(data, 6) | {"things": np.zeros(4)})
    assert np.isfinite(w.loss(data, shuffled=False, context=8, stride=8))


def test_contexts_without_a_state_are_refused():
    w = world(spatial=False, state=True)
    context = episode(w.config).window(0, 4)
    with pytest.raises(ZoetropeError, match="needs 'joints'"):
        w.open(replace(context, conditions={}))
    with pytest.raises(ZoetropeError, match="joints: world 'tiny' knows 2 numbers"):
        w.open(replace(context, conditions=context.conditions | {"joints": np.zeros((4, 3))}))
    with pytest.raises(ZoetropeError, match="cannot begin from nothing"):
        w.open(context, blank=True)


def test_a_world_without_a_state_keeps_its_fingerprint_and_has_none():
    plain = world_config()
    assert model(plain).state is None and "state" not in " ".join(WorldModel(plain).state_dict())
    assert world().open(episode(plain).window(0, 4)).step(np.zeros(3, np.float32)).state is None
    assert WorldModel(plain).fingerprint() != WorldModel(replace(plain, state=CONFIG.state)).fingerprint()


@pytest.mark.parametrize("kind", ["continuous", "discrete"])
def test_prediction_undoes_itself_and_what_never_changes_stays(kind):
    head = StateHead(3, ActionConfig(kind=kind, size=2))
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    states = torch.cat([torch.randn(50, 2) * torch.tensor([5.0, 0.1]) + 3, torch.full((50, 1), 7.0)], 1)
    changes = torch.randn(50, 3) * torch.tensor([0.5, 0.02, 0.0])
    head.measure(states, changes)
    before, after = states[:-1], states[:-1] + changes[1:]
    action = torch.randn(49, 2) if kind == "continuous" else torch.randint(2, (49,))
    assert torch.allclose(head.after(before, action, head.wanted(before, action, after)), after, atol=1e-5)
    assert torch.equal(head.after(before, action, torch.randn(49, 3))[:, 2], before[:, 2])
    assert torch.allclose(head.told(states)[:, :2].std(0), torch.ones(2), atol=1e-4) and head.told(states).isfinite().all()


def test_what_a_state_becomes_of_itself_is_learnt_from_numbers_alone(tmp_path):
    """The state moves by what is done; a minute of numbers must teach it, cut off and resumed too."""
    made = model(CONFIG)
    rng, store = torch.Generator().manual_seed(0), PreparedStore(tmp_path / "prepared")
    for index in range(4):
        action = torch.randn(40, CONFIG.action.size, generator=rng)
        state = torch.cumsum(torch.nn.functional.pad(action, (0, 2)), 0)
        before = torch.cat([torch.zeros(1, 5), state[:-1]])
        latents = torch.zeros(40, 1)
        store.write(
            index, {"latents": latents, "action": action, "state": state, "before": before, "started": torch.arange(40) > 0}
        )
    measure_state(made, store)
    config = TrainConfig(steps=300, batch=64, learning_rate=3e-3, average=0.9)
    train_state(made, store, config, tmp_path / "run", progress=False)
    action, before = torch.randn(20, CONFIG.action.size), torch.randn(20, 5)
    left = made.state.wanted(before, action, before + torch.nn.functional.pad(action, (0, 2)))
    assert left.abs().mean() < 0.15
    again = model(CONFIG)
    measure_state(again, store)
    train_state(again, store, config, tmp_path / "run", progress=False)
    assert all(torch.equal(a, b) for a, b in zip(made.state.parameters(), again.state.parameters()))


def test_units_are_kept_exactly(tmp_path):
    made = model(CONFIG)
    made.state.measure(torch.randn(30, 5) * 1e5, torch.randn(30, 5))
    made.save(tmp_path)
    assert torch.equal(WorldModel.load(tmp_path).state.spread, made.state.spread)


def moving(config, seed: int) -> Episode:
    """The action moves the joints; what is there stays there."""
    data = episode(config, length=24, seed=seed)
    action = np.random.default_rng(seed).uniform(-1, 1, (24, 3)).astype(np.float32)
    joints = np.cumsum(np.concatenate([np.zeros((1, 2)), 0.1 * action[:-1, :2]]), 0)
    things = np.tile(np.random.default_rng(seed).normal(size=3), (24, 1))
    conditions = {"joints": joints.astype(np.float32), "things": things.astype(np.float32)}
    grey = np.full_like(data.frames, 90)
    return replace(data, frames=grey, action=action, pose=None, intrinsics=None, depth=None, conditions=conditions)


def test_the_head_learns_what_an_action_does_and_keeps_to_it_in_closed_loop(tmp_path):
    config = replace(CONFIG, motion=None)
    store = EpisodeStore(tmp_path / "data")
    for seed in range(4):
        store.write(seed, moving(config, seed))
    recipe = RecipeConfig(
        tokenizer=TrainConfig(steps=2, batch=4, warmup=1),
        dynamics=TrainConfig(steps=100, batch=8, warmup=5, learning_rate=3e-3),
        flow=FlowConfig(state_noise=0.0),  # grey pictures cannot show what is wrong with a state
        window=6,
        prepare=PrepareConfig(episodes=4),
    )
    trained = train(config, recipe, store, tmp_path / "run", tmp_path / "out", progress=False)
    data = moving(config, 9)
    session = World.load(tmp_path / "out").open(data.window(0, 4))
    predicted = np.stack([session.step(data.action[t - 1]).state for t in range(4, 24)])
    truth = np.concatenate([data.conditions["joints"], data.conditions["things"]], 1)[4:]
    assert np.array_equal(predicted[:, 2:], truth[:, 2:]), "things that never move do not drift"
    error = np.abs(predicted[:, :2] - truth[:, :2]).max()
    assert error < 0.5 * np.abs(truth[:, :2] - truth[0, :2]).max(), error
    history = HistoryConfig(episodes=1, context=4, frames=6)
    prepared = prepare(trained, store, recipe.prepare, tmp_path / "run" / "prepared", progress=False)
    dreamt = roll_out(trained, store, prepared, history, tmp_path / "dreamt", progress=False)
    kept = dreamt.read(dreamt.indices()[0], ("before", "state", "past", "latents"))
    assert torch.equal(kept["before"][1:], kept["state"][:-1]), "the dream is of what really stood there"
    assert torch.equal(kept["past"][:4], kept["latents"][:4]) and not torch.equal(kept["past"][4:], kept["latents"][4:])


def test_a_state_that_is_known_stands_in_the_place_of_the_predicted_and_is_gone_back_to():
    data = episode(CONFIG)
    opened = World(model(CONFIG)).open(data.window(0, 4))
    known = told(data, 5)
    frame = opened.step(np.zeros(3, np.float32), conditions=known)
    assert np.allclose(frame.state, np.concatenate([known["joints"], known["things"]]))
    after = opened.step(np.zeros(3, np.float32)).state
    opened.rewind(1)
    assert np.array_equal(opened.step(np.zeros(3, np.float32)).state, after)
    with pytest.raises(ZoetropeError, match="needs 'things'"):
        opened.step(np.zeros(3, np.float32), conditions={"joints": known["joints"]})

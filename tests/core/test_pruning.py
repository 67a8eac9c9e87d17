"""Pruning: nothing removed is nothing changed, what remains is refitted, and what comes out is a world like any other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from worlds import episode, model, world_config

from core.backbone.mixers.config import Window
from core.backbone.transformer import BackboneConfig
from core.errors import ZoetropeError
from core.streaming.model import WorldModel
from core.streaming.world import World
from core.training.prepare import PrepareConfig, PreparedStore, prepare_episode
from core.training.pruning import PruneConfig, carry_out, prune, refit
from core.training.sensitivity import Plan, distance, layout_of, make_trial, whole
from core.training.stages import WindowSampler
from core.training.trainer import TrainConfig

SETTINGS = PruneConfig(share=0.3, window=4, trials=2, fit=2, distil=TrainConfig(steps=3, batch=2, warmup=1))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A tiny world of four blocks, and one of its episodes prepared."""
    config = world_config()
    config = replace(config, backbone=replace(config.backbone, layers=4))
    made, store = model(config).eval().requires_grad_(False), PreparedStore(tmp_path_factory.mktemp("prepared"))
    with torch.inference_mode():
        tensors = prepare_episode(made, episode(config), PrepareConfig(episodes=1), np.random.default_rng(0))
    store.write(0, tensors)
    return made, store


def test_nothing_removed_is_nothing_changed(prepared, tmp_path):
    made, store = prepared
    same = prune(made, [store], replace(SETTINGS, share=0.0), tmp_path)
    assert same.fingerprint() == made.fingerprint()
    trial = make_trial(made, WindowSampler([store], 4, 0), 0, 2)
    carried = carry_out(made, whole(made.backbone), trial)
    assert distance(carried.backbone(trial.inputs, layout_of(carried.backbone, trial.inputs)), trial.wanted) < 1e-10


def test_a_pruned_world_is_an_ordinary_world(prepared, tmp_path):
    made, store = prepared
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    pruned = prune(made, [store], SETTINGS, tmp_path / "run", progress=False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())
    count = lambda m: sum(p.numel() for p in m.backbone.parameters())  # noqa: E731
    assert count(pruned) <= 0.7 * count(made)
    again = prune(made, [store], SETTINGS, tmp_path / "run", progress=False)
    assert again.fingerprint() == pruned.fingerprint()
    pruned.save(tmp_path / "world")
    loaded = World.load(tmp_path / "world")
    assert loaded.config == pruned.config
    session = loaded.open(episode(loaded.config).window(0, 5))
    twin = session.fork()
    assert np.array_equal(session.step(np.ones(3, np.float32)).frame, twin.step(np.ones(3, np.float32)).frame)


def test_blocks_heads_and_channels_are_taken_out_where_the_plan_says(prepared):
    made, store = prepared
    trial = make_trial(made, WindowSampler([store], 4, 0), 0, 2)
    channels = tuple(range(0, 96, 2))
    plan = Plan(blocks=(0, 2), heads=((1,),) * 4, channels=(tuple(range(96)), (), channels, ()))
    config = carry_out(made, plan, trial).config.backbone
    assert (config.layers, config.heads, config.head, config.hidden) == (2, 1, 24, (96, 48))


def test_what_remains_makes_up_for_what_can_be_told_from_it():
    torch.manual_seed(0)
    old, new = nn.Linear(6, 5), nn.Linear(4, 5)
    x = torch.randn(200, 6)
    x[:, 4] = 2 * x[:, 0] - x[:, 1]
    x[:, 5] = 3.0
    with torch.no_grad():
        refit(new, old, x, torch.arange(4))
        assert (new(x[:, :4]) - old(x)).square().mean() < 1e-4 * old(x).square().mean()


def test_what_cannot_be_pruned_is_refused(prepared, tmp_path):
    made, store = prepared
    with pytest.raises(ZoetropeError, match="share"):
        replace(SETTINGS, share=1.0)
    with pytest.raises(ZoetropeError, match="leaves no backbone"):
        prune(made, [store], replace(SETTINGS, share=0.99), tmp_path)
    windowed = WorldModel(replace(made.config, backbone=replace(made.config.backbone, mixer=Window())))
    with pytest.raises(ZoetropeError, match="dense"):
        prune(windowed, [store], SETTINGS, tmp_path)
    with pytest.raises(ZoetropeError, match="hidden"):
        BackboneConfig(layers=2, hidden=(8,), context=made.config.backbone.context)

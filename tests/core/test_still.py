"""Cameras that stay where they are: the frame before is shown, and only what changes has to be imagined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from worlds import episode, model, world_config

from core.backbone.transformer import Inputs
from core.diffusion.flow import FlowConfig
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.memory.spatial import SpatialConfig
from core.streaming.model import WorldModel
from core.streaming.world import World
from core.training.prepare import PrepareConfig, prepare
from core.training.recipe import RecipeConfig, train
from core.training.trainer import TrainConfig

CONFIG = world_config(spatial=False, still=True)


def test_a_frame_is_imagined_from_the_one_before():
    opened = World(model(CONFIG)).open(episode(CONFIG).window(0, 4))
    for _ in range(3):
        before = opened.newest.latents
        opened.step(np.zeros(3, np.float32))
        assert torch.equal(opened.newest.condition, before)


def test_the_first_frame_comes_from_nothing():
    opened = World(model(CONFIG)).open(episode(CONFIG).window(0, 1))
    assert not opened.newest.condition.any()


def test_what_is_learnt_of_nothing_changes_nothing():
    """The prediction begins at the frame before: a backbone that adds nothing repeats it."""
    made = WorldModel(CONFIG)
    shape, frames = CONFIG.frame_shape, 5
    latents = torch.randn(2, frames, shape.cameras, shape.channels, shape.rows, shape.columns)
    before = torch.randn_like(latents)
    levels = torch.ones(2, frames), torch.zeros(2, frames)
    motion = torch.zeros(2, frames, 6) if CONFIG.motion else None
    inputs = Inputs(latents, *levels, torch.zeros(2, frames, 3), torch.ones(2, frames, dtype=torch.bool), motion, before)
    assert torch.equal(made.backbone(inputs, made.backbone.layout(torch.arange(frames))).clean, before)


def test_it_is_prepared_and_learnt(tmp_path):
    store = EpisodeStore(tmp_path / "data")
    for index in range(3):
        store.write(index, episode(CONFIG, seed=index))
    prepared = prepare(model(CONFIG), store, PrepareConfig(episodes=3), tmp_path / "prepared", progress=False)
    read = prepared.read(0, ("latents", "condition"))
    assert torch.equal(read["condition"][1:], read["latents"][:-1]) and not read["condition"][0].any()
    tiny = TrainConfig(steps=2, batch=2, warmup=1)
    recipe = RecipeConfig(
        tokenizer=tiny, dynamics=tiny, prepare=PrepareConfig(episodes=3), window=4, flow=FlowConfig(still_noise=0.5)
    )
    train(CONFIG, recipe, store, tmp_path / "run", tmp_path / "out", progress=False)
    assert WorldModel.load(tmp_path / "out").config == CONFIG


def test_worlds_that_move_are_what_they_were():
    moving = replace(CONFIG, still=False)
    assert WorldModel(moving).backbone.skip is None
    with pytest.raises(ZoetropeError, match="cameras that move"):
        replace(world_config(), still=True, spatial=SpatialConfig(capacity=4))

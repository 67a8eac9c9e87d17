"""Drafts: what is foreseen of the state is drawn and shown to the backbone, the same in a session as in training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from worlds import episode, model, world, world_config

from core.backbone.transformer import Backbone, Inputs
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.streaming.model import WorldModel
from core.streaming.world import World
from core.training.history import HistoryConfig
from core.training.prepare import PrepareConfig, PreparedStore, measure_state, prepare
from core.training.recipe import RecipeConfig, train
from core.training.stages import train_draft, window_inputs
from core.training.trainer import TrainConfig

CONFIG = world_config(cameras=2, spatial=False, state=True, still=True, draft=True)
WINDOW = 6


def store(folder, episodes: int = 3) -> EpisodeStore:
    made = EpisodeStore(folder)
    for index in range(episodes):
        made.write(index, episode(CONFIG, seed=index))
    return made


def test_a_session_is_shown_what_training_shows(tmp_path, monkeypatch):
    """Real frames, taken in one by one, give the backbone the conditions of the same prepared window."""
    made, data = model(CONFIG), store(tmp_path / "data", 1)
    made.tokenizer.requires_grad_(False)
    prepared = prepare(made, data, PrepareConfig(episodes=1), tmp_path / "prepared", progress=False)
    batch = prepared.read(0, ("latents", "action", "started", "motion", "condition", "before"), 0, WINDOW)
    wanted = window_inputs(made, {n: x[None] for n, x in batch.items()}).condition
    shown = []
    remember = Backbone.remember

    def watch(self: Backbone, inputs: Inputs, *rest):
        shown.append(inputs.condition)
        return remember(self, inputs, *rest)

    monkeypatch.setattr(Backbone, "remember", watch)
    World(made).open(data.read(0).window(0, WINDOW)).ring  # noqa: B018 - waits for the last frame's commit
    assert wanted.shape[3] == 2 * CONFIG.tokenizer.channels == CONFIG.frame_shape.condition
    assert torch.allclose(torch.cat(shown, 1), wanted, atol=2e-2), "latents are prepared in half precision"
    assert wanted[:, 1:, :, : CONFIG.tokenizer.channels].abs().mean() > 0.01 and not wanted[:, 0].any()


def test_what_is_foreseen_is_drawn():
    """Another state before, or another action, gives another frame; a first frame has no draft."""
    made = model(CONFIG)
    before, action = torch.randn(4, 5), torch.randn(4, 3)
    started = torch.tensor([False, True, True, True])
    drawn = made.with_draft(None, before, action, started)
    assert not drawn[0].any() and drawn[1:].flatten(1).any(1).all()
    foreseen = made.state.after(before, action, torch.zeros(4, 5))
    assert torch.equal(drawn[1:], made.draft(made.state.told(foreseen))[1:])
    assert not torch.allclose(drawn[1:], made.with_draft(None, before + 1, action, started)[1:])


def test_a_batch_is_its_members_and_goes_on_when_saved(tmp_path):
    w = world(cameras=2, spatial=False, state=True, still=True, draft=True)
    data = [episode(w.config, seed=s) for s in (0, 1)]
    batch = w.open([d.window(0, 6) for d in data], seed=[5, 9])
    singles = [w.open(d.window(0, 6), seed=s) for d, s in zip(data, (5, 9))]
    for t in range(6, 10):
        out = batch.step(np.stack([d.action[t] for d in data]))
        for row, session in enumerate(singles):
            shown = session.step(data[row].action[t]).frame.astype(int)
            assert np.abs(out.frame[row].astype(int) - shown).max() <= 1
    singles[0].save(tmp_path / "s.safetensors")
    again = World.resume(tmp_path / "s.safetensors", w)
    assert np.array_equal(again.step(data[0].action[0]).frame, singles[0].step(data[0].action[0]).frame)


def test_what_states_look_like_is_learnt(tmp_path):
    """Latents that follow from the numbers; what was cut off goes on to the same draft."""
    rng = torch.Generator().manual_seed(0)
    kept, shape = PreparedStore(tmp_path / "prepared"), CONFIG.frame_shape
    paint = torch.randn(5, shape.cameras, shape.channels, shape.rows, shape.columns, generator=rng)
    for index in range(4):
        state = torch.randn(40, 5, generator=rng)
        started = torch.arange(40) > 0
        kept.write(
            index,
            {
                "latents": torch.einsum("ts,svchw->tvchw", state, paint),
                "state": state,
                "before": state.clone(),
                "started": started,
            },
        )
    short = TrainConfig(steps=150, batch=8, learning_rate=3e-3, average=0.9)
    drawn = []
    for _ in range(2):
        made = model(CONFIG)
        measure_state(made, kept)
        train_draft(made, kept, WINDOW, short, tmp_path / "run", progress=False)
        state = torch.randn(20, 5, generator=torch.Generator().manual_seed(1))
        drawn.append(made.draft(made.state.told(state)))
    truth = torch.einsum("ts,svchw->tvchw", state, paint)
    assert (drawn[0] - truth).square().mean() < 0.2 * truth.square().mean()
    assert torch.equal(*drawn)


def test_the_recipe_trains_it_and_history_keeps_drafts_out(tmp_path):
    tiny = TrainConfig(steps=2, batch=2, warmup=1)
    recipe = RecipeConfig(
        tokenizer=tiny,
        state=tiny,
        draft=tiny,
        dynamics=tiny,
        refine=tiny,
        history=(HistoryConfig(episodes=2, context=3, frames=4),),
        prepare=PrepareConfig(episodes=3),
        window=4,
    )
    made = train(CONFIG, recipe, store(tmp_path / "data"), tmp_path / "run", tmp_path / "out", progress=False)
    dreamt = PreparedStore(tmp_path / "run" / "history-1")
    read = dreamt.read(dreamt.indices()[0], ("condition", "past"))
    assert torch.equal(read["condition"][4:], read["past"][3:-1]), "the frame before alone"
    assert WorldModel.load(tmp_path / "out").config == CONFIG == made.config
    with pytest.raises(ZoetropeError, match="with drafts needs draft"):
        train(CONFIG, replace(recipe, draft=None), EpisodeStore(tmp_path / "data"), tmp_path / "run", tmp_path / "out")


def test_worlds_without_drafts_are_what_they_were():
    plain = replace(CONFIG, draft=False)
    assert WorldModel(plain).draft is None
    assert WorldModel(plain).with_draft(None, None, torch.zeros(1, 3), torch.ones(1, dtype=torch.bool)) is None
    assert WorldModel(plain).fingerprint() != WorldModel(CONFIG).fingerprint()
    with pytest.raises(ZoetropeError, match="draft needs state"):
        replace(CONFIG, state=())

"""Training: it learns, it repeats, and it goes on after a kill as if nothing had happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from worlds import episode, model, world_config

from core.backbone.transformer import Inputs, Outputs
from core.diffusion.flow import BASE_STRIDE, LONG_STRIDES, FlowConfig, euler, flow_loss
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.latents.autoencoder import Tokenizer, TokenizerConfig
from core.latents.critic import Critic
from core.streaming.world import World
from core.training.history import HistoryConfig
from core.training.prepare import PrepareConfig
from core.training.recipe import RecipeConfig, train
from core.training.trainer import TrainConfig, Trainer


def toy(folder: Path, steps: int = 12) -> Trainer:
    torch.manual_seed(0)
    net = nn.Linear(4, 2)

    def loss(x, generator):
        return (net(x) + 0.1 * torch.randn(2, generator=generator) - x[:, :2]).square().mean(), {}

    def batch(step):
        return torch.randn(8, 4, generator=torch.Generator().manual_seed(step))

    return Trainer(net, loss, batch, TrainConfig(steps=steps, batch=8, warmup=2), folder)


def test_a_cut_run_resumes_bit_for_bit(tmp_path):
    whole = toy(tmp_path / "a")
    whole.run("toy", progress=False)
    cut = toy(tmp_path / "b")
    cut.config = TrainConfig(steps=12, batch=8, warmup=2)
    for step in range(5):
        cut._update(cut.make_batch(step))
        cut.step += 1
    cut.save()
    again = toy(tmp_path / "b")
    again.run("toy", progress=False)
    assert torch.equal(whole.module.weight, again.module.weight)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    toy(tmp_path).run("toy", progress=False)
    other = Trainer(nn.Linear(3, 3), lambda b, g: (b, {}), lambda s: s, TrainConfig(steps=1, batch=1), tmp_path)
    with pytest.raises(ZoetropeError, match="does not continue"):
        other.run("toy", progress=False)


def test_an_error_in_a_batch_reaches_the_caller(tmp_path):
    trainer = toy(tmp_path)
    trainer.make_batch = lambda step: 1 / 0
    with pytest.raises(ZeroDivisionError):
        trainer.run("toy", progress=False)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_tokenizer_is_causal_by_chunk_and_linear_fit_is_principal_components(factor):
    config = TokenizerConfig(
        height=16, width=32, channels=24, time_factor=factor, encoder_widths=(8, 8, 8), decoder_widths=(8, 8, 8), blocks=1
    )
    torch.manual_seed(0)
    tokenizer = Tokenizer(config)
    rng = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(rng.normal(size=(1, 8, 1, 16, 32, 3)), 3), 4)
    frames = torch.from_numpy(np.clip(128 + 4 * smooth, 0, 255).astype(np.uint8))
    pixels, _ = tokenizer.pack(frames)
    chunks = pixels[0, :, 0].unflatten(0, (-1, factor))
    assert 0 < tokenizer.fit_linear(chunks) <= 1 + 1e-9
    z = tokenizer.encode(frames)
    assert z.shape == (1, 8 // factor, 1, 24, 1, 2)
    later = frames.clone()
    later[:, 4:] = 0
    assert torch.allclose(tokenizer.encode(later)[:, : 4 // factor], z[:, : 4 // factor], atol=1e-5)
    decoded, _ = tokenizer.decode(z)
    assert decoded.shape == frames.shape
    error = (decoded.float() - frames.float()).square().mean()
    assert error < (frames.float() - frames.float().mean()).square().mean()


def test_euler_with_a_perfect_prediction_arrives_in_any_number_of_steps():
    target, noise = torch.randn(2, 3), torch.randn(2, 3)
    for steps in (1, 2, 4):
        assert torch.allclose(euler(lambda x, s, d: target, noise, steps), target, atol=1e-6)


def test_without_shortcuts_steps_of_every_length_learn_from_the_data():
    """A backbone that knows the answer is at its best whatever is asked of it, and is asked for steps of every length."""
    config = world_config(spatial=False)
    made, shape = model(config), config.frame_shape
    clean = torch.randn(16, 6, shape.cameras, shape.channels, shape.rows, shape.columns)
    levels = torch.ones(16, 6), torch.zeros(16, 6)
    inputs = Inputs(clean, *levels, torch.zeros(16, 6, 3), torch.ones(16, 6, dtype=torch.bool), torch.zeros(16, 6, 6), None)
    asked = []

    class Knows(nn.Module):
        layout = made.backbone.layout

        def forward(self, inputs, layout):
            asked.append(inputs.stride)
            return Outputs(clean, torch.zeros(16, 6), torch.zeros(16, 6), ())

    flow = FlowConfig(shortcut=0.0)
    loss, _ = flow_loss(Knows(), flow, inputs, clean, None, None, None, None, torch.ones(shape.channels), torch.Generator())
    assert float(loss) == 0 and len(asked) == 1, "no second look"
    assert set(asked[0].unique().tolist()) == {BASE_STRIDE, *LONG_STRIDES}


@pytest.mark.parametrize("kind", [{}, {"spatial": False, "discrete": True}])
def test_the_whole_recipe_runs_and_resumes(kind, tmp_path):
    config = world_config(**kind)
    store = EpisodeStore(tmp_path / "data")
    for i in range(2):
        store.write(i, episode(config, length=24, seed=i))
    tiny = TrainConfig(steps=2, batch=4, warmup=1)
    recipe = RecipeConfig(
        tokenizer=tiny,
        dynamics=tiny,
        motion=tiny,
        blend=tiny,
        refine=tiny,
        window=6,
        prepare=PrepareConfig(episodes=2),
        history=(HistoryConfig(episodes=2, context=4, frames=8),) * 2,
    )
    if config.spatial is not None:
        with pytest.raises(ZoetropeError, match="needs blend"):
            train(config, replace(recipe, blend=None), store, tmp_path / "run", tmp_path / "out", progress=False)
    first = train(config, recipe, store, tmp_path / "run", tmp_path / "out", progress=False)
    again = train(config, recipe, store, tmp_path / "run", tmp_path / "out", progress=False)
    for a, b in zip(first.parameters(), again.parameters()):
        assert torch.equal(a, b)
    session = World.load(tmp_path / "out").open(episode(config).window(0, 4))
    assert session.step(0 if kind else np.zeros(3, np.float32)).frame.shape == (1, 32, 64, 3)


def test_the_critic_and_who_it_criticizes_learn_apart():
    torch.manual_seed(0)
    critic = Critic(channels=7, width=4)
    fake, real, beside = torch.randn(2, 3, 32, 32, requires_grad=True), torch.randn(2, 3, 32, 32), torch.randn(2, 4, 32, 32)
    wanted, own = critic.losses(fake, real, beside, torch.ones(2, 1, 32, 32))
    wanted.backward(retain_graph=True)
    assert fake.grad is not None and fake.grad.abs().sum() > 0
    assert all(p.grad is None for p in critic.parameters())
    fake.grad = None
    own.backward()
    assert fake.grad is None and all(p.grad is not None for p in critic.parameters())


def test_importance_is_positive_and_averages_one():
    made = model(world_config())
    made.tokenizer.measure_importance(torch.randn(4, 8, 2, 4))
    assert (made.tokenizer.importance > 0).all()
    assert float(made.tokenizer.importance.mean()) == pytest.approx(1, abs=1e-5)

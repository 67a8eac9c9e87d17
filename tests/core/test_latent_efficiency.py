"""Cheaper latents: frames that stand, steps on coarse tokens, a smaller world that finishes, a decoder of smaller widths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.acceleration.catalog import accelerate
from core.backbone.transformer import Backbone
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.latents.autoencoder import Tokenizer
from core.latents.objective import TokenizerLossConfig
from core.streaming.model import WorldModel
from core.streaming.session import Session
from core.streaming.world import World
from core.training.light_decoder import distil_decoder, distil_decoder_of
from core.training.prepare import PrepareConfig
from core.training.recipe import RecipeConfig
from core.training.trainer import TrainConfig
from tests.core.worlds import episode, model, world, world_config

STEPS, CONTEXT = 4, 6


@pytest.fixture(scope="module")
def plain() -> World:
    return world()


@pytest.fixture(scope="module")
def small(plain: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of the same latents, with fewer blocks and heads."""
    config = world_config()
    backbone = replace(config.backbone, layers=1, heads=1, head_size=config.backbone.head)
    made = model(replace(config, backbone=backbone), seed=1)
    folder = tmp_path_factory.mktemp("small")
    plain.model.tokenizer.load_state_dict({n: t.half().float() for n, t in plain.model.tokenizer.state_dict().items()})
    made.tokenizer.load_state_dict(plain.model.tokenizer.state_dict())
    made.save(folder)
    return folder


@pytest.fixture
def put_on(plain: World, small: Path) -> Iterator:
    """Puts a stack on, and takes it off in the end."""

    def put(**entry) -> None:
        if entry["name"] == "cascade":
            entry = {"small": str(small)} | entry
        accelerate(plain, [entry])

    yield put
    if plain.stack is not None:
        plain.stack.remove()


def opened(of: World, count: int = 1, steps: int = STEPS) -> Session:
    contexts = [episode(of.config, CONTEXT, seed=i) for i in range(count)]
    session = of.open(contexts if count > 1 else contexts[0], seed=0)
    session.steps = steps
    return session


def played(session: Session, frames: int = 3, still: bool = False) -> np.ndarray:
    """Latents of some frames; with the same action for all of them, or others."""
    out = []
    for t in range(frames):
        action = np.random.default_rng(0 if still else t).normal(size=3).astype(np.float32)
        session.step(action if session.single else np.tile(action, (len(session.seeds), 1)))
        assert session.newest is not None
        out.append(session.newest.latents.numpy().copy())
    return np.stack(out, 1)


@pytest.fixture(scope="module")
def expected(plain: World, small: Path) -> np.ndarray:
    return played(opened(plain))


OFF = [
    {"name": "frame_rate", "threshold": 0.0},
    {"name": "frame_rate", "limit": 0},
    {"name": "coarse", "until": 0.0},
    {"name": "cascade", "at": 1.0},
]
STANDS = {"name": "frame_rate", "threshold": 9.0, "told": 9.0, "limit": 2}
ON = [{"name": "coarse", "until": 0.5}, {"name": "cascade", "at": 0.5}, {"name": "cascade", "at": 0.0}, STANDS]


@pytest.mark.parametrize("entry", OFF, ids=str)
def test_off_is_the_plain_world(plain: World, expected: np.ndarray, put_on, entry: dict) -> None:
    put_on(**entry)
    assert np.array_equal(played(opened(plain)), expected)


@pytest.mark.parametrize("entry", ON, ids=str)
def test_on_changes_frames_and_leaves_no_trace(plain: World, expected, put_on, tmp_path: Path, entry: dict) -> None:
    before, still = {n: t.clone() for n, t in plain.model.state_dict().items()}, entry is STANDS
    usual = played(opened(plain), still=True) if still else expected
    put_on(**entry)
    batch, session = played(opened(plain, 2), still=still), opened(plain)
    played(session, 1, still)
    session.save(tmp_path / "s")
    single = played(session.fork(), 2, still)
    assert np.array_equal(played(session, 2, still), single)
    session.rewind(2)
    assert np.array_equal(played(session, 2, still), single)
    assert np.array_equal(played(World.resume(tmp_path / "s", plain), 2, still), single)
    assert not np.array_equal(single, usual[:, 1:])
    np.testing.assert_allclose(played(opened(plain), still=still)[0], batch[0], atol=3e-3)
    plain.stack.remove()  # type: ignore[union-attr]
    assert all(torch.equal(t, before[n]) for n, t in plain.model.state_dict().items())
    assert np.array_equal(played(opened(plain)), expected)


def test_select_keeps_what_each_member_keeps(plain: World, put_on) -> None:
    put_on(name="cascade", at=0.5)
    pair = opened(plain, 2)
    played(pair, 1)
    np.testing.assert_allclose(played(pair.select([1]))[0], played(pair)[1], atol=3e-3)


# -- latents that stand ------------------------------------------------------------------------------------------------


def test_frames_stand_while_nothing_changes(plain: World, put_on, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    through = Backbone.through
    monkeypatch.setattr(Backbone, "through", lambda self, x, *rest: runs.append(len(x)) or through(self, x, *rest))
    put_on(name="frame_rate", threshold=9.0, told=9.0, limit=2)
    session = opened(plain)
    played(session, 1, still=True)
    runs.clear()
    latents = played(session, 6, still=True)[0]
    session.ring  # noqa: B018 - waits until the last frame is in
    moved = [bool(np.abs(now - before).max() > 1e-5) for before, now in zip(latents, latents[1:])]
    assert moved.count(True) == 2  # two frames stand, one is imagined
    assert len(runs) == 2 * (STEPS + 1)
    assert session.ring.times[1].max() == session.number - 1


def test_another_action_ends_the_stand(plain: World, put_on) -> None:
    put_on(name="frame_rate", threshold=9.0, told=9.0, limit=100)
    latents = played(opened(plain), 4)[0]
    assert all(np.abs(now - before).max() > 1e-3 for before, now in zip(latents, latents[1:]))


def test_some_of_a_batch_stand(plain: World, put_on) -> None:
    put_on(name="frame_rate", threshold=9.0, told=9.0, limit=100)
    session, alone = opened(plain, 2), opened(plain)
    out = []
    for t in range(4):
        action = np.stack([np.ones(3), np.full(3, t)]).astype(np.float32)
        session.step(action)
        alone.step(action[0])
        assert session.newest is not None and alone.newest is not None
        out.append(session.newest.latents.numpy().copy())
        np.testing.assert_allclose(out[-1][0], alone.newest.latents.numpy()[0], atol=3e-3)
    still, moving = (np.abs(out[-1][i] - out[-2][i]).max() for i in range(2))
    assert still < 1e-5 < moving


# -- coarse steps ------------------------------------------------------------------------------------------------------


def test_only_the_first_steps_are_coarse(plain: World, put_on, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens: list[int] = []
    through = Backbone.through
    monkeypatch.setattr(Backbone, "through", lambda self, x, *rest: tokens.append(x.shape[2]) or through(self, x, *rest))
    session = opened(plain)
    put_on(name="coarse", until=0.5)
    tokens.clear()
    played(session, 1)
    session.ring  # noqa: B018 - waits until the frame is in
    assert tokens == [2, 2, 8, 8, 8]


def test_one_step_is_never_coarse(plain: World, put_on) -> None:
    usual = played(opened(plain, steps=1))
    put_on(name="coarse", until=1.0)
    assert np.array_equal(played(opened(plain, steps=1)), usual)


# -- two worlds --------------------------------------------------------------------------------------------------------


def test_the_small_world_takes_all_steps_as_if_it_were_alone(plain: World, small: Path, put_on) -> None:
    put_on(name="cascade", at=0.0)
    together = played(opened(plain))
    alone = WorldModel.load(small)
    alone.motion.load_state_dict(plain.model.motion.state_dict())  # type: ignore[union-attr]
    np.testing.assert_allclose(played(opened(World(alone))), together, atol=1e-5)


def test_a_world_of_other_latents_is_refused(plain: World, put_on, tmp_path: Path) -> None:
    model(world_config(), seed=3).save(tmp_path)
    for entry, said in (
        ({"small": str(tmp_path)}, "its latents are not those of world 'tiny'"),
        ({"small": ""}, "must name the folder of a smaller world"),
        ({"small": str(tmp_path / "none")}, "world.yaml"),
    ):
        with pytest.raises(ZoetropeError, match=said):
            put_on(name="cascade", **entry)
    model(world_config(discrete=True)).save(tmp_path)
    with pytest.raises(ZoetropeError, match="its actions are not those of world 'tiny'"):
        put_on(name="cascade", small=str(tmp_path))
    assert plain.stack is None


# -- a light decoder ---------------------------------------------------------------------------------------------------


def test_a_light_decoder_learns_to_show_the_same(plain: World, tmp_path: Path) -> None:
    config, wide = plain.config, (12, 12, 12)
    heavy = model(replace(config, tokenizer=replace(config.tokenizer, decoder_widths=wide)))
    store, source = EpisodeStore(tmp_path / "data"), tmp_path / "heavy"
    store.write(0, episode(config))
    heavy.save(source)
    (source / "starts.txt").write_text("beside")
    (source / "CARD.md").write_text("scores")
    recipe = RecipeConfig(
        tokenizer=TrainConfig(steps=1, batch=4, warmup=1, learning_rate=3e-3),
        dynamics=TrainConfig(steps=1, batch=1),
        prepare=PrepareConfig(episodes=1),
        window=2,
    )
    asked = (recipe, store, (4, 4, 4))
    before, after = distil_decoder_of(source, *asked, 30, tmp_path / "run", tmp_path / "light", progress=False)
    assert after < before and (tmp_path / "light" / "starts.txt").exists() and not (tmp_path / "light" / "CARD.md").exists()
    light, heavy = (WorldModel.load(f).requires_grad_(False) for f in (tmp_path / "light", source))
    assert light.config.tokenizer.decoder_widths == (4, 4, 4)
    kept = {n: t for n, t in heavy.state_dict().items() if "decoder.network" not in n}
    assert all(torch.equal(light.state_dict()[n], t) for n, t in kept.items())
    latents = heavy.tokenizer.encode(torch.from_numpy(episode(config, seed=1).frames[None]))[0, :, 0]
    apart = lambda m: float((m.decoder(latents) - heavy.tokenizer.decoder(latents)).square().mean())  # noqa: E731
    untaught = Tokenizer(light.config.tokenizer).requires_grad_(False)
    untaught.decoder.linear.load_state_dict(heavy.tokenizer.decoder.linear.state_dict())
    assert apart(light.tokenizer) < apart(untaught)
    session = World(light).open(episode(config, CONTEXT))
    assert session.step(np.zeros(3, np.float32)).frame.shape == (1, 32, 64, 3)


def test_widths_must_suit_the_patch(plain: World, tmp_path: Path) -> None:
    with pytest.raises(ZoetropeError, match="this decoder needs 3 positive widths"):
        distil_decoder(
            plain.model, EpisodeStore(tmp_path), (4, 4), TokenizerLossConfig(), TrainConfig(steps=1, batch=1), tmp_path
        )

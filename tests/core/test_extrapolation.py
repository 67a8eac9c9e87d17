"""More of the past than was trained: what is seen, where it stands, and nothing at all at every technique's limit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.acceleration.catalog import accelerate
from core.acceleration.positions import in_blocks
from core.backbone.rotary import Places, lowered, rotate
from core.errors import ZoetropeError
from core.evaluation.extrapolation import MULTIPLES, extrapolate
from core.evaluation.rollouts import Cases
from core.streaming.session import Session
from core.streaming.world import World
from tests.core.worlds import episode, world

CONTEXT = 14
"""Real frames: more than the tiny world's context shows."""
WIDE = {"name": "context", "recent": 2, "packed": 2}
OFF = [
    [{"name": "context", "recent": 1, "packed": 1}],
    ["frequency_shift"],
    ["age_decay"],
    [{"name": "age_decay", "strength": 0.0, "trained": 1}],
    ["block_positions"],
]
"""At the limit where nothing more is seen than was trained, or nothing is done about it."""
ON = [
    [WIDE],
    [WIDE, "frequency_shift"],
    [WIDE, "age_decay"],
    [WIDE, "block_positions"],
    [WIDE, "frequency_shift", "age_decay", "block_positions"],
    [{"name": "age_decay", "trained": 3}],
    [{"name": "block_positions", "trained": 4}],
]


@pytest.fixture(scope="module")
def plain() -> World:
    return world()


def opened(of: World, count: int = 1) -> Session:
    contexts = [episode(of.config, CONTEXT, seed=i) for i in range(count)]
    return of.open(contexts if count > 1 else contexts[0], seed=0)


def played(session: Session, frames: int = 3) -> np.ndarray:
    """Latents of some frames."""
    out = []
    for t in range(frames):
        action = np.random.default_rng(t).normal(size=3).astype(np.float32)
        session.step(action if session.single else np.tile(action, (len(session.seeds), 1)))
        assert session.newest is not None
        out.append(session.newest.latents.numpy().copy())
    return np.stack(out, 1)


@pytest.fixture(scope="module")
def expected(plain: World) -> np.ndarray:
    return played(opened(plain))


@pytest.mark.parametrize("entries", OFF, ids=str)
def test_off_is_the_plain_world(plain: World, expected: np.ndarray, entries: list) -> None:
    stack = accelerate(plain, entries)
    try:
        assert np.array_equal(played(opened(plain)), expected)
    finally:
        stack.remove()


@pytest.mark.parametrize("entries", ON, ids=str)
def test_on_changes_frames_and_leaves_no_trace(plain: World, expected: np.ndarray, entries: list, tmp_path: Path) -> None:
    before = {n: t.clone() for n, t in plain.model.state_dict().items()}
    stack = accelerate(plain, entries)
    try:
        batch, session = played(opened(plain, 2)), opened(plain)
        session.save(tmp_path / "s")
        single = played(session.fork())
        assert np.array_equal(played(session), single)
        session.rewind(3)
        assert np.array_equal(played(session), single)
        assert np.array_equal(played(World.resume(tmp_path / "s", plain)), single)
        assert not np.array_equal(single, expected)
        np.testing.assert_allclose(batch[0], single[0], atol=3e-3)
    finally:
        stack.remove()
    assert all(torch.equal(t, before[n]) for n, t in plain.model.state_dict().items())
    assert np.array_equal(played(opened(plain)), expected)


def test_context_shows_more_frames(plain: World) -> None:
    few = opened(plain).ring
    stack = accelerate(plain, [WIDE])
    try:
        many = opened(plain).ring
    finally:
        stack.remove()
    newest = torch.tensor([CONTEXT])
    assert few.context.horizon == 7 and many.context.horizon == 14 and many.tokens > few.tokens
    assert len(plain.model.backbone.layout(newest, few.slots()).seen.times) == 1 + 1 + 7


def test_lowered_slows_one_frequency_and_none_within_what_was_trained() -> None:
    frequency = 200.0 ** (-torch.arange(8, dtype=torch.float64) / 8)
    assert torch.equal(lowered(frequency, 13, 13), frequency)
    slow = lowered(frequency, 13, 104)
    assert (slow != frequency).sum() == 1 and bool((slow <= frequency).all())
    assert float(slow[1]) * 104 == pytest.approx(0.9 * 2 * torch.pi)


def test_keys_turned_later_stand_where_later_ones_do() -> None:
    where = torch.stack(torch.meshgrid(torch.arange(2.0), torch.arange(3.0), indexing="ij"), -1).reshape(-1, 2)
    places, keys = Places(where, 24), torch.randn(12, 24)
    moved = rotate(rotate(keys, places.at(torch.tensor([5, 9]))), places.later(torch.tensor([3, 4])))
    torch.testing.assert_close(moved, rotate(keys, places.at(torch.tensor([8, 13]))))


@given(near=st.integers(0, 10), beyond=st.integers(1, 20), more=st.integers(0, 200))
def test_blocks_bring_every_age_within_those_trained(near: int, beyond: int, more: int) -> None:
    trained, seen = near + beyond, near + beyond + more
    age = torch.arange(seen + 1)
    stands = in_blocks(age, near, trained, seen)
    assert torch.equal(stands[: near + 1], age[: near + 1]) and int(stands.max()) <= trained
    assert bool((stands.diff() >= 0).all()) and bool((stands <= age).all())
    assert torch.equal(stands, age) == (more == 0)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{"name": "context", "packed": 0}], "packed must be at least 1, found 0"),
        ([{"name": "age_decay", "strength": -1.0}], "strength must be at least 0, found -1"),
        ([{"name": "frequency_shift", "trained": 0}], "trained must be at least 1, found 0"),
        (["age_decay", "sparse"], "exclude each other: its mixers choose keys"),
    ],
)
def test_bad_settings(plain: World, entries: list, said: str) -> None:
    with pytest.raises(ZoetropeError, match=said):
        accelerate(plain, entries)
    assert plain.stack is None


def test_measured_by_horizon(plain: World) -> None:
    recordings = [episode(plain.config, 4 + 2 * max(MULTIPLES), seed=i) for i in range(2)]
    cases = Cases.cut(recordings, 2, 4, 2 * max(MULTIPLES))
    bare, wide = extrapolate(world, cases, [[], [WIDE]], window=2)
    assert bare.stack == () and wide.stack == ("context",)
    assert list(bare.psnr) == [2 * m for m in MULTIPLES] and all(np.isfinite(f.value) for f in wide.psnr.values())
    assert all(f.value == 0 for f in bare.gain.values())
    assert bare.fall.value == pytest.approx(bare.psnr[16].value - bare.psnr[2].value)
    assert set(wide.plain()["horizons"]["16"]) == {"psnr", "structure", "gain"}

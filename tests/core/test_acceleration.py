"""Accelerations: asked for by name, put on and taken off without a trace, off at their limits, alone as in a batch."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from core.acceleration import catalog, compiled
from core.acceleration.catalog import accelerate
from core.errors import ZoetropeError
from core.streaming.session import Session
from core.streaming.world import World
from tests.core.worlds import episode, world

STEPS = 4
CONTEXT = 6
OFF = [
    {"name": "broadcast", "every": 1},
    {"name": "timestep_cache", "threshold": 0.0},
    {"name": "block_cache", "threshold": 0.0},
    {"name": "shallow_refresh", "shallow": 1, "every": 1},
    {"name": "token_cache", "share": 1.0, "still": 0.0},
    {"name": "still_frames", "threshold": 0.0},
    {"name": "merging", "ratio": 0.0},
    {"name": "asymmetric_merging", "queries": 0.0, "keys": 0.0},
    {"name": "temporal_pairs", "spare": 2},
]
"""Every technique at the limit where it does nothing."""
ON = [
    {"name": "broadcast", "every": 2},
    {"name": "timestep_cache", "threshold": 0.3},
    {"name": "block_cache", "threshold": 0.3},
    {"name": "block_cache", "threshold": 0.3, "pool": 2},
    {"name": "shallow_refresh", "shallow": 1, "every": 2, "commit": True},
    {"name": "token_cache", "share": 0.5, "still": 0.1},
    {"name": "still_frames", "threshold": 5.0},
    {"name": "merging", "ratio": 0.5},
    {"name": "merging", "ratio": 0.5, "keep": "importance"},
    {"name": "asymmetric_merging"},
    {"name": "temporal_pairs", "spare": 0},
]
"""Every technique at work."""


@pytest.fixture(scope="module")
def plain() -> World:
    return world()


def opened(of: World, count: int = 1, steps: int = STEPS) -> Session:
    contexts = [episode(of.config, CONTEXT, seed=i) for i in range(count)]
    session = of.open(contexts if count > 1 else contexts[0], seed=0)
    session.steps = steps
    return session


def played(session: Session, frames: int = 3) -> np.ndarray:
    """Latents of some frames."""
    out = []
    for t in range(frames):
        action = np.random.default_rng(t).normal(size=3).astype(np.float32)
        session.step(action if session.single else np.tile(action, (len(session.seeds), 1)))
        assert session.newest is not None
        out.append(session.newest.latents.numpy().copy())
    return np.stack(out, 1)


def name(entry: dict) -> str:
    return "-".join(str(v) for v in entry.values())


@pytest.fixture(scope="module")
def expected(plain: World) -> np.ndarray:
    return played(opened(plain))


@pytest.mark.parametrize("entry", OFF, ids=name)
def test_off_is_the_plain_world(plain: World, expected: np.ndarray, entry: dict) -> None:
    stack = accelerate(plain, [entry])
    try:
        assert np.array_equal(played(opened(plain)), expected)
    finally:
        stack.remove()


@pytest.mark.parametrize("entry", ON, ids=name)
def test_on_changes_frames_and_leaves_no_trace(plain: World, expected: np.ndarray, entry: dict) -> None:
    before = {n: t.clone() for n, t in plain.model.state_dict().items()}
    modules = list(plain.model.modules())
    stack = accelerate(plain, [entry])
    try:
        batch, forked = played(opened(plain, 2)), opened(plain)
        single = played(forked.fork())
        assert np.array_equal(played(forked), single)
        assert not np.array_equal(single, expected)
        np.testing.assert_allclose(batch[0], single[0], atol=3e-3)
    finally:
        stack.remove()
    assert list(plain.model.modules()) == modules
    assert all(torch.equal(t, before[n]) for n, t in plain.model.state_dict().items())
    assert np.array_equal(played(opened(plain)), expected)


def test_across_frames_is_saved_forked_and_rewound(plain: World, tmp_path: Path) -> None:
    stack = accelerate(plain, [{"name": "still_frames", "threshold": 5.0, "limit": 3}])
    try:
        session = opened(plain)
        played(session, 2)
        session.save(tmp_path / "s")
        wanted = played(session)
        assert np.array_equal(played(World.resume(tmp_path / "s", plain)), wanted)
        session.rewind(3)
        assert np.array_equal(played(session), wanted)
    finally:
        stack.remove()
    with pytest.raises(ZoetropeError, match="was saved with still_frames on, this world has no accelerations"):
        World.resume(tmp_path / "s", plain)


def test_steps(plain: World) -> None:
    fingerprint = plain.model.fingerprint()
    stack = accelerate(plain, [{"name": "steps", "count": 2}])
    assert plain.open(episode(plain.config, CONTEXT)).steps == 2 and plain.fingerprint == fingerprint
    stack.remove()
    assert plain.config.steps == 1 and plain.stack is None


BAD = {
    "unknown acceleration 'speed'": ["speed"],
    "'merging' is named twice": ["merging", {"name": "merging", "ratio": 0.1}],
    "'timestep_cache' and 'block_cache' exclude each other: both decide": ["timestep_cache", "block_cache"],
    "merging: ratio must be from 0 to 0.75, found 0.9": [{"name": "merging", "ratio": 0.9}],
    "merging: unknown key 'share'": [{"name": "merging", "share": 0.9}],
    "its 'name' is missing": [{"ratio": 0.9}],
    "first must be less than the 2 blocks": ["steps", {"name": "block_cache", "first": 2}],
    "nowhere.yaml: no such config file": ["nowhere.yaml"],
}


@pytest.mark.parametrize("said", BAD)
def test_bad_stacks_leave_the_world_alone(plain: World, said: str) -> None:
    with pytest.raises(ZoetropeError) as raised:
        accelerate(plain, BAD[said])
    assert said in str(raised.value) and "\n" not in str(raised.value)
    assert plain.stack is None and plain.config.steps == 1


def test_one_stack_at_a_time(plain: World) -> None:
    stack = accelerate(plain, "steps")
    with pytest.raises(ZoetropeError, match="steps is on already"):
        accelerate(plain, "merging")
    stack.remove()
    stack.remove()
    assert plain.stack is None


def test_presets(plain: World, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("accelerations: [steps, {name: merging, ratio: 0.25}]\nworld: tiny\nquality: 0.9\n")
    stack = accelerate(plain, [str(path)])
    assert stack.names == ["steps", "merging"]
    listed = [catalog.describe(a) for a in stack.accelerations]
    stack.remove()
    assert [catalog.describe(a) for a in catalog.resolve(listed)] == listed
    for text, said in {
        "world: other": "is for world 'other', not for 'tiny'",
        "width: 96": "is for another architecture (96; this world: 48)",
        "speed: 2": "unknown key 'speed'",
    }.items():
        path.write_text(f"accelerations: [steps]\n{text}\n")
        with pytest.raises(ZoetropeError, match=said.replace("(", r"\(").replace(")", r"\)")):
            accelerate(plain, [str(path)])
    path.write_text("accelerations: [fast]\n")
    with pytest.raises(ZoetropeError, match="unknown technique 'fast'"):
        accelerate(plain, [str(path)])


def test_loading_puts_on_what_the_yaml_names(plain: World, tmp_path: Path) -> None:
    plain.model.save(tmp_path)
    config = tmp_path / "world.yaml"
    config.write_text(config.read_text().replace("accelerations: []", "accelerations: [{name: steps, count: 3}]"))
    loaded, bare = World.load(tmp_path), World.load(tmp_path, [])
    assert loaded.stack is not None and loaded.config.steps == 3
    assert bare.stack is None and bare.fingerprint == loaded.fingerprint


def test_shipped_presets_are_readable() -> None:
    for path in catalog.PRESETS.rglob("*.yaml"):
        assert catalog.resolve([str(path)])


def test_compiled_is_the_plain_world(plain: World, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced, but not turned into machine code, which takes minutes."""
    monkeypatch.setattr(compiled.torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.setattr(compiled.shutil, "which", lambda name: name)
    stack = accelerate(plain, ["compile"])
    np.testing.assert_allclose(played(opened(plain)), expected, atol=1e-4)
    stack.remove()
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    with pytest.raises(ZoetropeError, match=r"needs a C\+\+ compiler"):
        accelerate(plain, ["compile"])
    assert np.array_equal(played(opened(plain)), expected)


def test_what_leaves_calls_out_wraps_what_makes_them_cheaper(plain: World) -> None:
    stack = accelerate(plain, [{"name": "shallow_refresh", "shallow": 1}, "merging"])
    assert stack.names == ["merging", "shallow_refresh"]
    assert np.isfinite(played(opened(plain))).all()
    stack.remove()

"""The session against its slow references: cached = uncached, streamed = batch, fork = rewind = resume = the same frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from worlds import CONTEXT, episode, model, world, world_config

from core.backbone.transformer import Inputs
from core.errors import ZoetropeError
from core.memory.ring import KeyValueRing
from core.streaming.save import FORMAT
from core.streaming.world import World


def random_inputs(config, length: int, batch: int = 2) -> Inputs:
    shape = config.frame_shape
    generator = torch.Generator().manual_seed(0)
    draw = lambda *size: torch.randn(*size, generator=generator)  # noqa: E731
    grid = (shape.cameras, shape.channels, shape.rows, shape.columns)
    return Inputs(
        latents=draw(batch, length, *grid),
        signal=torch.rand(batch, length, generator=generator),
        stride=torch.full((batch, length), 0.5),
        action=draw(batch, length, 3),
        started=torch.arange(length).expand(batch, length) > 0,
        motion=draw(batch, length, 6),
        condition=draw(batch, length, shape.cameras, shape.condition, shape.rows, shape.columns) if shape.condition else None,
    )


@pytest.mark.parametrize("cameras", [1, 2])
def test_streamed_from_the_ring_equals_the_whole_window(cameras):
    """Frame by frame through the ring = all frames at once under the mask, exact, packed and sink parts included."""
    config = world_config(cameras=cameras)
    backbone = model(config).backbone.eval()
    length = CONTEXT.horizon + 2  # up to where the sink's position is clamped
    inputs = random_inputs(config, length)
    with torch.no_grad():
        whole = backbone(inputs, backbone.layout(torch.arange(length)))
        ring = KeyValueRing(backbone, batch=2)
        for t in range(length):
            layout = backbone.layout(torch.tensor([t]), ring.slots())
            frame = inputs.frames(slice(t, t + 1))
            out = backbone(frame, layout, ring.read(layout))
            kept = backbone.remember(frame, layout, ring.read(layout))  # what a session commits, without predicting
            assert all(torch.equal(a.keys, b.keys) and torch.equal(a.values, b.values) for a, b in zip(kept, out.cache))
            ring.append(kept, 0, t)
            assert (out.clean[:, 0] - whole.clean[:, t]).abs().max() < 1e-4
            assert (out.reward[:, 0] - whole.reward[:, t]).abs().max() < 1e-4


def test_two_frames_a_call_equal_one(frames: int = 40):
    """Two frames in a call give what one after the other gives, far beyond the ring's length."""
    config = world_config()
    backbone = model(config).backbone.eval()
    inputs = random_inputs(config, frames)
    with torch.no_grad():
        single, double = KeyValueRing(backbone, batch=2), KeyValueRing(backbone, batch=2)
        for t in range(1, frames):
            layout = backbone.layout(torch.tensor([t - 1]), single.slots())
            out = backbone(inputs.frames(slice(t - 1, t)), layout, single.read(layout))
            single.append(out.cache, 0, t - 1)
            layout = backbone.layout(torch.tensor([t]), single.slots())
            alone = backbone(inputs.frames(slice(t, t + 1)), layout, single.read(layout)).clean[:, 0]
            layout = backbone.layout(torch.tensor([t - 1, t]), double.slots())
            out = backbone(inputs.frames(slice(t - 1, t + 1)), layout, double.read(layout))
            double.append(out.cache, 0, t - 1)
            if t <= CONTEXT.horizon:  # beyond, the sink stands at the same clamped place for both frames of a call
                assert (out.clean[:, 1] - alone).abs().max() < 1e-4
            assert torch.isfinite(out.clean).all()


def test_positions_are_relative():
    """Shifting all frame numbers by a large constant changes nothing: a session has no last frame."""
    config = world_config()
    backbone = model(config).backbone.eval()
    inputs = random_inputs(config, 5)
    with torch.no_grad():
        early = backbone(inputs, backbone.layout(torch.arange(5) + 10)).clean
        late = backbone(inputs, backbone.layout(torch.arange(5) + 10_000_000)).clean
    assert (early - late).abs().max() < 1e-4


KINDS = [{}, {"cameras": 2}, {"spatial": False, "discrete": True}, {"cameras": 2, "told": True}]


def played(session, data, count: int) -> list[np.ndarray]:
    return [session.step(data.action[i % len(data)]).frame for i in range(count)]


def test_a_continuous_action_may_be_written_in_whole_numbers():
    w = world()
    data = episode(w.config)
    one, other = (w.open(data.window(0, 6), seed=1).step(action).frame for action in ([1, 0, 0], [1.0, 0.0, 0.0]))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_seed_fork_rewind_and_resume_are_bit_exact(kind, tmp_path):
    w = world(**kind)
    data = episode(w.config)
    open_ = lambda seed: w.open(data.window(0, 6), seed=seed)  # noqa: E731
    a, b = open_(1), open_(1)
    first = played(a, data, 24)
    assert all(np.array_equal(x, y) for x, y in zip(first, played(b, data, 24)))
    assert any(not np.array_equal(x, y) for x, y in zip(first, played(open_(2), data, 24)))
    twin = a.fork()
    a.save(tmp_path / "s.safetensors")
    ahead = played(a, data, 20)
    assert all(np.array_equal(x, y) for x, y in zip(ahead, played(twin, data, 20)))
    resumed = World.resume(tmp_path / "s.safetensors", w)
    assert all(np.array_equal(x, y) for x, y in zip(ahead, played(resumed, data, 20)))
    a.rewind(20)
    assert a.number == 30
    assert all(np.array_equal(x, y) for x, y in zip(ahead, played(a, data, 20)))
    a.rewind(13)
    assert all(
        np.array_equal(x, y) for x, y in zip(ahead[7:], [a.step(data.action[i % len(data)]).frame for i in range(7, 20)])
    )


def test_rewind_past_what_is_kept_is_refused():
    w = world()
    session = w.open(episode(w.config).window(0, 6))
    with pytest.raises(ZoetropeError, match="at most"):
        session.rewind(5)


def test_batch_equals_single_sessions():
    w = world()
    data = [episode(w.config, seed=s) for s in (0, 1)]
    batch = w.open([d.window(0, 6) for d in data], seed=[5, 9])
    singles = [w.open(d.window(0, 6), seed=s) for d, s in zip(data, (5, 9))]
    pose = data[0].pose[7]
    out = batch.step(np.stack([d.action[6] for d in data]), np.stack([pose, pose]))
    for i, session in enumerate(singles):
        alone = session.step(data[i].action[6], pose)
        assert np.abs(out.frame[i].astype(int) - alone.frame.astype(int)).max() <= 1
        assert np.allclose(out.depth[i], alone.depth, rtol=1e-3)


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to what another batch size may change in the last bit of a sum."""
    return np.abs(a.astype(int) - b.astype(int)).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("members", [[1], [2, 0]])
def test_selected_members_go_on_as_in_the_batch(kind, members):
    w = world(**kind)
    data = [episode(w.config, seed=s) for s in range(3)]
    at = lambda name, t, rows: np.stack([getattr(data[r], name)[t] for r in rows])  # noqa: E731
    batch = w.open([d.window(0, 6) for d in data], seed=[5, 9, 2])
    for t in range(6, 12):  # past the sinks, far enough that every part of the ring holds something
        batch.step(at("action", t, range(3)), at("pose", t + 1, range(3)))
    part = batch.select(members)
    assert part.seeds == [[5, 9, 2][i] for i in members] and not part.single and part.number == batch.number
    held = [m.order.clone() for m in batch._spatial]
    ring = batch._imagination.ring.keys.clone()
    mine = part.step(at("action", 12, members), at("pose", 13, members))
    assert torch.equal(batch._imagination.ring.keys, ring), "independent of the batch it left"
    assert all(torch.equal(a, m.order) for a, m in zip(held, batch._spatial))
    whole = batch.step(at("action", 12, range(3)), at("pose", 13, range(3)))
    assert mine.frame.shape == (len(members), *whole.frame.shape[1:])
    assert close(mine.frame, whole.frame[members])
    assert np.allclose(mine.reward, whole.reward[members], atol=1e-3)
    assert mine.depth is None or np.allclose(mine.depth, whole.depth[members], rtol=1e-3)


def test_a_selected_batch_forks_rewinds_and_resumes(tmp_path):
    w = world()
    data = [episode(w.config, seed=s) for s in range(3)]
    action = np.stack([d.action[6] for d in data])
    batch = w.open([d.window(0, 6) for d in data])
    batch.step(action)
    part = batch.select([2, 1])
    with pytest.raises(ZoetropeError, match="at most 0"):
        part.rewind(1)
    part.save(tmp_path / "s.safetensors")
    resumed, twin = World.resume(tmp_path / "s.safetensors", w), part.fork()
    ahead = [part.step(action[[2, 1]]).frame for _ in range(4)]
    part.rewind(4)
    for other in (resumed, twin, part):
        assert all(np.array_equal(x, other.step(action[[2, 1]]).frame) for x in ahead)


def test_select_refuses_who_is_not_there():
    w = world()
    context = episode(w.config).window(0, 6)
    batch = w.open([context, context])
    for wrong in ([], [2], [-1]):
        with pytest.raises(ZoetropeError, match="members 0 to 1"):
            batch.select(wrong)
    with pytest.raises(ZoetropeError, match="no batch"):
        w.open(context).select([0])


def test_memories_switch_off_and_cost_stays_constant():
    w = world()
    data = episode(w.config)
    session = w.open(data.window(0, 6))
    session.use(spatial=False, packed=False)
    session.step(data.action[6])
    assert session._recalled == ()
    session.use(spatial=True, packed=True)
    played(session, data, 30)
    held = session.held
    played(session, data, 30)
    assert session.held["bytes"] == held["bytes"]
    assert session.held["keyframes"] <= w.config.spatial.capacity


def test_saved_sessions_are_checked(tmp_path):
    w = world()
    data = episode(w.config)
    session = w.open(data.window(0, 6))
    path = tmp_path / "s.safetensors"
    session.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ZoetropeError, match="damaged"):
        World.resume(path, w)
    path.write_bytes(whole.replace(FORMAT.encode(), FORMAT.encode()[:-1] + b"9"))
    with pytest.raises(ZoetropeError, match="version"):
        World.resume(path, w)
    path.write_bytes(whole)
    with pytest.raises(ZoetropeError, match="other weights"):
        World.resume(path, world(seed=3))
    with pytest.raises(ZoetropeError, match="no such"):
        World.resume(tmp_path / "absent.safetensors", w)


def test_weights_are_checked(tmp_path):
    config = world_config()
    made = model(config)
    made.save(tmp_path)
    assert World.load(tmp_path).config == config
    weights = tmp_path / "world.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    with pytest.raises(ZoetropeError, match="damaged"):
        World.load(tmp_path)
    weights.unlink()
    with pytest.raises(ZoetropeError, match="no weights"):
        World.load(tmp_path)
    weights.write_bytes(whole)
    text = (tmp_path / "world.yaml").read_text()
    (tmp_path / "world.yaml").write_text(text.replace("layers: 2", "layers: 3"))
    with pytest.raises(ZoetropeError, match="another architecture"):
        World.load(tmp_path)
    (tmp_path / "world.yaml").write_text(text.replace("layers: 2", "layers: two"))
    with pytest.raises(ZoetropeError, match="expected int"):
        World.load(tmp_path)


def test_a_context_of_the_wrong_shape_is_refused():
    w = world()
    wrong = episode(world_config(cameras=2))
    with pytest.raises(ZoetropeError, match="camera"):
        w.open(wrong.window(0, 4))


@pytest.mark.parametrize("kind", KINDS)
def test_frames_asked_for_ahead_are_the_same(kind):
    """Submitting steps without waiting for their pictures gives the frames that waiting gives, whatever is done between."""
    w = world(**kind)
    data = episode(w.config)
    waiting, ahead = (w.open(data.window(0, 6), seed=3) for _ in range(2))
    expected = [waiting.step(data.action[i % len(data)]) for i in range(30)]
    coming = [ahead.submit(data.action[i % len(data)]) for i in range(12)]
    twin = ahead.fork()
    coming += [ahead.submit(data.action[i % len(data)]) for i in range(12, 30)]
    for want, got in zip(expected, coming):
        assert np.array_equal(want.frame, got.result().frame)
        assert want.depth is None or np.array_equal(want.depth, got.result().depth)
    assert np.array_equal(twin.step(data.action[12 % len(data)]).frame, expected[12].frame)
    ahead.rewind(18)
    assert np.array_equal(ahead.step(data.action[12 % len(data)]).frame, expected[12].frame)


def test_what_is_told_changes_the_frame_and_survives_saving_and_rewinding(tmp_path):
    w = world(cameras=2, told=True)
    data = episode(w.config)
    told = lambda t: {name: data.conditions[name][t] for name in w.config.conditions}  # noqa: E731
    session = w.open(data.window(0, 6))
    one = session.fork().step(data.action[5], data.pose[6], told(6))
    for name in ("sketch", "facts"):
        other = told(6) | {name: told(7)[name]}
        assert (session.fork().step(data.action[5], data.pose[6], other).frame != one.frame).any(), name
    run = session.fork()
    shown = [run.step(data.action[t - 1], data.pose[t], told(t)).frame for t in range(6, 12)]
    run.rewind(3)
    assert np.array_equal(run.step(data.action[8], data.pose[9], told(9)).frame, shown[3])
    run.save(tmp_path / "s.safetensors")
    resumed = World.resume(tmp_path / "s.safetensors", w)
    assert np.array_equal(resumed.step(data.action[9], data.pose[10], told(10)).frame, shown[4])
    blank = w.open(data.window(0, 1), blank=True)
    assert blank.number == 0 and blank.step(data.action[0], data.pose[0], told(0)).frame.shape == data.frames[0].shape
    guided = session.fork()
    guided.guidance = 2.0
    assert (guided.step(data.action[5], data.pose[6], told(6)).frame != one.frame).any()
    with pytest.raises(ZoetropeError, match="is not told 'weather'"):
        session.step(data.action[5], data.pose[6], {"weather": np.zeros(3)})
    with pytest.raises(ZoetropeError, match="sketch: expected shape"):
        session.step(data.action[5], data.pose[6], {"sketch": np.zeros((2, 3, 3, 4))})


def test_a_world_that_is_told_refuses_a_context_that_says_nothing():
    w = world(cameras=2, told=True)
    with pytest.raises(ZoetropeError, match="needs 'sketch' among its context's conditions"):
        w.open(replace(episode(w.config).window(0, 4), conditions={}))

"""Token mixers: each against dense attention, each from a cache as in a whole window, each trainable."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_streaming import random_inputs
from worlds import CONTEXT, episode, model, world, world_config

from core.acceleration.catalog import accelerate
from core.acceleration.sparse import Sparse
from core.backbone.attention import DenseAttention
from core.backbone.call import Call
from core.backbone.mixers import config as kinds
from core.backbone.mixers.blocks import attend, attend_in_kernel, tiling, top_mass, top_share
from core.backbone.mixers.build import convert
from core.backbone.mixers.recurrent import LinearAttention
from core.backbone.mixers.scan import chunked_scan, scan
from core.backbone.mixers.sparse_linear import summed
from core.backbone.rotary import rotate
from core.backbone.transformer import Backbone, BackboneConfig, Block
from core.config import from_dict, to_dict
from core.errors import ZoetropeError
from core.memory.ring import KeyValueRing

LENGTH = CONTEXT.horizon + 2
SPARSE = [
    kinds.Window(frames=2),
    kinds.SlidingTile(tile=(1, 2), frames=1, rows=1, columns=1),
    kinds.Radial(tile=(1, 2), reach=1.0),
    kinds.TopBlocks(tile=(1, 2), share=0.3),
    kinds.TopMass(tile=(2, 1), mass=0.5),
    kinds.StaticHeads(tile=(1, 2)),
    kinds.PrunedQueries(tile=(1, 4)),
    kinds.WindowResidual(frames=1, refresh=3),
    kinds.SparseLinear(tile=(1, 2), critical=0.2),
    kinds.Linear(),
    kinds.StateSpace(chunk=3),
]
FULL = [
    kinds.Window(frames=LENGTH),
    kinds.SlidingTile(tile=(1, 2), frames=LENGTH, rows=99, columns=99),
    kinds.Radial(tile=(1, 2), reach=1e6),
    kinds.TopBlocks(tile=(1, 2), share=1.0),
    kinds.TopMass(tile=(1, 2), mass=1.0),
    kinds.StaticHeads(tile=(1, 2), frames=LENGTH),
    kinds.PrunedQueries(tile=(1, 2), keep=1.0),
    kinds.WindowResidual(frames=0, refresh=1),
    kinds.SparseLinear(tile=(1, 2), critical=1.0),
]
named = pytest.mark.parametrize("config", SPARSE, ids=lambda c: c.kind)


def converted(config: kinds.Mixer, cameras: int = 1) -> Backbone:
    backbone = model(world_config(cameras=cameras)).backbone.eval()
    for i, block in enumerate(backbone.blocks):
        assert isinstance(block, Block)
        block.attention = convert(block.attention, config, backbone.site(i))
        for name, parameter in block.attention.named_parameters():
            if "beside" in name:  # begins at nothing, behind which much could hide
                torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(i))
    return backbone


@pytest.mark.parametrize("config", FULL, ids=lambda c: c.kind)
def test_at_full_density_it_is_dense_attention(config):
    dense = model(world_config()).backbone.eval()
    inputs = random_inputs(world_config(), LENGTH)
    with torch.no_grad():
        layout = dense.layout(torch.arange(LENGTH))
        found, wanted = (backbone(inputs, layout).clean for backbone in (converted(config), dense))
        assert (found - wanted).abs().max() < 1e-5


@named
@pytest.mark.parametrize("cameras", [1, 2])
def test_a_cached_session_equals_the_whole_window(config, cameras):
    backbone, inputs = converted(config, cameras), random_inputs(world_config(cameras=cameras), LENGTH)
    kept: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        whole = backbone(inputs, backbone.layout(torch.arange(LENGTH))).clean
        ring = KeyValueRing(backbone, batch=2)
        for t in range(LENGTH):
            layout, frame = backbone.layout(torch.tensor([t]), ring.slots()), inputs.frames(slice(t, t + 1))
            for step in range(2):  # denoising leaves nothing behind
                imagined = backbone(frame, replace(layout, call=Call(kept, step, 2)), ring.read(layout))
                assert (imagined.clean[:, 0] - whole[:, t]).abs().max() < 1e-5
            ring.append(backbone.remember(frame, replace(layout, call=Call(kept)), ring.read(layout)), 0, t)


@named
def test_it_learns(config):
    """Every weight gets a gradient, new ones too."""
    backbone = converted(config).train()
    out = backbone(random_inputs(world_config(), 5), backbone.layout(torch.arange(5)))
    out.clean.square().mean().backward()
    for block in backbone.blocks:
        assert isinstance(block, Block)
        for name, parameter in block.attention.named_parameters():
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().sum() > 0, name


@named
def test_frames_never_see_later_ones(config):
    backbone, inputs = converted(config), random_inputs(world_config(), 6)
    other = replace(inputs, latents=torch.cat([inputs.latents[:, :4], -inputs.latents[:, 4:]], 1))
    with torch.no_grad():
        layout = backbone.layout(torch.arange(6))
        one, two = (backbone(x, layout).clean for x in (inputs, other))
    assert torch.equal(one[:, :4], two[:, :4]) and not torch.equal(one[:, 4:], two[:, 4:])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([None, (1, 2), (2, 4), (4, 1)]), st.integers(0, 5))
def test_chosen_blocks_are_attended_to_and_no_others(seed, tile, spare):
    """Gathering blocks gives what a mask over all keys gives, whatever is chosen."""
    generator = torch.Generator().manual_seed(seed)
    cut = tiling(tile, 1, 4, 4)
    frames, heads = 3, 2
    n = 16 * frames + spare
    queries, keys, values = (torch.randn(heads, size, 8, generator=generator) for size in (16, n, n))
    blocks = torch.cat([cut.order + 16 * t for t in range(frames)])
    chosen = torch.rand(heads, len(cut.order), len(blocks), generator=generator) < 0.4
    chosen[..., 0] = True
    rest = torch.arange(16 * frames, n)
    rest_seen = torch.rand(len(cut.order), spare, generator=generator) < 0.5
    mask = torch.zeros(heads, 16, n, dtype=torch.bool)
    for h in range(heads):
        for q, tokens in enumerate(cut.order):
            mask[h, tokens[:, None], blocks[chosen[h, q]].flatten()] = True
            mask[h, tokens[:, None], rest[rest_seen[q]]] = True
    wanted = torch.nn.functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    found = cut.join(attend(cut.cut(queries, 16)[:, 0], keys, values, blocks, chosen, rest, rest_seen)[:, None])
    assert (found - wanted).abs().max() < 1e-5


def test_the_kernel_is_asked_for_the_same():
    generator = torch.Generator().manual_seed(0)
    cut = tiling((4, 4), 1, 8, 8)
    queries, keys, values = (torch.randn(2, size, 8, generator=generator) for size in (64, 128, 128))
    blocks = torch.cat([cut.order, cut.order + 64])
    chosen = torch.rand(2, 4, 8, generator=generator) < 0.4
    chosen[..., 0] = True
    asked, nothing = cut.cut(queries, 64)[:, 0], torch.zeros(0, dtype=torch.int64)
    found = attend_in_kernel(asked, keys, values, blocks, chosen)
    wanted = attend(asked, keys, values, blocks, chosen, nothing, torch.zeros(4, 0, dtype=torch.bool))
    assert (found - wanted).abs().max() < 1e-5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 1.0))
def test_shares_and_masses_are_kept(seed, share):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(2, 3, 9, generator=generator)
    allowed = torch.rand(3, 9, generator=generator) < 0.7
    allowed[:, 0] = True
    picked = top_share(scores, allowed, share)
    assert not (picked & ~allowed).any()
    assert torch.equal(picked.sum(-1), (allowed.sum(-1) * share).ceil().long().expand(2, 3))
    likely = top_mass(scores, allowed, share)
    mass = scores.masked_fill(~allowed, float("-inf")).softmax(-1)
    assert not (likely & ~allowed).any() and ((mass * likely).sum(-1) >= share - 1e-5).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 12), st.booleans())
def test_a_chunked_scan_is_a_sequential_one(seed, chunk, frames, begun):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *size: torch.randn(*size, generator=generator)  # noqa: E731
    updates, decay, start = draw(2, 3, frames, 4, 5), -draw(2, 3, frames).exp(), draw(2, 3, 4, 5) if begun else None
    assert torch.allclose(chunked_scan(updates, decay, start, chunk), scan(updates, decay, start), atol=1e-5)


def test_linear_attention_is_what_its_weights_say():
    """The running state gives the same as all pairs of queries and keys, weighed one by one."""
    backbone = converted(kinds.Linear())
    mixer, frames = backbone.blocks[0].attention, 5
    assert isinstance(mixer, LinearAttention)
    layout, x = backbone.layout(torch.arange(frames)), torch.randn(1, frames, 8, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, _ = mixer.run(x, layout, None)
        queries, keys, values = mixer.frames(x)
        queries, keys = queries.relu(), keys.relu()
        age = (torch.arange(frames)[:, None] - torch.arange(frames)).repeat_interleave(8, 0).repeat_interleave(8, 1)
        fade = torch.exp(-age * torch.exp(-mixer.fading)[:, None, None]) * (age >= 0)
        turned = rotate(queries, layout.rotation) @ rotate(keys, layout.rotation).transpose(2, 3) * fade
        wanted = turned @ values / (queries @ keys.transpose(2, 3) * fade).sum(-1, keepdim=True)
    assert torch.allclose(found.flatten(2, 3), wanted, atol=1e-4)


def test_a_linear_sum_over_blocks_is_what_its_weights_say():
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = (torch.randn(2, *size, generator=generator) for size in ((2, 4, 8), (12, 8), (12, 8)))
    blocks, seen = torch.arange(12).view(3, 4), torch.tensor([[[True, False, True], [False, False, False]]]).expand(2, -1, -1)
    found = summed(queries, keys, values, blocks, seen)
    weights = queries[:, 0].softmax(-1) @ keys.softmax(-1).transpose(1, 2) * seen[:, :1].repeat_interleave(4, 2)
    assert torch.allclose(found[:, 0], weights @ values / weights.sum(-1, keepdim=True), atol=1e-5)
    assert not found[:, 1].any()


@named
def test_a_mixer_is_written_and_read(config):
    backbone = BackboneConfig(context=CONTEXT, mixer=config)
    assert from_dict(BackboneConfig, to_dict(backbone)) == backbone


def test_what_no_mixer_can_be_is_refused():
    base = to_dict(BackboneConfig(context=CONTEXT))
    for mixer, complaint in (
        ({"kind": "nothing"}, "mixer: kind: expected one of dense, window"),
        ("dense", "mixer: kind"),
        ({"kind": "topk", "share": 0}, "share must lie in"),
        ({"kind": "radial", "frames": 2}, "unknown key 'frames'"),
    ):
        with pytest.raises(ZoetropeError, match=complaint):
            from_dict(BackboneConfig, base | {"mixer": mixer})
    w = world()
    before = [block.attention for block in w.model.backbone.blocks]
    with pytest.raises(ZoetropeError, match="3x3 tiles do not divide"):
        accelerate(w, Sparse(mixer=kinds.TopBlocks(tile=(3, 3))))
    assert [block.attention for block in w.model.backbone.blocks] == before


@named
def test_a_world_takes_it_on_in_its_sessions_and_off_again(config, tmp_path):
    """Forked, saved and rewound sessions go on as they would have; taken off, frames are as before, bit for bit."""
    w = world()
    data = episode(w.config)
    play = lambda session, count: [session.step(data.action[i]).frame for i in range(count)]  # noqa: E731
    before = play(w.open(data.window(0, 4), seed=1), 4)
    stack = accelerate(w, {"name": "sparse", "mixer": to_dict(config)})
    session = w.open(data.window(0, 4), seed=1)
    play(session, 2)
    twin = session.fork()
    session.save(tmp_path / "session.zt")
    after = play(session, 3)
    session.rewind(3)
    for other in (twin, type(w).resume(tmp_path / "session.zt", w), session):
        assert all((a == b).all() for a, b in zip(play(other, 3), after))
    stack.remove()
    assert all(type(block.attention) is DenseAttention for block in w.model.backbone.blocks)
    assert all((a == b).all() for a, b in zip(play(w.open(data.window(0, 4), seed=1), 4), before))


def test_a_mixer_is_asked_for_by_kind():
    (sparse,) = accelerate(world(), "sparse:radial").accelerations
    assert isinstance(sparse, Sparse) and isinstance(sparse.mixer, kinds.Radial)
    with pytest.raises(ZoetropeError, match="steps: there is no 'two' of it"):
        accelerate(world(), "steps:two")

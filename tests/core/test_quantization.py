"""Few bits: quantizers within their bounds, layers close to what they stand for, and a ring that is a ring in fewer bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from worlds import CONTEXT, episode, model, world, world_config

from core import quantizers
from core.acceleration.calibration import Calibration, calibrate
from core.acceleration.int8 import LINEARS, Int8, Int8Conv, Int8Linear
from core.acceleration.kv_cache import QuantizedCache
from core.acceleration.low_bit import LowBit, LowBitLinear
from core.acceleration.modules import named
from core.acceleration.precision import Precision
from core.acceleration.stack import Stack
from core.errors import ZoetropeError
from core.memory.quantized_ring import QuantizedRing
from core.memory.ring import KeyValueRing
from core.streaming.world import World

ALL = [
    Int8(),
    Int8(per_token=True, smoothing=0.5),
    Int8(kernel="onednn"),
    Int8(kernel="int_mm"),
    LowBit(),
    LowBit(activations=4, smoothing=0.5),
    Precision(),
    QuantizedCache(),
    QuantizedCache(bits=8),
]
tensors = st.builds(
    lambda seed, spread: torch.randn(6, 24, generator=torch.Generator().manual_seed(seed)) * 10.0**spread,
    st.integers(0, 2**16),
    st.integers(-3, 3),
)


def walk(opened, count: int = 6) -> np.ndarray:
    return np.stack([opened.step(np.full(3, 0.3 * i, np.float32)).frame for i in range(count)])


def open_(made: World):
    return made.open(episode(made.config).window(0, 5))


@settings(max_examples=30, deadline=None)
@given(tensors, st.sampled_from([4, 8]), st.sampled_from([0, 1]))
def test_symmetric_codes_are_off_by_half_a_step_at_most(x, bits, dim):
    codes, step = quantizers.symmetric(x, bits, dim)
    assert int(codes.abs().max()) <= quantizers.largest(bits)
    assert ((codes * step - x).abs() <= step * 0.501).all()
    assert torch.equal(quantizers.rounded(x, bits, dim), codes * step)


@settings(max_examples=30, deadline=None)
@given(tensors, st.sampled_from([4, 8]), st.sampled_from([0, 1]))
def test_affine_codes_are_off_by_half_a_step_and_the_scales_rounding(x, bits, dim):
    codes, step, low = quantizers.affine(x, bits, dim)
    error = (quantizers.restore(codes, step, low) - x).abs()
    rounding = 2.0**-10 * (x.abs().amax(dim, keepdim=True) + step.float() * 2**bits)
    assert (error <= step.float() / 2 + rounding).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16))
def test_packed_codes_come_back(seed):
    codes = torch.randint(16, (3, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    packed = quantizers.pack(codes)
    assert packed.nbytes * 2 == codes.nbytes and torch.equal(quantizers.unpack(packed), codes)


@settings(max_examples=30, deadline=None)
@given(tensors)
def test_the_rotation_is_its_own_inverse_and_keeps_products(x):
    turned = quantizers.rotate_blocks(x)
    scale = float(x.abs().max())
    assert torch.allclose(quantizers.rotate_blocks(turned), x, atol=1e-5 * scale)
    assert torch.allclose(turned @ turned.T, x @ x.T, atol=1e-4 * scale**2)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from(["fbgemm", "onednn", "int_mm"]), st.booleans(), st.booleans())
def test_int8_layers_are_close_to_what_they_stand_for(seed, kernel, per_token, smooth):
    torch.manual_seed(seed)
    layer, x = nn.Linear(48, 24), torch.randn(2, 9, 48) * 3
    scale = x.abs().amax((0, 1)).sqrt() if smooth else None
    with torch.no_grad():
        wanted, found = layer(x), Int8Linear(layer, kernel, per_token, scale)(x)
    assert found.shape == wanted.shape and (found - wanted).norm() < 0.05 * wanted.norm()


def test_an_int8_convolution_is_close_to_what_it_stands_for():
    torch.manual_seed(0)
    layer, x = nn.Conv2d(32, 16, 3, padding=1), torch.randn(2, 32, 6, 8)
    with torch.no_grad():
        assert (Int8Conv(layer)(x) - layer(x)).norm() < 0.05 * layer(x).norm()


def test_four_bit_weights_take_an_eighth_of_the_bytes_and_a_rotation_helps_against_outliers():
    torch.manual_seed(0)
    layer, x = nn.Linear(64, 32), torch.randn(50, 64)
    x[:, 5] *= 40
    errors = []
    for rotate in (False, True):
        made = LowBitLinear(layer, 4, None, rotate)
        assert made.codes.nbytes * 8 == layer.weight.nbytes and made.bytes < layer.weight.nbytes / 7
        errors.append(float((made(x) - layer(x)).norm().detach()))
    assert errors[1] < 0.8 * errors[0]


@pytest.mark.parametrize("acceleration", ALL, ids=lambda a: f"{a.name}-{a.__class__.__name__}")
def test_each_changes_what_is_seen_and_leaves_no_trace(acceleration):
    made = world()
    before, weights = walk(open_(made)), {n: t.clone() for n, t in made.model.state_dict().items()}
    stack = Stack(made, [acceleration])
    on = walk(open_(made))
    stack.remove()
    after = made.model.state_dict()
    assert after.keys() == weights.keys() and all(torch.equal(after[n], t) for n, t in weights.items())
    assert np.array_equal(walk(open_(made)), before)
    assert not np.array_equal(on, before) and np.abs(on.astype(int) - before).mean() < 25


def test_precision_is_low_only_where_a_frame_is_noise():
    made = world()
    inputs = dict(number=5, steps=1, packed=True)
    opened = open_(made)
    exact, _ = opened._imagination.imagine(opened.newest, **inputs)
    with_int8 = Stack(made, [Int8(convolutions=False)])
    coarse, _ = opened._imagination.imagine(opened.newest, **inputs)
    with_int8.remove()
    varied = Stack(made, [Precision()])
    noisy, _ = opened._imagination.imagine(opened.newest, **inputs)
    twin = opened.fork()
    twin._imagination.commit(opened.newest, 5, True)
    varied.remove()
    plain = opened.fork()
    plain._imagination.commit(opened.newest, 5, True)
    assert torch.equal(noisy, coarse) and not torch.equal(noisy, exact)
    assert torch.equal(twin.ring.values, plain.ring.values)


def test_calibration_needs_no_data_and_a_damaged_file_is_refused(tmp_path):
    made = world(state=True, told=True)
    layers = named(made.model, LINEARS, nn.Linear)
    found = calibrate(made, layers)
    assert found.peaks.keys() == layers.keys() and all((p > 0).any() for p in found.peaks.values())
    found.save(tmp_path / "peaks.safetensors")
    stack = Stack(made, [Int8(smoothing=0.5, calibration=str(tmp_path / "peaks.safetensors"))])
    stack.remove()
    with pytest.raises(ZoetropeError, match="another architecture"):
        Calibration({}).of("backbone.blocks.0.up", nn.Linear(3, 3))
    (tmp_path / "peaks.safetensors").write_bytes(b"\0" * 20)
    for name in ("peaks.safetensors", "missing.safetensors"):
        with pytest.raises(ZoetropeError, match=name):
            Stack(made, [Int8(smoothing=0.5, calibration=str(tmp_path / name))])
    assert all(type(made.model.get_submodule(name)) is nn.Linear for name in layers)


@pytest.mark.parametrize("wrong", [lambda: Int8(smoothing=1.0), lambda: LowBit(activations=3), lambda: Precision(below=0.0)])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ZoetropeError, match="accelerations: "):
        wrong()


def test_two_precisions_of_the_same_layers_exclude_each_other():
    with pytest.raises(ZoetropeError, match="exclude each other"):
        Stack(world(), [Int8(), LowBit()])


# -- the ring ----------------------------------------------------------------------------------------------------------


def filled(make, frames: int = CONTEXT.horizon + 3):
    """A ring with that many random frames in it, and what its backbone's newest frame sees."""
    backbone = model(world_config(cameras=2)).backbone.eval()
    ring, generator = make(backbone, 3), torch.Generator().manual_seed(0)
    tokens, heads = backbone.shape.tokens, backbone.config.heads
    from core.backbone.attention import KeyValues

    for t in range(frames):
        draw = lambda: torch.randn(3, heads, 1, tokens, ring.head, generator=generator)  # noqa: E731
        ring.append(tuple(KeyValues(draw(), draw()) for _ in range(backbone.config.layers)), 0, t)
    return ring, backbone.layout(torch.tensor([frames]), ring.slots())


def gap(ring, exact, layout) -> float:
    """Greatest distance between what two rings show."""
    pairs = [
        (a, b)
        for one, other in zip(ring.read(layout), exact.read(layout))
        for kind, of in zip(one, other)
        for a, b in zip(kind, of)
    ]
    assert pairs and all(a.shape == b.shape for a, b in pairs)
    return max(float((a - b).abs().max()) for a, b in pairs)


def test_a_quantized_ring_shows_what_the_exact_one_shows():
    exact, layout = filled(KeyValueRing)
    rings = [filled(lambda b, n, bits=bits: QuantizedRing(b, n, bits))[0] for bits in (8, 4)]
    assert gap(rings[0], exact, layout) < 0.03 and gap(rings[1], exact, layout) < 0.4
    assert rings[0].tokens == exact.tokens
    some = slice(3, 9)
    assert (rings[0].values_at(some) - exact.values_at(some)).abs().max() < 0.03


@pytest.mark.parametrize("bits", [8, 4])
def test_codes_take_the_bytes_they_say(bits):
    exact, _ = filled(KeyValueRing)
    ring, _ = filled(lambda b, n: QuantizedRing(b, n, bits))
    sinks = exact.sink_keys.nbytes  # the exact ring keeps the sinks' keys twice: turned and not
    codes = ring.keys.nbytes + ring.values.nbytes + ring.sink_keys.nbytes
    assert codes * 32 == (exact.bytes - sinks) * bits
    assert codes < ring.bytes == sum(getattr(ring, name).nbytes for name in ring.STATE)


@pytest.mark.parametrize("bits", [8, 4])
def test_sessions_with_a_quantized_cache_fork_rewind_select_and_resume_bit_for_bit(bits, tmp_path):
    made = world()
    stack = Stack(made, [QuantizedCache(bits=bits)])
    opened = open_(made)
    walk(opened, 4)
    opened.save(tmp_path / "saved")
    twin = opened.fork()
    wanted = walk(opened)
    assert np.array_equal(walk(twin), wanted)
    assert np.array_equal(walk(World.resume(tmp_path / "saved", made)), wanted)
    opened.rewind(6)
    assert np.array_equal(walk(opened), wanted)
    context = episode(made.config).window(0, 5)
    batch = made.open([context, context], seed=[7, 0]).select([1])
    assert np.abs(np.stack([batch.step(np.full((1, 3), 0.1, np.float32)).frame[0] for _ in range(2)])).any()
    stack.remove()
    with pytest.raises(ZoetropeError):
        World.resume(tmp_path / "saved", made)

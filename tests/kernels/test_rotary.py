import pytest
import torch

from core.backbone.attention import NORM_FLOOR, DenseAttention
from core.backbone.rotary import Places, rotate
from kernels import rotary
from tests.kernels.compare import gradients, in_single


def _inputs(batch, tokens, heads, size, device, dtype=torch.float32):
    qkv = torch.randn(batch, tokens, 3, heads, size, device=device, dtype=dtype)
    qkv[0, 0, :, 0] *= 1e-5
    weights = torch.randn(2, size, device=device, dtype=dtype)
    angle = torch.randn(tokens, size // 2, device=device)
    cos, sin = torch.cat([angle.cos(), angle.cos()], -1), torch.cat([-angle.sin(), angle.sin()], -1)
    return (qkv[:, :, :2], weights[0], weights[1]), (cos, sin, NORM_FLOOR)


@pytest.mark.parametrize(("batch", "tokens", "heads", "size"), [(2, 48, 4, 64), (1, 1, 1, 2), (1, 33, 3, 20), (2, 5, 2, 48)])
def test_kernel_is_the_reference(batch, tokens, heads, size, device):
    inputs, fixed = _inputs(batch, tokens, heads, size, device)
    for mine, theirs in zip(rotary.kernel(*inputs, *fixed), rotary.reference(*inputs, *fixed)):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_gradients_are_the_references(device):
    inputs, fixed = _inputs(2, 90, 3, 40, device)
    mine = gradients(rotary.kernel, *inputs, fixed=fixed)
    theirs = gradients(rotary.reference, *inputs, fixed=fixed)
    for ours, wanted in zip(mine, theirs):
        torch.testing.assert_close(ours, wanted, atol=2e-4 * wanted.abs().max().item(), rtol=1e-4)


def test_half_precision_is_computed_in_single(device):
    inputs, fixed = _inputs(1, 17, 2, 32, device, torch.bfloat16)
    exact = rotary.reference(*in_single(inputs), *fixed)
    for mine, theirs in zip(rotary.kernel(*inputs, *fixed), exact):
        assert mine.dtype == torch.bfloat16
        torch.testing.assert_close(mine.float(), theirs, atol=3e-2, rtol=1e-2)


def test_it_is_what_attention_does(device):
    attention = DenseAttention(64, 4).to(device)
    torch.nn.init.normal_(attention.query_norm.weight)
    rotation = Places(torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), 16).at(torch.tensor([3, 4]))
    x = torch.randn(1, 2, 3, 64, device=device)
    normed, _ = attention._heads(x)
    queries, keys = rotate(normed, rotation).unbind(0)
    pairs = attention.project(x).flatten(1, 2).unflatten(-1, (3, 4, -1))[:, :, :2]
    weights = attention.query_norm.weight, attention.key_norm.weight
    turn = rotation.cos.to(device), rotation.sin.to(device)
    mine = rotary.kernel(pairs, *weights, *turn, NORM_FLOOR)
    for ours, wanted in zip(mine, (queries, keys, normed[1])):
        torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-5)

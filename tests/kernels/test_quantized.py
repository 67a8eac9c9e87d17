"""Rows in 8 bits, and what multiplies them: the linear layer and attention."""

import pytest
import torch

from kernels import int8_attention, linear, quantize
from kernels.quantize import FLOAT8, INT8

KINDS = [INT8, FLOAT8]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shifts", [False, True])
def test_rows_are_the_references(kind, shifts, device):
    x = torch.randn(2, 9, 37, device=device) * torch.logspace(-3, 3, 9, device=device)[:, None]
    x[0, 0] = 0
    offset = torch.randn(2, 37, device=device) if shifts else None
    (numbers, scales), (wanted, wanted_scales) = quantize.kernel(x, kind, offset), quantize.reference(x, kind, offset)
    torch.testing.assert_close(scales, wanted_scales)
    back, wanted_back = numbers.float() * scales[..., None], wanted.float() * wanted_scales[..., None]
    step = scales[..., None] * (1 if kind == INT8 else 32)
    assert ((back - wanted_back).abs() <= 1.01 * step).all()
    assert (back == wanted_back).float().mean() > 0.99 or torch.allclose(back, wanted_back, rtol=1e-5)


def test_integers_are_within_half_a_step(device):
    x = torch.randn(1, 20, 64, device=device)
    numbers, scales = quantize.kernel(x, INT8)
    assert ((numbers.float() * scales[..., None] - x).abs() <= 0.5001 * scales[..., None]).all()
    assert (numbers.abs().amax(-1) == 127).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "depth", "columns", "biased"), [(20, 64, 48, True), (1, 40, 70, False), (130, 150, 20, True)])
def test_linear_is_the_reference(kind, rows, depth, columns, biased, device):
    x, bias = torch.randn(1, rows, depth, device=device), torch.randn(columns, device=device) if biased else None
    weight = linear.QuantizedWeight.of(torch.randn(columns, depth, device=device), kind)
    mine, wanted = linear.kernel(x, weight, bias), linear.reference(x, weight, bias)
    assert mine.shape == (1, rows, columns)
    torch.testing.assert_close(mine, wanted, atol=2e-2 * depth**0.5 if kind == FLOAT8 else 1e-2, rtol=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_linear_is_near_the_exact_layer(kind, device):
    x, weight = torch.randn(30, 128, device=device), torch.randn(64, 128, device=device)
    exact = x @ weight.T
    error = (linear.reference(x, linear.QuantizedWeight.of(weight, kind)) - exact).norm() / exact.norm()
    assert error < (0.015 if kind == INT8 else 0.05)


def test_gradients_pass_as_if_nothing_were_rounded():
    x, weight = torch.randn(5, 16, requires_grad=True), torch.randn(8, 16)
    quantized = linear.QuantizedWeight.of(weight, INT8)
    (gradient,) = torch.autograd.grad(linear.quantized_linear(x, quantized).sum(), x)
    torch.testing.assert_close(gradient, (quantized.numbers.float() * quantized.scales[:, None]).sum(0).expand(5, -1))


@pytest.mark.parametrize(("queries", "keys", "size"), [(40, 40, 32), (7, 90, 24), (130, 20, 64)])
def test_attention_is_the_reference(queries, keys, size, device):
    make = lambda tokens: torch.randn(1, 2, tokens, size, device=device)  # noqa: E731
    inputs = make(queries), make(keys) + 4 * torch.randn(1, 2, 1, size, device=device), make(keys)
    torch.testing.assert_close(int8_attention.kernel(*inputs), int8_attention.reference(*inputs), atol=5e-3, rtol=5e-3)


def test_keys_with_a_common_part_are_no_harder(device):
    """What smoothing is for: without it this offset would take most of the 8 bits."""
    queries, keys, values = torch.randn(3, 1, 1, 60, 32, device=device)
    keys = keys + 50 * torch.randn(32, device=device)
    exact = torch.nn.functional.scaled_dot_product_attention(queries, keys, values)
    assert (int8_attention.kernel(queries, keys, values) - exact).norm() / exact.norm() < 0.03

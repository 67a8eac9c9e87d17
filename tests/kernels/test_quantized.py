"""Rows in 8 bits, and what multiplies them: the linear layer and attention."""

import pytest
import torch

from kernels import int8_attention, linear, quantize
from kernels.quantize import FLOAT8, INT8

KINDS = [INT8]
if not torch.cuda.is_available() or quantize.takes(FLOAT8, torch.device("cuda")):
    KINDS.append(FLOAT8)


def _rows(kind, *shape, device):
    """Random ones. Of 8-bit floats, such as need no rounding: Triton's interpreter rounds them wrongly, a GPU does not."""
    x = torch.randn(shape, device=device)
    if kind == INT8 or device.type == "cuda":
        return x
    x = (100 * x).clamp(-448, 448)
    x[..., 0] = 448
    return x.to(FLOAT8).float() * 2.0 ** torch.randint(-3, 3, (*shape[:-1], 1), device=device)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_the_references(kind, device):
    x = _rows(kind, 2, 9, 37, device=device)
    x[0, 0] = 0
    (numbers, scales), (wanted, wanted_scales) = quantize.kernel(x, kind), quantize.reference(x, kind)
    torch.testing.assert_close(scales, wanted_scales)
    assert (numbers.float() == wanted.float()).float().mean() > 0.99


def test_rows_less_an_offset(device):
    x, offset = torch.randn(2, 9, 37, device=device), torch.randn(2, 37, device=device)
    for mine, wanted in zip(quantize.kernel(x, INT8, offset), quantize.reference(x - offset[:, None], INT8)):
        torch.testing.assert_close(mine, wanted)


def test_integers_are_within_half_a_step(device):
    x = torch.randn(1, 20, 64, device=device)
    numbers, scales = quantize.kernel(x, INT8)
    assert ((numbers.float() * scales[..., None] - x).abs() <= 0.5001 * scales[..., None]).all()
    assert (numbers.abs().amax(-1) == 127).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "depth", "columns", "biased"), [(20, 64, 48, True), (1, 40, 70, False), (130, 150, 20, True)])
def test_linear_is_the_reference(kind, rows, depth, columns, biased, device):
    x, bias = _rows(kind, 1, rows, depth, device=device), torch.randn(columns, device=device) if biased else None
    weight = linear.QuantizedWeight.of(torch.randn(columns, depth, device=device), kind)
    mine, wanted = linear.kernel(x, weight, bias), linear.reference(x, weight, bias)
    assert mine.shape == (1, rows, columns)
    torch.testing.assert_close(mine, wanted, atol=1e-2 * wanted.abs().max().item(), rtol=0)


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

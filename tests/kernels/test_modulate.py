import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import modulate
from tests.kernels.compare import gradients, in_single


def _inputs(frames, tokens, width, device, dtype=torch.float32):
    x = torch.randn(2, frames, tokens, width, device=device, dtype=dtype)
    table = torch.randn(2, frames, 6, width, device=device, dtype=dtype)
    return x, table[:, :, 0, None], table[:, :, 1, None]


@pytest.mark.parametrize(("frames", "tokens", "width"), [(3, 48, 64), (1, 1, 16), (2, 37, 40), (1, 130, 257)])
def test_kernel_is_the_reference(frames, tokens, width, device):
    inputs = _inputs(frames, tokens, width, device)
    torch.testing.assert_close(modulate.kernel(*inputs), modulate.reference(*inputs), atol=2e-5, rtol=1e-5)


def test_gradients_are_the_references(device):
    inputs = _inputs(2, 150, 200, device)
    for mine, theirs in zip(gradients(modulate.kernel, *inputs), gradients(modulate.reference, *inputs)):
        torch.testing.assert_close(mine, theirs, atol=2e-4, rtol=1e-4)


def test_half_precision_is_computed_in_single(device):
    inputs = _inputs(2, 20, 64, device, torch.bfloat16)
    out = modulate.kernel(*inputs)
    assert out.dtype == torch.bfloat16
    exact = modulate.reference(*in_single(inputs))
    torch.testing.assert_close(out.float(), exact, atol=2e-2, rtol=1e-2)


@settings(max_examples=8, deadline=None)
@given(tokens=st.integers(1, 20), width=st.integers(2, 70))
def test_any_size(tokens, width):
    inputs = _inputs(1, tokens, width, "cuda" if torch.cuda.is_available() else "cpu")
    torch.testing.assert_close(modulate.kernel(*inputs), modulate.reference(*inputs), atol=1e-4, rtol=1e-4)


def test_on_a_cpu_the_reference_is_chosen():
    inputs = _inputs(1, 5, 8, "cpu")
    assert torch.equal(modulate.modulated(*inputs), modulate.reference(*inputs))

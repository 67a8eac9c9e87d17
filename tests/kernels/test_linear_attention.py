import pytest
import torch

from kernels import linear_attention
from kernels.linear_attention import FLOOR
from tests.kernels.compare import in_single


def _inputs(tokens, size, mixed, device, dtype=torch.float32):
    make = lambda channels: torch.randn(1, 2, tokens, channels, device=device, dtype=dtype)  # noqa: E731
    return make(size), make(size), make(mixed)


def _cut(inputs, first, last):
    queries, keys, values = inputs
    return queries[:, :, first:last], keys[:, :, first:last], values[:, :, first:last]


@pytest.mark.parametrize(("tokens", "size", "mixed", "chunk"), [(50, 16, 24, 20), (70, 24, 16, 70), (9, 8, 8, 3)])
def test_kernel_is_the_reference(tokens, size, mixed, chunk, device):
    inputs = _inputs(tokens, size, mixed, device)
    mine, state = linear_attention.kernel(*inputs, chunk)
    wanted, wanted_state = linear_attention.reference(*inputs, chunk)
    torch.testing.assert_close(mine, wanted, atol=1e-4, rtol=1e-4)
    for ours, theirs in zip(state, wanted_state):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_reference_is_attention_with_positive_scores():
    """Each query's weights over what it may see, written out."""
    queries, keys, values = _inputs(24, 8, 8, "cpu")
    frame = torch.arange(24) // 6
    scores = (queries.relu() @ keys.relu().mT) * (frame[:, None] >= frame)
    wanted = scores @ values / scores.sum(-1, keepdim=True).clamp(min=FLOOR)
    torch.testing.assert_close(linear_attention.reference(queries, keys, values, 6)[0], wanted, atol=1e-5, rtol=1e-4)


def test_frame_by_frame_is_all_at_once(device):
    inputs = _inputs(30, 16, 16, device)
    whole, last = linear_attention.kernel(*inputs, 10)
    state, parts = None, []
    for start in range(0, 30, 10):
        part, state = linear_attention.kernel(*_cut(inputs, start, start + 10), 10, state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 2), whole, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(state, last, atol=1e-4, rtol=1e-4)


def test_a_long_chunk_is_summed_in_parts(device):
    tokens = linear_attention.TILE * linear_attention.SPAN + 5
    inputs = _inputs(tokens, 16, 16, device, torch.float16)
    exact = linear_attention.reference(*in_single(inputs), 4096)[0]
    torch.testing.assert_close(linear_attention.kernel(*inputs, 4096)[0].float(), exact, atol=2e-3, rtol=2e-3)

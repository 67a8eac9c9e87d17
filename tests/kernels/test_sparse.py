import pytest
import torch

from kernels import sparse
from tests.kernels.compare import gradients, in_single


def _inputs(queries, keys, size, device, dtype=torch.float32, batch=1, heads=2):
    make = lambda tokens: torch.randn(batch, heads, tokens, size, device=device, dtype=dtype)  # noqa: E731
    return make(queries), make(keys), make(keys)


def _map(queries, keys, rows, columns, device, shape=(1, 1)):
    seen = torch.rand(*shape, -(-queries // rows), -(-keys // columns), device=device) < 0.6
    return sparse.BlockMap(seen, rows, columns)


CASES = [(64, 64, 16, 32, 16), (37, 70, 24, 16, 32), (5, 90, 8, 16, 16)]


@pytest.mark.parametrize(("queries", "keys", "size", "rows", "columns"), CASES)
def test_kernel_is_the_reference(queries, keys, size, rows, columns, device):
    inputs = _inputs(queries, keys, size, device)
    blocks = _map(queries, keys, rows, columns, device, shape=(1, 2))
    torch.testing.assert_close(sparse.kernel(*inputs, blocks), sparse.reference(*inputs, blocks), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("queries", "keys", "size", "rows", "columns"), CASES[1:])
def test_gradients_are_the_references(queries, keys, size, rows, columns, device):
    inputs = _inputs(queries, keys, size, device)
    blocks = _map(queries, keys, rows, columns, device)
    blocks.seen[:, :, 0, 0] = True
    theirs = gradients(sparse.reference, *inputs, fixed=(blocks,))
    for mine, wanted in zip(gradients(sparse.kernel, *inputs, fixed=(blocks,)), theirs):
        torch.testing.assert_close(mine, wanted, atol=1e-5, rtol=1e-4)


def test_queries_that_see_nothing_get_nothing(device):
    inputs = _inputs(32, 32, 16, device)
    seen = torch.tensor([[True, False], [False, False]], device=device)[None, None]
    blocks = sparse.BlockMap(seen, 16, 16)
    for out in (sparse.kernel(*inputs, blocks), sparse.reference(*inputs, blocks)):
        assert out[:, :, :16].abs().min() > 0
        assert not out[:, :, 16:].any()
    for gradient in gradients(sparse.kernel, *inputs, fixed=(blocks,)):
        assert gradient.isfinite().all()


def test_seeing_all_is_dense_attention(device):
    queries, keys, values = _inputs(20, 50, 16, device, batch=2)
    blocks = sparse.BlockMap(torch.ones(1, 1, 2, 4, dtype=torch.bool, device=device), 16, 16)
    dense = torch.nn.functional.scaled_dot_product_attention(queries, keys, values)
    torch.testing.assert_close(sparse.kernel(queries, keys, values, blocks), dense, atol=1e-5, rtol=1e-5)


def test_heads_side_by_side_are_read_in_place(device):
    """As they leave a projection, (B, tokens, heads, size), in half precision."""
    queries, keys, values = torch.randn(3, 1, 40, 2, 16, device=device, dtype=torch.float16).transpose(2, 3)
    inputs = queries, keys, values
    blocks = _map(40, 40, 16, 16, device)
    exact = sparse.reference(*in_single(inputs), blocks)
    torch.testing.assert_close(sparse.kernel(*inputs, blocks).float(), exact, atol=5e-3, rtol=5e-3)


def test_a_map_that_does_not_fit_is_refused():
    inputs = _inputs(64, 64, 16, "cpu")
    with pytest.raises(ValueError, match="blocks"):
        sparse.block_sparse(*inputs, sparse.BlockMap(torch.ones(1, 1, 3, 4, dtype=torch.bool), 16, 16))
    with pytest.raises(ValueError, match="power of two"):
        sparse.BlockMap(torch.ones(1, 1, 3, 4, dtype=torch.bool), 48, 16)

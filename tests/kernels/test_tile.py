import pytest
import torch

from kernels import tile
from kernels.tile import SlidingTile


def _inputs(queries, keys, size, device, dtype=torch.float32):
    make = lambda tokens: torch.randn(1, 2, tokens, size, device=device, dtype=dtype)  # noqa: E731
    return make(queries), make(keys), make(keys)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("asking", "frames", "grid", "size", "block", "window"),
    [
        (4, 4, (4, 8), 16, (2, 2, 4), (1, 1, 3)),
        (1, 3, (3, 5), 24, (1, 2, 2), (2, 1, 2)),
        (2, 3, (5, 6), 8, (2, 3, 6), (2, 2, 1)),
    ],
)
def test_kernel_is_the_reference(asking, frames, grid, size, block, window, causal, device):
    tokens = grid[0] * grid[1]
    inputs = _inputs(asking * tokens, frames * tokens, size, device)
    shape = SlidingTile(grid=grid, tile=block, window=window, causal=causal)
    torch.testing.assert_close(tile.kernel(*inputs, shape), tile.reference(*inputs, shape), atol=1e-5, rtol=1e-5)


def test_a_tile_cut_into_blocks(device):
    """With an edge tile whose last block holds no token."""
    inputs = _inputs(200, 200, 16, device)
    shape = SlidingTile(grid=(10, 20), tile=(1, 16, 10), window=(1, 1, 1), causal=False)
    torch.testing.assert_close(tile.kernel(*inputs, shape), tile.reference(*inputs, shape), atol=1e-5, rtol=1e-5)


def test_the_largest_window_is_dense_attention(device):
    queries, keys, values = _inputs(24, 72, 16, device)
    shape = SlidingTile(grid=(4, 6), tile=(1, 3, 4), window=(9, 9, 9), causal=False)
    dense = torch.nn.functional.scaled_dot_product_attention(queries, keys, values)
    torch.testing.assert_close(tile.kernel(queries, keys, values, shape), dense, atol=1e-5, rtol=1e-5)


def test_every_token_sees_a_whole_window():
    shape = SlidingTile(grid=(8, 8), tile=(1, 2, 2), window=(2, 3, 3), causal=False)
    assert (shape.mask(64 * 4, 64 * 4).sum(1) == 2 * 6 * 6).all()


def test_a_cache_gives_what_the_whole_gives(device):
    """The newest frame alone, as a session asks, and all frames at once."""
    queries, keys, values = _inputs(64, 64, 16, device)
    shape = SlidingTile(grid=(4, 4), tile=(1, 2, 2), window=(2, 1, 1), causal=True)
    whole = tile.reference(queries, keys, values, shape)
    newest = tile.kernel(queries[:, :, -16:], keys, values, shape)
    torch.testing.assert_close(newest, whole[:, :, -16:], atol=1e-5, rtol=1e-5)


def test_what_makes_no_frames_is_refused():
    shape = SlidingTile(grid=(4, 4), tile=(1, 2, 2), window=(2, 1, 1), causal=True)
    with pytest.raises(ValueError, match="frames of 16 tokens"):
        tile.sliding_tile(*_inputs(16, 33, 8, "cpu"), shape)

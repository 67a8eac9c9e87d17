"""Sliding-tile attention (arXiv 2502.04507): the tokens of a video lie in tiles of time, rows and columns; all tokens of a tile
see the tiles of one window around it, so that no tile is seen in part. Tokens are read where they lie, in order of frame, row
and column.

Shape letters: B batch, H heads, Q queries, K keys, e channels of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kernels.launch import LARGEST_HEAD, LOG2E, SMALLEST_DOT, Program, Tiling, dense, power_of_two, runs

if TYPE_CHECKING:
    import triton.language as tl  # pyright: ignore[reportMissingImports]

Sizes = tuple[int, int, int]
"""In time, rows and columns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SlidingTile:
    """Which tokens see which. The queries are the newest frames of those that the keys hold."""

    grid: tuple[int, int]
    """Rows and columns of a frame's tokens."""
    tile: Sizes
    """Frames, rows and columns of a tile. Those at the end may be smaller."""
    window: Sizes
    """Tiles that a tile sees. In rows and columns around it, moved inwards at the edges; in time likewise, unless causal."""
    causal: bool
    """Whether the window in time ends with the tile itself."""

    def __post_init__(self) -> None:
        if min(*self.grid, *self.tile, *self.window) < 1:
            raise ValueError(f"sliding tile: grid {self.grid}, tile {self.tile} and window {self.window} must be positive")

    def frames(self, queries: int, keys: int) -> tuple[int, int]:
        """How many frames the keys hold, and the first that asks. Raises ValueError where tokens do not make whole frames."""
        tokens = self.grid[0] * self.grid[1]
        if queries % tokens or keys % tokens or queries > keys:
            raise ValueError(f"sliding tile: {queries} queries and {keys} keys for frames of {tokens} tokens")
        return keys // tokens, (keys - queries) // tokens

    def tiles(self, frames: int) -> Sizes:
        """How many there are of `frames` frames."""
        time, rows, columns = (-(-size // tile) for size, tile in zip((frames, *self.grid), self.tile))
        return time, rows, columns

    def mask(self, queries: int, keys: int) -> Tensor:
        """bool (Q, K)."""
        frames, first = self.frames(queries, keys)
        seen = torch.ones(1, 1, dtype=torch.bool)
        for axis, (size, tiles) in enumerate(zip((frames, *self.grid), self.tiles(frames))):
            tile = torch.arange(size) // self.tile[axis]
            window = min(self.window[axis], tiles)
            start = (tile - window // 2).clamp(0, tiles - window)
            if axis == 0 and self.causal:
                start = tile - window + 1
            near = (tile >= start[:, None]) & (tile < start[:, None] + window)
            near = near[first:] if axis == 0 else near
            seen = (seen[:, None, :, None] & near[None, :, None, :]).flatten(2).flatten(0, 1)
        return seen


def sliding_tile(queries: Tensor, keys: Tensor, values: Tensor, shape: SlidingTile) -> Tensor:
    """queries (B, H, Q, e), keys and values (B, H, K, e) -> (B, H, Q, e). Differentiable through the reference."""
    fits = queries.shape[3] * queries.element_size() <= LARGEST_HEAD and runs(queries, keys, values)
    return (kernel if fits else reference)(queries, keys, values, shape)


def reference(queries: Tensor, keys: Tensor, values: Tensor, shape: SlidingTile) -> Tensor:
    seen = shape.mask(queries.shape[2], keys.shape[2]).to(queries.device)
    scores = queries @ keys.transpose(2, 3) * queries.shape[-1] ** -0.5
    return scores.masked_fill(~seen, -torch.inf).softmax(-1) @ values


def _tiling(tokens: int, size: int, bytes_each: int) -> Tiling:
    """For tiles of `tokens`, cut into blocks where they are large."""
    block = power_of_two(tokens, SMALLEST_DOT)
    rows = min(block, 128 if bytes_each <= 2 else 64)
    return Tiling(rows, min(block, 64), warps=8 if rows * size > 64 * 128 else 4, stages=3 if size <= 64 else 2)


def kernel(queries: Tensor, keys: Tensor, values: Tensor, shape: SlidingTile) -> Tensor:
    queries, keys, values = dense(queries), dense(keys), dense(values)
    batch, heads, rows, size = queries.shape
    frames, first = shape.frames(rows, keys.shape[2])
    tiles = shape.tiles(frames)
    asking = tiles[0] - first // shape.tile[0]
    tokens = shape.tile[0] * shape.tile[1] * shape.tile[2]
    tiling = _tiling(tokens, size, queries.element_size())
    out = torch.empty(queries.shape, dtype=queries.dtype, device=queries.device)
    window = [min(a, b) for a, b in zip(shape.window, tiles)]
    _forward(
        (asking * tiles[1] * tiles[2] * -(-tokens // tiling.rows), batch * heads),
        *(queries, keys, values, out, size**-0.5 * LOG2E, heads, rows, size),
        *(stride for x in (queries, keys, values) for stride in x.stride()[:3]),
        *(frames, first, *shape.grid, *tiles, *shape.tile, *window),
        *(shape.causal, tiling.rows, tiling.columns, power_of_two(size, SMALLEST_DOT)),
        num_warps=tiling.warps,
        num_stages=tiling.stages,
    )
    return out


@Program
def _forward(
    queries_at,
    keys_at,
    values_at,
    out_at,
    scale,
    heads,
    rows,
    size,
    query_batch,
    query_head,
    query_step,
    key_batch,
    key_head,
    key_step,
    value_batch,
    value_head,
    value_step,
    frames,
    first,
    high,
    wide,
    tiles_time,
    tiles_high,
    tiles_wide,
    TIME: tl.constexpr,
    HIGH: tl.constexpr,
    WIDE: tl.constexpr,
    window_time,
    window_high,
    window_wide,
    CAUSAL: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SIZE: tl.constexpr,
):
    """One instance: ROWS tokens of one tile; all of its window's tiles, COLUMNS tokens at a time."""
    PARTS: tl.constexpr = (TIME * HIGH * WIDE + ROWS - 1) // ROWS
    KEY_PARTS: tl.constexpr = (TIME * HIGH * WIDE + COLUMNS - 1) // COLUMNS
    lane = tl.program_id(1).to(tl.int64)
    batch, head = lane // heads, lane % heads
    tile, part = tl.program_id(0) // PARTS, tl.program_id(0) % PARTS
    at_time = tile // (tiles_high * tiles_wide) + first // TIME
    at_high, at_wide = tile // tiles_wide % tiles_high, tile % tiles_wide

    token, channel = part * ROWS + tl.arange(0, ROWS), tl.arange(0, SIZE)
    inside = channel < size
    time = at_time * TIME + token // (HIGH * WIDE)
    row = at_high * HIGH + token // WIDE % HIGH
    column = at_wide * WIDE + token % WIDE
    there = (token < TIME * HIGH * WIDE) & (time >= first) & (time < frames) & (row < high) & (column < wide)
    place = ((time - first) * high + row) * wide + column
    live = there[:, None] & inside[None, :]
    query_at = queries_at + batch * query_batch + head * query_head
    query = tl.load(query_at + place[:, None] * query_step + channel[None, :], mask=live, other=0.0)
    keys_at += batch * key_batch + head * key_head
    values_at += batch * value_batch + head * value_head

    if CAUSAL:
        from_time = tl.maximum(at_time - window_time + 1, 0)
        count_time = at_time + 1 - from_time
    else:
        from_time = tl.minimum(tl.maximum(at_time - window_time // 2, 0), tiles_time - window_time)
        count_time = window_time
    from_high = tl.minimum(tl.maximum(at_high - window_high // 2, 0), tiles_high - window_high)
    from_wide = tl.minimum(tl.maximum(at_wide - window_wide // 2, 0), tiles_wide - window_wide)

    best = tl.full([ROWS], -float("inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    mixed = tl.zeros([ROWS, SIZE], tl.float32)
    for i in range(count_time * window_high * window_wide * KEY_PARTS):
        seen = i // KEY_PARTS
        token_seen = i % KEY_PARTS * COLUMNS + tl.arange(0, COLUMNS)  # type: ignore[reportOperatorIssue] - Triton unwraps it
        time_seen = (from_time + seen // (window_high * window_wide)) * TIME + token_seen // (HIGH * WIDE)
        row_seen = (from_high + seen // window_wide % window_high) * HIGH + token_seen // WIDE % HIGH
        column_seen = (from_wide + seen % window_wide) * WIDE + token_seen % WIDE
        present = (token_seen < TIME * HIGH * WIDE) & (time_seen < frames) & (row_seen < high) & (column_seen < wide)
        place_seen = (time_seen * high + row_seen) * wide + column_seen
        wanted = present[None, :] & inside[:, None]
        key = tl.load(keys_at + place_seen[None, :] * key_step + channel[:, None], mask=wanted, other=0.0)
        scores = tl.dot(query, key, input_precision="tf32x3") * scale
        scores = tl.where(present[None, :], scores, -float("inf"))
        better = tl.maximum(best, tl.max(scores, 1))
        # The window's first block may hold no token at all, where a tile is cut off by the grid's edge.
        known = tl.where(better == -float("inf"), 0.0, better)
        share = tl.exp2(scores - known[:, None])
        fade = tl.exp2(best - known)
        total = total * fade + tl.sum(share, 1)
        wanted = present[:, None] & inside[None, :]
        value = tl.load(values_at + place_seen[:, None] * value_step + channel[None, :], mask=wanted, other=0.0)
        mixed = tl.dot(share.to(value.dtype), value, mixed * fade[:, None], input_precision="tf32x3")
        best = better
    out = out_at + (lane * rows + place)[:, None] * size + channel[None, :]
    tl.store(out, (mixed / total[:, None]).to(out_at.dtype.element_ty), mask=live)

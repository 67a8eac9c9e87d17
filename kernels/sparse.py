"""Block-sparse attention: each block of queries sees only the blocks of keys that a map names (FlashAttention-2's tiling, arXiv
2307.08691). The keys may be a cache's, longer than the queries; slots that are empty are left out of the map.

Shape letters: B batch, H heads, Q queries, K keys, e channels of a head, q k blocks of queries and of keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kernels.launch import LOG2E, SMALLEST_DOT, Program, Tiling, dense, power_of_two, runs

if TYPE_CHECKING:
    import triton.language as tl  # pyright: ignore[reportMissingImports]


LARGEST_TILES = 2**17
"""Bytes of a block of queries, of keys, of values and of gradients: with more, a GPU's shared memory cannot hold them all."""


@dataclass(frozen=True)
class BlockMap:
    """Which blocks of queries see which blocks of keys. Made once, used by all layers and steps that share it."""

    seen: Tensor
    """bool (B or 1, H or 1, q, k)."""
    rows: int
    """Queries in a block: a power of two, 16 or more."""
    columns: int
    """Keys in a block, likewise."""

    def __post_init__(self) -> None:
        for size in (self.rows, self.columns):
            if size < SMALLEST_DOT or size & (size - 1):
                raise ValueError(f"block map: blocks of {size} tokens; they must be a power of two, {SMALLEST_DOT} or more")

    @cached_property
    def by_query(self) -> tuple[Tensor, Tensor]:
        """int32: the key blocks of each query block, seen ones first (., ., q, k), and how many are seen (., ., q)."""
        return _listed(self.seen)

    @cached_property
    def by_key(self) -> tuple[Tensor, Tensor]:
        """The same the other way around: (., ., k, q) and (., ., k)."""
        return _listed(self.seen.transpose(2, 3))

    def mask(self, queries: int, keys: int) -> Tensor:
        """bool (B or 1, H or 1, Q, K)."""
        tokens = self.seen.repeat_interleave(self.rows, 2).repeat_interleave(self.columns, 3)
        return tokens[:, :, :queries, :keys]


def block_sparse(queries: Tensor, keys: Tensor, values: Tensor, blocks: BlockMap) -> Tensor:
    """queries (B, H, Q, e), keys and values (B, H, K, e) -> (B, H, Q, e); zero for queries that see nothing.

    Differentiable everywhere. Raises ValueError for a map of another size.
    """
    wanted = (-(-queries.shape[2] // blocks.rows), -(-keys.shape[2] // blocks.columns))
    if blocks.seen.shape[2:] != wanted:
        raise ValueError(f"block map: {tuple(blocks.seen.shape[2:])} blocks for tokens that make {wanted}")
    tiles = 2 * (blocks.rows + blocks.columns) * power_of_two(queries.shape[3], SMALLEST_DOT) * queries.element_size()
    fits = tiles <= LARGEST_TILES and runs(queries, keys, values, blocks.seen, trains=True)
    return (kernel if fits else reference)(queries, keys, values, blocks)


def reference(queries: Tensor, keys: Tensor, values: Tensor, blocks: BlockMap) -> Tensor:
    scores = queries @ keys.transpose(2, 3) * queries.shape[-1] ** -0.5
    unseen = ~blocks.mask(queries.shape[2], keys.shape[2])
    return scores.masked_fill(unseen, -torch.inf).softmax(-1).masked_fill(unseen, 0) @ values


def kernel(queries: Tensor, keys: Tensor, values: Tensor, blocks: BlockMap) -> Tensor:
    return _BlockSparse.apply(queries, keys, values, blocks)  # pyright: ignore[reportReturnType]


def _tiling(blocks: BlockMap, size: int) -> Tiling:
    wide = blocks.rows * blocks.columns >= 128 * 128 or blocks.rows >= 128 and size > 64
    return Tiling(blocks.rows, blocks.columns, warps=8 if wide else 4, stages=3 if size <= 64 else 2)


def _listed(seen: Tensor) -> tuple[Tensor, Tensor]:
    order = seen.to(torch.uint8).argsort(dim=-1, descending=True, stable=True).to(torch.int32)
    return order.contiguous(), seen.sum(-1, dtype=torch.int32)


def _steps(listed: tuple[Tensor, Tensor], batch: int, heads: int) -> tuple[int, ...]:
    """Strides over batch and heads of the list and of its counts, 0 where all share one."""
    order, counts = (x.expand(batch, heads, *x.shape[2:]) for x in listed)
    return (*order.stride()[:2], *counts.stride()[:2], order.shape[-1])


class _BlockSparse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, blocks: BlockMap) -> Tensor:
        queries, keys, values = dense(queries), dense(keys), dense(values)
        batch, heads, rows, size = queries.shape
        out = torch.empty(queries.shape, dtype=queries.dtype, device=queries.device)
        weight = torch.empty(batch, heads, rows, device=queries.device)
        tiling = _tiling(blocks, size)
        strides = [stride for x in (queries, keys, values) for stride in x.stride()[:3]]
        sizes = (size**-0.5 * LOG2E, heads, rows, keys.shape[2], size, *strides, *_steps(blocks.by_query, batch, heads))
        _forward(
            (-(-rows // tiling.rows), batch * heads),
            *(queries, keys, values, out, weight, *blocks.by_query, *sizes),
            *(tiling.rows, tiling.columns, power_of_two(size, SMALLEST_DOT)),
            num_warps=tiling.warps,
            num_stages=tiling.stages,
        )
        ctx.save_for_backward(queries, keys, values, out, weight)
        ctx.blocks = blocks
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, out, weight = ctx.saved_tensors
        queries, keys, values, gradient = (x.contiguous() for x in (queries, keys, values, gradients[0]))
        blocks: BlockMap = ctx.blocks
        batch, heads, rows, size = queries.shape
        delta = (gradient.float() * out.float()).sum(-1)
        of_queries, of_keys, of_values = (torch.empty_like(x) for x in (queries, keys, values))
        sizes = (size**-0.5, size**-0.5 * LOG2E, heads, rows, keys.shape[2], size)
        tiles = (blocks.rows, blocks.columns, power_of_two(size, SMALLEST_DOT))
        inputs = (queries, keys, values, gradient, weight, delta)
        settings = {"num_warps": 8 if blocks.rows * blocks.columns >= 64 * 128 else 4, "num_stages": 2}
        steps = _steps(blocks.by_key, batch, heads)
        grid = (-(-keys.shape[2] // blocks.columns), batch * heads)
        _backward_keys(grid, *inputs, of_keys, of_values, *blocks.by_key, *sizes, *steps, *tiles, **settings)
        steps = _steps(blocks.by_query, batch, heads)
        grid = (-(-rows // blocks.rows), batch * heads)
        _backward_queries(grid, *inputs, of_queries, *blocks.by_query, *sizes, *steps, *tiles, **settings)
        return of_queries, of_keys, of_values, None


@Program
def _forward(
    queries_at,
    keys_at,
    values_at,
    out_at,
    weight_at,
    order_at,
    counts_at,
    scale,
    heads,
    rows,
    columns,
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
    order_batch,
    order_head,
    counts_batch,
    counts_head,
    order_step,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SIZE: tl.constexpr,
):
    """One instance: a block of queries. Keeps for the backward pass the logarithm (to base 2) of each query's total weight."""
    block, lane = tl.program_id(0), tl.program_id(1).to(tl.int64)
    batch, head = lane // heads, lane % heads
    row, channel = block * ROWS + tl.arange(0, ROWS), tl.arange(0, SIZE)
    inside = channel < size
    live = (row < rows)[:, None] & inside[None, :]
    query_at = queries_at + batch * query_batch + head * query_head
    query = tl.load(query_at + row[:, None] * query_step + channel[None, :], mask=live, other=0.0)
    keys_at += batch * key_batch + head * key_head
    values_at += batch * value_batch + head * value_head
    order_at += batch * order_batch + head * order_head + block * order_step
    count = tl.load(counts_at + batch * counts_batch + head * counts_head + block)
    best = tl.full([ROWS], -float("inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    mixed = tl.zeros([ROWS, SIZE], tl.float32)
    for i in range(count):
        column = tl.load(order_at + i) * COLUMNS + tl.arange(0, COLUMNS)
        there = column < columns
        wanted = there[None, :] & inside[:, None]
        key = tl.load(keys_at + column[None, :] * key_step + channel[:, None], mask=wanted, other=0.0)
        scores = tl.dot(query, key, input_precision="tf32x3") * scale
        scores = tl.where(there[None, :], scores, -float("inf"))
        better = tl.maximum(best, tl.max(scores, 1))
        share = tl.exp2(scores - better[:, None])
        fade = tl.exp2(best - better)
        total = total * fade + tl.sum(share, 1)
        wanted = there[:, None] & inside[None, :]
        value = tl.load(values_at + column[:, None] * value_step + channel[None, :], mask=wanted, other=0.0)
        mixed = tl.dot(share.to(value.dtype), value, mixed * fade[:, None], input_precision="tf32x3")
        best = better
    some = tl.where(total > 0, total, 1.0)
    out = out_at + (lane * rows + row)[:, None] * size + channel[None, :]
    tl.store(out, (mixed / some[:, None]).to(out_at.dtype.element_ty), mask=live)
    tl.store(weight_at + lane * rows + row, best + tl.log2(some), mask=row < rows)


@Program
def _backward_keys(
    queries_at,
    keys_at,
    values_at,
    gradient_at,
    weight_at,
    delta_at,
    of_keys_at,
    of_values_at,
    order_at,
    counts_at,
    scale,
    exponent,
    heads,
    rows,
    columns,
    size,
    order_batch,
    order_head,
    counts_batch,
    counts_head,
    order_step,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SIZE: tl.constexpr,
):
    """One instance: a block of keys and values, and all blocks of queries that see it."""
    block, lane = tl.program_id(0), tl.program_id(1).to(tl.int64)
    batch, head = lane // heads, lane % heads
    column, channel = block * COLUMNS + tl.arange(0, COLUMNS), tl.arange(0, SIZE)
    inside = channel < size
    live = (column < columns)[:, None] & inside[None, :]
    column_at = (lane * columns + column)[:, None] * size + channel[None, :]
    key = tl.load(keys_at + column_at, mask=live, other=0.0)
    value = tl.load(values_at + column_at, mask=live, other=0.0)
    order_at += batch * order_batch + head * order_head + block * order_step
    count = tl.load(counts_at + batch * counts_batch + head * counts_head + block)
    of_key = tl.zeros([COLUMNS, SIZE], tl.float32)
    of_value = tl.zeros([COLUMNS, SIZE], tl.float32)
    for i in range(count):
        row = tl.load(order_at + i) * ROWS + tl.arange(0, ROWS)
        there = row < rows
        wanted = there[:, None] & inside[None, :]
        at = (lane * rows + row)[:, None] * size + channel[None, :]
        query = tl.load(queries_at + at, mask=wanted, other=0.0)
        gradient = tl.load(gradient_at + at, mask=wanted, other=0.0)
        weight = tl.load(weight_at + lane * rows + row, mask=there, other=float("inf"))
        delta = tl.load(delta_at + lane * rows + row, mask=there, other=0.0)
        scores = tl.dot(key, tl.trans(query), input_precision="tf32x3")
        share = tl.exp2(scores * exponent - weight[None, :])
        of_value = tl.dot(share.to(gradient.dtype), gradient, of_value, input_precision="tf32x3")
        of_share = tl.dot(value, tl.trans(gradient), input_precision="tf32x3")
        of_scores = share * (of_share - delta[None, :])
        of_key = tl.dot(of_scores.to(query.dtype), query, of_key, input_precision="tf32x3")
    tl.store(of_keys_at + column_at, (of_key * scale).to(of_keys_at.dtype.element_ty), mask=live)
    tl.store(of_values_at + column_at, of_value.to(of_values_at.dtype.element_ty), mask=live)


@Program
def _backward_queries(
    queries_at,
    keys_at,
    values_at,
    gradient_at,
    weight_at,
    delta_at,
    of_queries_at,
    order_at,
    counts_at,
    scale,
    exponent,
    heads,
    rows,
    columns,
    size,
    order_batch,
    order_head,
    counts_batch,
    counts_head,
    order_step,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SIZE: tl.constexpr,
):
    """One instance: a block of queries, and all blocks of keys that it sees."""
    block, lane = tl.program_id(0), tl.program_id(1).to(tl.int64)
    batch, head = lane // heads, lane % heads
    row, channel = block * ROWS + tl.arange(0, ROWS), tl.arange(0, SIZE)
    inside = channel < size
    live = (row < rows)[:, None] & inside[None, :]
    row_at = (lane * rows + row)[:, None] * size + channel[None, :]
    query = tl.load(queries_at + row_at, mask=live, other=0.0)
    gradient = tl.load(gradient_at + row_at, mask=live, other=0.0)
    weight = tl.load(weight_at + lane * rows + row, mask=row < rows, other=float("inf"))
    delta = tl.load(delta_at + lane * rows + row, mask=row < rows, other=0.0)
    order_at += batch * order_batch + head * order_head + block * order_step
    count = tl.load(counts_at + batch * counts_batch + head * counts_head + block)
    of_query = tl.zeros([ROWS, SIZE], tl.float32)
    for i in range(count):
        column = tl.load(order_at + i) * COLUMNS + tl.arange(0, COLUMNS)
        wanted = (column < columns)[:, None] & inside[None, :]
        at = (lane * columns + column)[:, None] * size + channel[None, :]
        key = tl.load(keys_at + at, mask=wanted, other=0.0)
        value = tl.load(values_at + at, mask=wanted, other=0.0)
        scores = tl.dot(query, tl.trans(key), input_precision="tf32x3")
        share = tl.where((column < columns)[None, :], tl.exp2(scores * exponent - weight[:, None]), 0.0)
        of_share = tl.dot(gradient, tl.trans(value), input_precision="tf32x3")
        of_scores = share * (of_share - delta[:, None])
        of_query = tl.dot(of_scores.to(key.dtype), key, of_query, input_precision="tf32x3")
    tl.store(of_queries_at + row_at, (of_query * scale).to(of_queries_at.dtype.element_ty), mask=live)

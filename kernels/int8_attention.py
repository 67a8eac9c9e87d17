"""Attention whose scores are multiplied in 8-bit integers (SageAttention, arXiv 2410.02367): keys lose their mean over tokens,
which softmax does not see and which is most of what makes them hard to round; values and weights stay as they are.

Shape letters: B batch, H heads, Q queries, K keys, e channels of a head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kernels import quantize
from kernels.launch import LARGEST_HEAD, LOG2E, Program, Tiling, dense, power_of_two, runs
from kernels.quantize import INT8

if TYPE_CHECKING:
    import triton.language as tl  # pyright: ignore[reportMissingImports]

LEAST_DEPTH = 32
"""Of a product of 8-bit numbers on tensor cores."""


def int8_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """queries (B, H, Q, e), keys and values (B, H, K, e) -> (B, H, Q, e); all queries see all keys. Not differentiable."""
    fits = values.shape[3] * values.element_size() <= LARGEST_HEAD and runs(queries, keys, values)
    return (kernel if fits else reference)(queries, keys, values)


def reference(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    keys = keys.flatten(0, 1)
    query_numbers, query_scales = quantize.reference(queries.flatten(0, 1), INT8)
    key_numbers, key_scales = quantize.reference(keys, INT8, keys.float().mean(1))
    scores = (query_numbers.float() @ key_numbers.float().mT) * query_scales[:, :, None] * key_scales[:, None]
    weights = (scores * queries.shape[-1] ** -0.5).softmax(-1)
    return (weights.view(*queries.shape[:2], *weights.shape[1:]) @ values.float()).to(values.dtype)


def _tiling(size: int) -> Tiling:
    return Tiling(128, 64, warps=4, stages=3) if size <= 64 else Tiling(128, 64, warps=8, stages=3)


def kernel(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    values, flat = dense(values), keys.flatten(0, 1)
    batch, heads, rows, size = queries.shape
    query_numbers, query_scales = quantize.kernel(queries.flatten(0, 1), INT8)
    key_numbers, key_scales = quantize.kernel(flat, INT8, flat.mean(1, dtype=torch.float32))
    out = torch.empty(queries.shape, dtype=values.dtype, device=queries.device)
    tiling = _tiling(size)
    _forward(
        (-(-rows // tiling.rows), batch * heads),
        *(query_numbers, key_numbers, values, query_scales, key_scales, out),
        *(size**-0.5 * LOG2E, heads, rows, keys.shape[2], size, *values.stride()[:3]),
        *(tiling.rows, tiling.columns, power_of_two(size, LEAST_DEPTH)),
        num_warps=tiling.warps,
        num_stages=tiling.stages,
    )
    return out


@Program
def _forward(
    queries_at,
    keys_at,
    values_at,
    query_scales_at,
    key_scales_at,
    out_at,
    scale,
    heads,
    rows,
    columns,
    size,
    value_batch,
    value_head,
    value_step,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SIZE: tl.constexpr,
):
    """One instance: a block of queries, all keys."""
    lane = tl.program_id(1).to(tl.int64)
    row, channel = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, SIZE)
    inside = channel < size
    live = (row < rows)[:, None] & inside[None, :]
    row_at = (lane * rows + row)[:, None] * size + channel[None, :]
    query = tl.load(queries_at + row_at, mask=live, other=0)
    query_scale = tl.load(query_scales_at + lane * rows + row, mask=row < rows, other=0.0) * scale
    keys_at += lane * columns * size
    key_scales_at += lane * columns
    values_at += (lane // heads) * value_batch + (lane % heads) * value_head
    best = tl.full([ROWS], -float("inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    mixed = tl.zeros([ROWS, SIZE], tl.float32)
    for start in range(0, columns, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        there = column < columns
        key = tl.load(keys_at + column[None, :] * size + channel[:, None], mask=there[None, :] & inside[:, None], other=0)
        key_scale = tl.load(key_scales_at + column, mask=there, other=0.0)
        scores = tl.dot(query, key, out_dtype=tl.int32).to(tl.float32) * key_scale[None, :] * query_scale[:, None]
        scores = tl.where(there[None, :], scores, -float("inf"))
        better = tl.maximum(best, tl.max(scores, 1))
        share = tl.exp2(scores - better[:, None])
        fade = tl.exp2(best - better)
        total = total * fade + tl.sum(share, 1)
        wanted = there[:, None] & inside[None, :]
        value = tl.load(values_at + column[:, None] * value_step + channel[None, :], mask=wanted, other=0.0)
        mixed = tl.dot(share.to(value.dtype), value, mixed * fade[:, None], input_precision="tf32x3")
        best = better
    tl.store(out_at + row_at, (mixed / total[:, None]).to(out_at.dtype.element_ty), mask=live)

"""Linear attention with a ReLU kernel (SANA, arXiv 2410.10629), causal over chunks and full within one: what has been seen is
one matrix a head, however long ago it was.

Shape letters: B batch, H heads, N tokens, e channels of a head's queries and keys, p of its values, c chunks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.launch import SMALLEST_DOT, Program, dense, power_of_two, runs

if TYPE_CHECKING:
    import triton.language as tl  # pyright: ignore[reportMissingImports]

FLOOR = 1e-6
"""The least total weight that a query divides by."""
LARGEST_SIZE = 128
"""Channels of a head up to which its matrix stays in registers."""
TILE = 64
"""Tokens worked on at once."""
SPAN = 16
"""Tiles of a chunk that one program sums."""

State = tuple[Tensor, Tensor]
"""What later chunks need of earlier ones, float32: sums of keys times values (B, H, e, p), and of keys (B, H, e)."""


def linear_attention(
    queries: Tensor, keys: Tensor, values: Tensor, chunk: int, state: State | None = None
) -> tuple[Tensor, State]:
    """queries and keys (B, H, N, e), values (B, H, N, p) -> (B, H, N, p), and the state after them.

    `chunk` is how many tokens see each other whole, as those of a frame; the last one may be shorter. `state` is what came
    before. Differentiable through the reference.
    """
    fits = max(keys.shape[3], values.shape[3]) <= LARGEST_SIZE and runs(queries, keys, values, *(state or ()))
    return (kernel if fits else reference)(queries, keys, values, chunk, state)


def reference(queries: Tensor, keys: Tensor, values: Tensor, chunk: int, state: State | None = None) -> tuple[Tensor, State]:
    tokens = queries.shape[2]
    q, k, v = (F.pad(x.float(), (0, 0, 0, -tokens % chunk)).unflatten(2, (-1, chunk)) for x in (queries, keys, values))
    q, k = q.relu(), k.relu()
    sums, weights = _running((k.mT @ v, k.sum(3)), state)
    out = (q @ sums) / (q @ weights[..., None]).clamp(min=FLOOR)
    return out.flatten(2, 3)[:, :, :tokens].to(values.dtype), (sums[:, :, -1], weights[:, :, -1])


def _running(parts: State, state: State | None) -> State:
    """Sums over chunks so far, each (B, H, c, ...), of each chunk's own."""
    sums, weights = (x.cumsum(2) for x in parts)
    return (sums, weights) if state is None else (sums + state[0][:, :, None], weights + state[1][:, :, None])


def kernel(queries: Tensor, keys: Tensor, values: Tensor, chunk: int, state: State | None = None) -> tuple[Tensor, State]:
    queries, keys, values = dense(queries), dense(keys), dense(values)
    batch, heads, tokens, size = keys.shape
    mixed = values.shape[3]
    chunks, tiles = -(-tokens // chunk), -(-chunk // TILE)
    splits = -(-tiles // SPAN)
    blocks = (power_of_two(size, SMALLEST_DOT), power_of_two(mixed, SMALLEST_DOT))
    sums = torch.empty(batch, heads, chunks, splits, size, mixed, device=keys.device)
    weights = torch.empty(batch, heads, chunks, splits, size, device=keys.device)
    strides = (*keys.stride()[:3], *values.stride()[:3])
    sizes = (heads, tokens, chunk, size, mixed)
    _sum((splits, chunks, batch * heads), keys, values, sums, weights, *sizes, *strides, TILE, SPAN, *blocks)
    running = _running((sums.sum(3), weights.sum(3)), state)
    out = torch.empty(batch, heads, tokens, mixed, dtype=values.dtype, device=keys.device)
    read = (queries, *running, out, *sizes, *queries.stride()[:3], FLOOR)
    _read((tiles, chunks, batch * heads), *read, TILE, *blocks)
    return out, (running[0][:, :, -1], running[1][:, :, -1])


@Program
def _sum(
    keys_at,
    values_at,
    sums_at,
    weights_at,
    heads,
    tokens,
    chunk,
    size,
    mixed,
    key_batch,
    key_head,
    key_step,
    value_batch,
    value_head,
    value_step,
    TILE: tl.constexpr,
    SPAN: tl.constexpr,
    SIZE: tl.constexpr,
    MIXED: tl.constexpr,
):
    """One instance: up to SPAN tiles of one chunk."""
    split, lane = tl.program_id(0), tl.program_id(2).to(tl.int64)
    channel, value_channel = tl.arange(0, SIZE), tl.arange(0, MIXED)
    keys_at += (lane // heads) * key_batch + (lane % heads) * key_head
    values_at += (lane // heads) * value_batch + (lane % heads) * value_head
    total = tl.zeros([SIZE, MIXED], tl.float32)
    weight = tl.zeros([SIZE], tl.float32)
    last = tl.minimum((split + 1) * SPAN * TILE, chunk)
    for start in range(split * SPAN * TILE, last, TILE):
        within = start + tl.arange(0, TILE)
        token = tl.program_id(1) * chunk + within
        there = (within < chunk) & (token < tokens)
        wanted = there[None, :] & (channel < size)[:, None]
        key = tl.load(keys_at + token[None, :] * key_step + channel[:, None], mask=wanted, other=0.0)
        key = tl.maximum(key, 0.0).to(keys_at.dtype.element_ty)
        wanted = there[:, None] & (value_channel < mixed)[None, :]
        value = tl.load(values_at + token[:, None] * value_step + value_channel[None, :], mask=wanted, other=0.0)
        total = tl.dot(key, value, total, input_precision="tf32x3")
        weight += tl.sum(key.to(tl.float32), 1)
    place = (lane * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0) + split
    inside = (channel < size)[:, None] & (value_channel < mixed)[None, :]
    tl.store(sums_at + place * size * mixed + channel[:, None] * mixed + value_channel[None, :], total, mask=inside)
    tl.store(weights_at + place * size + channel, weight, mask=channel < size)


@Program
def _read(
    queries_at,
    sums_at,
    weights_at,
    out_at,
    heads,
    tokens,
    chunk,
    size,
    mixed,
    query_batch,
    query_head,
    query_step,
    floor,
    TILE: tl.constexpr,
    SIZE: tl.constexpr,
    MIXED: tl.constexpr,
):
    """One instance: one tile of one chunk's queries."""
    lane = tl.program_id(2).to(tl.int64)
    channel, value_channel = tl.arange(0, SIZE), tl.arange(0, MIXED)
    within = tl.program_id(0) * TILE + tl.arange(0, TILE)
    token = tl.program_id(1) * chunk + within
    there = (within < chunk) & (token < tokens)
    wanted = there[:, None] & (channel < size)[None, :]
    query_at = queries_at + (lane // heads) * query_batch + (lane % heads) * query_head
    query = tl.load(query_at + token[:, None] * query_step + channel[None, :], mask=wanted, other=0.0)
    query = tl.maximum(query, 0.0).to(queries_at.dtype.element_ty)
    place = lane * tl.num_programs(1) + tl.program_id(1)
    inside = (channel < size)[:, None] & (value_channel < mixed)[None, :]
    sums_from = sums_at + place * size * mixed + channel[:, None] * mixed + value_channel[None, :]
    sums = tl.load(sums_from, mask=inside, other=0.0)
    weight = tl.load(weights_at + place * size + channel, mask=channel < size, other=0.0)
    total = tl.maximum(tl.sum(query.to(tl.float32) * weight[None, :], 1), floor)
    # Sums grow with all that was seen, beyond what half precision holds; what each query divides by grows with them.
    out = tl.dot(query.to(tl.float32), sums, input_precision="tf32x3") / total[:, None]
    out_from = out_at + (lane * tokens + token)[:, None] * mixed + value_channel[None, :]
    tl.store(out_from, out.to(out_at.dtype.element_ty), mask=there[:, None] & (value_channel < mixed)[None, :])

"""Normalized queries and keys (QK norm, arXiv 2302.05442), turned by their places (RoFormer, arXiv 2104.09864), in one pass.

Shape letters: B batch, N tokens, H heads, e channels of a head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kernels.launch import Program, dense, power_of_two, runs

if TYPE_CHECKING:
    import triton.language as tl  # pyright: ignore[reportMissingImports]

TILE = 2048
"""Numbers that one program holds at once."""
Heads = tuple[Tensor, Tensor, Tensor]
"""Turned queries, turned keys, and keys not yet turned, for a cache to keep: each (B, H, N, e)."""


def normed_heads(pairs: Tensor, query_weight: Tensor, key_weight: Tensor, cos: Tensor, sin: Tensor, floor: float) -> Heads:
    """Queries and keys as they leave their projection, (B, N, 2, H, e), normalized and turned. Differentiable everywhere.

    Weights (e,) are those of the norms; `floor` is the root mean square below which a vector counts as this long. cos and sin
    (N, e) turn the channel pairs (i, i + e/2), sin negated in the first half; they get no gradient.
    """
    choice = kernel if runs(pairs, query_weight, key_weight, cos, sin, trains=True) else reference
    return choice(pairs, query_weight, key_weight, cos, sin, floor)


def reference(pairs: Tensor, query_weight: Tensor, key_weight: Tensor, cos: Tensor, sin: Tensor, floor: float) -> Heads:
    parts, root = pairs.permute(2, 0, 3, 1, 4), pairs.shape[-1] ** 0.5
    gain = torch.stack([query_weight, key_weight])[:, None, None, None] * root
    normed = parts * gain / torch.linalg.vector_norm(parts, dim=-1, keepdim=True).clamp(min=floor * root)
    turned = torch.addcmul(normed * cos, normed.roll(normed.shape[-1] // 2, -1), sin)
    return turned[0], turned[1], normed[1]


def kernel(pairs: Tensor, query_weight: Tensor, key_weight: Tensor, cos: Tensor, sin: Tensor, floor: float) -> Heads:
    return _Heads.apply(pairs, query_weight, key_weight, cos, sin, floor)  # pyright: ignore[reportReturnType]


class _Heads(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, pairs: Tensor, query_weight: Tensor, key_weight: Tensor, cos: Tensor, sin: Tensor, floor: float
    ) -> Heads:
        pairs, cos, sin = dense(pairs), cos.contiguous(), sin.contiguous()
        batch, tokens, _, heads, size = pairs.shape
        out = pairs.new_empty(3, batch, heads, tokens, size)
        half = power_of_two(size // 2)
        tile = max(1, TILE // half)
        grid = (-(-tokens // tile), batch * heads, 2)
        sizes = (tokens, heads, size, *pairs.stride()[:4], out.stride(0), floor**2 * size)
        _forward(grid, pairs, query_weight, key_weight, cos, sin, out, *sizes, tile, half)
        ctx.save_for_backward(pairs, query_weight, key_weight, cos, sin)
        ctx.floor = floor
        return out[0], out[1], out[2]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        pairs, query_weight, key_weight, cos, sin = ctx.saved_tensors
        of_queries, of_keys, of_kept = (g.contiguous() for g in gradients)
        batch, tokens, _, heads, size = pairs.shape
        out = torch.empty(pairs.shape, dtype=pairs.dtype, device=pairs.device)
        half = power_of_two(size // 2)
        tile = max(1, TILE // half)
        tiles = -(-tokens // tile)
        sums = torch.empty(2, batch * heads, tiles, size, device=pairs.device)
        sizes = (tokens, heads, size, *pairs.stride()[:4], *out.stride()[:4], sums.stride(0), ctx.floor**2 * size)
        tensors = (pairs, query_weight, key_weight, cos, sin, of_queries, of_keys, of_kept, out, sums)
        _backward((tiles, batch * heads, 2), *tensors, *sizes, tile, half)
        of_weights = sums.sum((1, 2))
        return out, of_weights[0].to(query_weight.dtype), of_weights[1].to(key_weight.dtype), None, None, None


@Program
def _forward(
    pairs_at,
    query_weight_at,
    key_weight_at,
    cos_at,
    sin_at,
    out_at,
    tokens,
    heads,
    size,
    batch_step,
    token_step,
    part_step,
    head_step,
    out_step,
    least,
    TILE: tl.constexpr,
    HALF: tl.constexpr,
):
    """One instance: TILE tokens of one head, queries (0) or keys (1). `least` is the smallest squared length."""
    lane, part = tl.program_id(1).to(tl.int64), tl.program_id(2)
    token, pair = tl.program_id(0) * TILE + tl.arange(0, TILE), tl.arange(0, HALF)
    half = size // 2
    inside = pair < half
    live = (token < tokens)[:, None] & inside[None, :]
    base = pairs_at + (lane // heads) * batch_step + (lane % heads) * head_step + part * part_step
    at = token.to(tl.int64)[:, None] * token_step + pair[None, :]
    first = tl.load(base + at, mask=live, other=0.0).to(tl.float32)
    second = tl.load(base + at + half, mask=live, other=0.0).to(tl.float32)
    if part == 0:
        weight_first = tl.load(query_weight_at + pair, mask=inside, other=0.0).to(tl.float32)
        weight_second = tl.load(query_weight_at + half + pair, mask=inside, other=0.0).to(tl.float32)
    else:
        weight_first = tl.load(key_weight_at + pair, mask=inside, other=0.0).to(tl.float32)
        weight_second = tl.load(key_weight_at + half + pair, mask=inside, other=0.0).to(tl.float32)
    squared = tl.sum(first * first, 1) + tl.sum(second * second, 1)
    shorten = tl.sqrt(size / tl.maximum(squared, least))[:, None]
    first = first * weight_first[None, :] * shorten
    second = second * weight_second[None, :] * shorten
    angle = token[:, None] * size + pair[None, :]
    cos_first = tl.load(cos_at + angle, mask=live, other=0.0).to(tl.float32)
    cos_second = tl.load(cos_at + angle + half, mask=live, other=0.0).to(tl.float32)
    sin_first = tl.load(sin_at + angle, mask=live, other=0.0).to(tl.float32)
    sin_second = tl.load(sin_at + angle + half, mask=live, other=0.0).to(tl.float32)
    kind = out_at.dtype.element_ty
    out = out_at + part * out_step + (lane * tokens + token.to(tl.int64))[:, None] * size + pair[None, :]
    tl.store(out, (first * cos_first + second * sin_first).to(kind), mask=live)
    tl.store(out + half, (second * cos_second + first * sin_second).to(kind), mask=live)
    kept = (token < tokens * part)[:, None] & inside[None, :]
    tl.store(out + out_step, first.to(kind), mask=kept)
    tl.store(out + out_step + half, second.to(kind), mask=kept)


@Program
def _backward(
    pairs_at,
    query_weight_at,
    key_weight_at,
    cos_at,
    sin_at,
    of_queries_at,
    of_keys_at,
    of_kept_at,
    out_at,
    sums_at,
    tokens,
    heads,
    size,
    batch_step,
    token_step,
    part_step,
    head_step,
    out_batch_step,
    out_token_step,
    out_part_step,
    out_head_step,
    sums_step,
    least,
    TILE: tl.constexpr,
    HALF: tl.constexpr,
):
    """One instance: TILE tokens of one head, queries (0) or keys (1), and their share of the gradient of the norm's weight."""
    lane, part = tl.program_id(1).to(tl.int64), tl.program_id(2)
    token, pair = tl.program_id(0) * TILE + tl.arange(0, TILE), tl.arange(0, HALF)
    half = size // 2
    inside = pair < half
    live = (token < tokens)[:, None] & inside[None, :]
    base = pairs_at + (lane // heads) * batch_step + (lane % heads) * head_step + part * part_step
    at = token.to(tl.int64)[:, None] * token_step + pair[None, :]
    first = tl.load(base + at, mask=live, other=0.0).to(tl.float32)
    second = tl.load(base + at + half, mask=live, other=0.0).to(tl.float32)
    row = (lane * tokens + token.to(tl.int64))[:, None] * size + pair[None, :]
    if part == 0:
        weight_first = tl.load(query_weight_at + pair, mask=inside, other=0.0).to(tl.float32)
        weight_second = tl.load(query_weight_at + half + pair, mask=inside, other=0.0).to(tl.float32)
        turned_first = tl.load(of_queries_at + row, mask=live, other=0.0).to(tl.float32)
        turned_second = tl.load(of_queries_at + row + half, mask=live, other=0.0).to(tl.float32)
    else:
        weight_first = tl.load(key_weight_at + pair, mask=inside, other=0.0).to(tl.float32)
        weight_second = tl.load(key_weight_at + half + pair, mask=inside, other=0.0).to(tl.float32)
        turned_first = tl.load(of_keys_at + row, mask=live, other=0.0).to(tl.float32)
        turned_second = tl.load(of_keys_at + row + half, mask=live, other=0.0).to(tl.float32)
    kept = (token < tokens * part)[:, None] & inside[None, :]
    angle = token[:, None] * size + pair[None, :]
    pull_first = tl.load(of_kept_at + row, mask=kept, other=0.0).to(tl.float32)
    pull_first += turned_first * tl.load(cos_at + angle, mask=live, other=0.0).to(tl.float32)
    pull_first += turned_second * tl.load(sin_at + angle + half, mask=live, other=0.0).to(tl.float32)
    pull_second = tl.load(of_kept_at + row + half, mask=kept, other=0.0).to(tl.float32)
    pull_second += turned_second * tl.load(cos_at + angle + half, mask=live, other=0.0).to(tl.float32)
    pull_second += turned_first * tl.load(sin_at + angle, mask=live, other=0.0).to(tl.float32)
    squared = tl.sum(first * first, 1) + tl.sum(second * second, 1)
    shorten = tl.sqrt(size / tl.maximum(squared, least))[:, None]
    sums = sums_at + part * sums_step + (lane * tl.num_programs(0) + tl.program_id(0)) * size + pair
    tl.store(sums, tl.sum(pull_first * first * shorten, 0), mask=inside)
    tl.store(sums + half, tl.sum(pull_second * second * shorten, 0), mask=inside)
    pull_first = pull_first * weight_first[None, :]
    pull_second = pull_second * weight_second[None, :]
    along = tl.sum(pull_first * first, 1) + tl.sum(pull_second * second, 1)
    along = tl.where(squared > least, along / tl.maximum(squared, least), 0.0)[:, None]
    out = out_at + (lane // heads) * out_batch_step + (lane % heads) * out_head_step + part * out_part_step
    out += token.to(tl.int64)[:, None] * out_token_step + pair[None, :]
    kind = out_at.dtype.element_ty
    tl.store(out, ((pull_first - first * along) * shorten).to(kind), mask=live)
    tl.store(out + half, ((pull_second - second * along) * shorten).to(kind), mask=live)

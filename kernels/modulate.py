"""Layer norm without weights, then shift and scale (adaptive layer norm, DiT, arXiv 2212.09748), in one pass over the tokens.

Shape letters: n tokens that share a shift and a scale, d channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.launch import Program, power_of_two, runs

if TYPE_CHECKING:
    import triton.language as tl  # pyright: ignore[reportMissingImports]

EPSILON = 1e-5
"""Added to the variance."""
TILE = 4096
"""Numbers that one program holds at once."""
SPAN = 16
"""Tiles whose gradients of shift and scale one program sums."""


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (..., n, d), normalized over d, times 1 + scale (..., 1, d), plus shift (..., 1, d). Differentiable everywhere."""
    return (kernel if runs(x, shift, scale, trains=True) else reference)(x, shift, scale)


def reference(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=EPSILON), 1 + scale)


def kernel(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return _Modulated.apply(x, shift, scale)  # pyright: ignore[reportReturnType]


class _Modulated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        x = x.contiguous()
        tokens, width = x.shape[-2:]
        flat_shift, flat_scale = _rows(shift, width), _rows(scale, width)
        out = torch.empty_like(x)
        rows, block = x.numel() // width, power_of_two(width)
        tile = max(1, TILE // block)
        steps = (flat_shift.stride(0), flat_scale.stride(0))
        _forward((-(-rows // tile),), x, flat_shift, flat_scale, out, rows, tokens, width, *steps, EPSILON, tile, block)
        ctx.save_for_backward(x, flat_scale)
        ctx.shape = shift.shape
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, scale = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        tokens, width = x.shape[-2:]
        frames, block = x.numel() // width // tokens, power_of_two(width)
        tile = max(1, TILE // block)
        splits = -(-tokens // (tile * SPAN))
        out = torch.empty_like(x)
        sums = torch.empty(2, frames, splits, width, device=x.device)
        sizes = (tokens, width, splits, sums.stride(0), scale.stride(0))
        _backward((frames, splits), x, scale, gradient, out, sums, *sizes, EPSILON, tile, SPAN, block)
        shift_gradient, scale_gradient = sums.sum(2).to(scale.dtype).unbind(0)
        return out, shift_gradient.view(ctx.shape), scale_gradient.view(ctx.shape)


def _rows(x: Tensor, width: int) -> Tensor:
    """(..., 1, d) -> (rows, d), a view where the rows lie evenly."""
    rows = x.reshape(-1, width)
    return rows if rows.stride(1) == 1 else rows.contiguous()


@Program
def _forward(
    x_at,
    shift_at,
    scale_at,
    out_at,
    rows,
    tokens,
    width,
    shift_step,
    scale_step,
    epsilon,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """One instance: ROWS tokens."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channel = tl.arange(0, WIDTH)
    live = (row < rows)[:, None] & (channel < width)[None, :]
    at = row[:, None] * width + channel[None, :]
    x = tl.load(x_at + at, mask=live, other=0.0).to(tl.float32)
    centred = tl.where(live, x - (tl.sum(x, 1) / width)[:, None], 0.0)
    normed = centred * tl.rsqrt(tl.sum(centred * centred, 1) / width + epsilon)[:, None]
    frame = (row // tokens)[:, None]
    scale = tl.load(scale_at + frame * scale_step + channel[None, :], mask=live, other=0.0).to(tl.float32)
    shift = tl.load(shift_at + frame * shift_step + channel[None, :], mask=live, other=0.0).to(tl.float32)
    tl.store(out_at + at, (normed * (1.0 + scale) + shift).to(out_at.dtype.element_ty), mask=live)


@Program
def _backward(
    x_at,
    scale_at,
    gradient_at,
    out_at,
    sums_at,
    tokens,
    width,
    splits,
    sums_step,
    scale_step,
    epsilon,
    ROWS: tl.constexpr,
    SPAN: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """One instance: SPAN tiles of one frame's tokens, and their share of the gradients of its shift and scale."""
    frame, split = tl.program_id(0).to(tl.int64), tl.program_id(1)
    channel = tl.arange(0, WIDTH)
    inside = channel < width
    scale = 1.0 + tl.load(scale_at + frame * scale_step + channel, mask=inside, other=0.0).to(tl.float32)
    shift_sum = tl.zeros([WIDTH], tl.float32)
    scale_sum = tl.zeros([WIDTH], tl.float32)
    for i in range(SPAN):
        token = (split * SPAN + i) * ROWS + tl.arange(0, ROWS)
        live = (token < tokens)[:, None] & inside[None, :]
        at = (frame * tokens + token)[:, None] * width + channel[None, :]
        x = tl.load(x_at + at, mask=live, other=0.0).to(tl.float32)
        gradient = tl.load(gradient_at + at, mask=live, other=0.0).to(tl.float32)
        centred = tl.where(live, x - (tl.sum(x, 1) / width)[:, None], 0.0)
        spread = tl.rsqrt(tl.sum(centred * centred, 1) / width + epsilon)[:, None]
        normed = centred * spread
        shift_sum += tl.sum(gradient, 0)
        scale_sum += tl.sum(gradient * normed, 0)
        pull = gradient * scale[None, :]
        along = (tl.sum(pull * normed, 1) / width)[:, None]
        out = (pull - (tl.sum(pull, 1) / width)[:, None] - normed * along) * spread
        tl.store(out_at + at, out.to(out_at.dtype.element_ty), mask=live)
    sums = sums_at + (frame * splits + split) * width + channel
    tl.store(sums, shift_sum, mask=inside)
    tl.store(sums + sums_step, scale_sum, mask=inside)

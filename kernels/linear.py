"""A linear layer in 8 bits, integers or floats: weights with a scale per output channel, activations with one per row, found in
the pass that rounds them; products are summed in 32 bits, scaled and biased as they are written.

Shape letters: r rows, d channels in, o channels out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels import quantize
from kernels.launch import SMALLEST_DOT, Program, Tiling, power_of_two, runs
from kernels.quantize import INT8

if TYPE_CHECKING:
    import triton.language as tl  # pyright: ignore[reportMissingImports]

BAND = 8
"""Row tiles worked on side by side, so that they find each other's weights in the cache."""


@dataclass(frozen=True, slots=True)
class QuantizedWeight:
    """A weight (o, d) in 8 bits."""

    numbers: Tensor
    """(o, d), `quantize.INT8` or `quantize.FLOAT8`."""
    scales: Tensor
    """float32 (o,)."""

    @classmethod
    def of(cls, weight: Tensor, kind: torch.dtype) -> QuantizedWeight:
        numbers, scales = quantize.quantized_rows(weight.detach()[None], kind)
        return cls(numbers[0], scales[0])


def quantized_linear(x: Tensor, weight: QuantizedWeight, bias: Tensor | None = None) -> Tensor:
    """x (..., d) -> (..., o) in x's precision. Differentiable in x and bias, as if nothing were rounded."""
    fits = runs(x, weight.numbers, bias) and quantize.takes(weight.numbers.dtype, x.device)
    return (kernel if fits else reference)(x, weight, bias)


def reference(x: Tensor, weight: QuantizedWeight, bias: Tensor | None = None) -> Tensor:
    numbers, scales = quantize.reference(x.detach().flatten(0, -2)[None], weight.numbers.dtype)
    rounded = (numbers[0].float() * scales[0][:, None]).view(x.shape)
    passed = x.float() + (rounded - x.float()).detach() if x.requires_grad else rounded
    out = F.linear(passed, weight.numbers.float() * weight.scales[:, None])
    return (out if bias is None else out + bias).to(x.dtype)


def _tiling(rows: int) -> Tiling:
    """For few rows as of a single frame, and for many."""
    if rows <= 64:
        return Tiling(power_of_two(rows, SMALLEST_DOT), 64, warps=4, stages=4)
    return Tiling(128, 128, warps=8, stages=3)


DEPTH = 128
"""Channels in that one step multiplies."""


def kernel(x: Tensor, weight: QuantizedWeight, bias: Tensor | None = None) -> Tensor:
    kind = weight.numbers.dtype
    numbers, scales = quantize.kernel(x.flatten(0, -2)[None], kind)
    rows, depth = numbers.shape[1:]
    columns = len(weight.numbers)
    out = torch.empty(rows, columns, dtype=x.dtype, device=x.device)
    tiling = _tiling(rows)
    _multiply(
        (-(-rows // tiling.rows) * -(-columns // tiling.columns),),
        *(numbers, weight.numbers.contiguous(), scales, weight.scales, weight.scales if bias is None else bias, out),
        *(rows, columns, depth),
        *(bias is not None, kind == INT8, BAND, tiling.rows, tiling.columns, DEPTH),
        num_warps=tiling.warps,
        num_stages=tiling.stages,
    )
    return out.view(*x.shape[:-1], columns)


@Program
def _multiply(
    x_at,
    weight_at,
    x_scales_at,
    weight_scales_at,
    bias_at,
    out_at,
    rows,
    columns,
    depth,
    BIASED: tl.constexpr,
    INTEGER: tl.constexpr,
    BAND: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """One instance: one tile of the product."""
    place = tl.program_id(0)
    tall, wide = tl.cdiv(rows, ROWS), tl.cdiv(columns, COLUMNS)
    band = place // (BAND * wide)
    height = tl.minimum(tall - band * BAND, BAND)
    row = (band * BAND + place % (BAND * wide) % height) * ROWS + tl.arange(0, ROWS)
    column = place % (BAND * wide) // height * COLUMNS + tl.arange(0, COLUMNS)
    step = tl.arange(0, DEPTH)
    x_from = x_at + row.to(tl.int64)[:, None] * depth + step[None, :]
    weight_from = weight_at + column.to(tl.int64)[None, :] * depth + step[:, None]
    SUM: tl.constexpr = tl.int32 if INTEGER else tl.float32  # type: ignore[reportAssignmentType] - Triton wraps it
    total = tl.zeros([ROWS, COLUMNS], SUM)
    for start in range(0, depth, DEPTH):
        left = depth - start
        x = tl.load(x_from + start, mask=(row < rows)[:, None] & (step < left)[None, :], other=0.0)
        weight = tl.load(weight_from + start, mask=(column < columns)[None, :] & (step < left)[:, None], other=0.0)
        total = tl.dot(x, weight, total, out_dtype=SUM)
    x_scale = tl.load(x_scales_at + row, mask=row < rows, other=0.0)
    weight_scale = tl.load(weight_scales_at + column, mask=column < columns, other=0.0)
    out = total.to(tl.float32) * x_scale[:, None] * weight_scale[None, :]
    if BIASED:
        out += tl.load(bias_at + column, mask=column < columns, other=0.0).to(tl.float32)[None, :]
    live = (row < rows)[:, None] & (column < columns)[None, :]
    tl.store(out_at + row.to(tl.int64)[:, None] * columns + column[None, :], out.to(out_at.dtype.element_ty), mask=live)

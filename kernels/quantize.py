"""Rows of numbers in 8 bits, each with its own scale: one pass that finds the scale, rounds and writes.

Shape letters: r rows, d channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kernels.launch import Program, power_of_two, runs

if TYPE_CHECKING:
    import triton.language as tl  # pyright: ignore[reportMissingImports]

INT8, FLOAT8 = torch.int8, torch.float8_e4m3fn
LARGEST = {INT8: 127.0, FLOAT8: 448.0}
"""The number that the largest of a row becomes."""
SMALLEST = 1e-12
"""The least that counts as the largest of a row."""
FIRST_FLOAT8 = (8, 9)
"""The first NVIDIA compute capability (Ada) that multiplies 8-bit floats."""
TILE = 4096
"""Numbers that one program holds at once."""


def quantized_rows(x: Tensor, kind: torch.dtype, offset: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """x (g, r, d), minus offset (g, d) where given -> numbers of `kind` (INT8 or FLOAT8) and scales, float32 (g, r).

    x is about numbers * scales. Not differentiable.
    """
    return (kernel if runs(x, offset) and takes(kind, x.device) else reference)(x, kind, offset)


def takes(kind: torch.dtype, device: torch.device) -> bool:
    """Whether kernels of this kind compile for a GPU."""
    return kind != FLOAT8 or torch.version.hip is None and torch.cuda.get_device_capability(device) >= FIRST_FLOAT8


def reference(x: Tensor, kind: torch.dtype, offset: Tensor | None = None) -> tuple[Tensor, Tensor]:
    x = x.float() if offset is None else x.float() - offset.float()[:, None]
    scales = x.abs().amax(-1).clamp(min=SMALLEST) / LARGEST[kind]
    scaled = x / scales[..., None]
    return (torch.floor(scaled + 0.5) if kind == INT8 else scaled.clamp(-LARGEST[kind], LARGEST[kind])).to(kind), scales


def kernel(x: Tensor, kind: torch.dtype, offset: Tensor | None = None) -> tuple[Tensor, Tensor]:
    x = x.contiguous()
    groups, rows, width = x.shape
    out = torch.empty(x.shape, dtype=kind, device=x.device)
    scales = torch.empty(groups, rows, device=x.device)
    block = power_of_two(width)
    tile = max(1, TILE // block)
    taken = x if offset is None else offset.contiguous()
    sizes = (rows, width, LARGEST[kind], SMALLEST, offset is not None, kind == INT8, tile, block)
    _quantize((-(-rows // tile), groups), x, taken, out, scales, *sizes)
    return out, scales


@Program
def _quantize(
    x_at,
    offset_at,
    out_at,
    scales_at,
    rows,
    width,
    largest,
    smallest,
    SHIFTS: tl.constexpr,
    INTEGER: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """One instance: ROWS rows of one group."""
    group = tl.program_id(1).to(tl.int64)
    row, channel = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, WIDTH)
    inside = channel < width
    live = (row < rows)[:, None] & inside[None, :]
    at = (group * rows + row)[:, None] * width + channel[None, :]
    x = tl.load(x_at + at, mask=live, other=0.0).to(tl.float32)
    if SHIFTS:
        offset = tl.load(offset_at + group * width + channel, mask=inside, other=0.0).to(tl.float32)
        x = tl.where(live, x - offset[None, :], 0.0)
    scale = tl.maximum(tl.max(tl.abs(x), 1), smallest) / largest
    scaled = x / scale[:, None]
    if INTEGER:
        number = tl.floor(scaled + 0.5).to(tl.int8)
    else:
        number = tl.minimum(tl.maximum(scaled, -largest), largest).to(out_at.dtype.element_ty)
    tl.store(out_at + at, number, mask=live)
    tl.store(scales_at + group * rows + row, scale, mask=row < rows)

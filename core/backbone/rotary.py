"""Rotary positions in three dimensions: time, height, width (RoFormer, arXiv 2104.09864).

Angles are taken from absolute frame numbers in double precision and reduced to one turn, so that they stay exact however long a
session lasts; attention sees differences only, so no frame number is the last.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

TIME_BASE, SPACE_BASE = 200.0, 50.0
"""Longest wavelength over 2 pi, in frames and in tokens."""


def axis_sizes(head: int) -> tuple[int, int, int]:
    """How many of a head's channels turn with time, height and width; even and summing to `head`."""
    space = head // 3 // 2 * 2
    return head - 2 * space, space, space


def angles(time: Tensor, row: Tensor, column: Tensor, head: int) -> Tensor:
    """Angles (..., head / 2) in [0, 2 pi) of positions; the three position tensors broadcast against each other."""
    parts = []
    for position, size, base in zip((time, row, column), axis_sizes(head), (TIME_BASE, SPACE_BASE, SPACE_BASE)):
        frequency = torch.tensor(_frequencies(size // 2, base), dtype=torch.float64)
        parts.append(position[..., None].double() * frequency)
    shape = torch.broadcast_shapes(*(p.shape[:-1] for p in parts))
    joined = torch.cat([p.expand(*shape, p.shape[-1]) for p in parts], -1)
    return torch.remainder(joined, 2 * torch.pi).float()


@functools.cache
def _frequencies(count: int, base: float) -> tuple[float, ...]:
    """Falling from 1 to nearly 1 / base; plain numbers, since tensors made in inference mode cannot be trained with."""
    return tuple(base ** (-i / max(1, count)) for i in range(count))


def rotate(x: Tensor, angle: Tensor) -> Tensor:
    """Turn channel pairs (i, i + head/2) of x (..., head) by angle (..., head/2)."""
    a, b = x.chunk(2, -1)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

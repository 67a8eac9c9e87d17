"""Quantizers: floats to few-bit codes and back, four-bit codes two to a byte, and the rotation that spreads outliers.

Rounding is to nearest, so what comes back is off by half a step, plus what the half-precision scale rounds away.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_STEP = 2.0**-14
"""Smallest quantization step: the least normal number of the half precision in which steps are kept."""


def largest(bits: int) -> int:
    """Greatest code of a symmetric quantizer: 127 of 8 bits, 7 of 4."""
    return 2 ** (bits - 1) - 1


def symmetric(x: Tensor, bits: int, dim: int) -> tuple[Tensor, Tensor]:
    """Codes int8 in [-largest, largest] of the shape of `x`, and float steps (1 along `dim`): x is about codes * step."""
    step = (x.abs().amax(dim, keepdim=True) / largest(bits)).clamp(min=LEAST_STEP)
    return (x / step).round().clamp(-largest(bits), largest(bits)).to(torch.int8), step


def affine(x: Tensor, bits: int, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Codes uint8 of the shape of `x`, and half-precision steps and lows (1 along `dim`): x is about low + codes * step."""
    low = x.amin(dim, keepdim=True).half()
    codes = 2**bits - 1
    step = ((x.amax(dim, keepdim=True) - low.float()) / codes).clamp(min=LEAST_STEP).half()
    return ((x - low.float()) / step.float()).round().clamp(0, codes).to(torch.uint8), step, low


def restore(codes: Tensor, step: Tensor, low: Tensor) -> Tensor:
    """The inverse of `affine`, in single precision."""
    return torch.addcmul(low.float(), codes.float(), step.float())


def rounded(x: Tensor, bits: int, dim: int) -> Tensor:
    """What `symmetric` leaves of `x`."""
    codes, step = symmetric(x, bits, dim)
    return codes * step


def pack(codes: Tensor) -> Tensor:
    """uint8 codes (..., 2 k) below 16 -> uint8 (..., k): the first half of the last axis in the low four bits."""
    low, high = codes.chunk(2, -1)
    return low | (high << 4)


def unpack(packed: Tensor) -> Tensor:
    """The inverse of `pack`."""
    return torch.cat([packed & 15, packed >> 4], -1)


def hadamard_size(width: int) -> int:
    """The largest power of two that divides `width`."""
    return width & -width


def rotate_blocks(x: Tensor) -> Tensor:
    """Turn every run of `hadamard_size` channels of x (..., d) by the orthonormal Hadamard matrix, which is its own inverse.

    An outlier in one channel becomes a little in all of its run (QuaRot, arXiv 2404.00456). Fast transform, n log n.
    """
    width, size = x.shape[-1], hadamard_size(x.shape[-1])
    y, half = x.reshape(-1, width // size, size), 1
    while half < size:
        a, b = y.unflatten(-1, (-1, 2, half)).unbind(-2)
        y = torch.stack([a + b, a - b], -2).flatten(-3)
        half *= 2
    return (y * size**-0.5).reshape(x.shape)

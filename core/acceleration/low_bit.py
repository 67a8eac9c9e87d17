"""Four-bit weights (W4A8, W4A4): smaller, not faster.

No kernel of a CPU's multiplies four-bit numbers, so the weights lie packed, two to a byte, and are unpacked whenever a layer
runs; the arithmetic is done in floating point with numbers rounded as such a kernel would round them. What it is for is to
know what quality four bits keep, and a world whose blocks take an eighth of the memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.acceleration.int8 import LINEARS, check_smoothing, smoothing_scales
from core.acceleration.modules import named, swap
from core.acceleration.stack import Acceleration, Stage, Undo
from core.errors import ZoetropeError
from core.quantizers import largest, pack, rotate_blocks, rounded, symmetric, unpack
from core.streaming.world import World

GROUP = 64
"""Input channels that share a step of four-bit weights, at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LowBit(Acceleration):
    """Linear layers of the blocks in few bits. Slower here: simulated numerics, packed weights."""

    name: ClassVar[str] = "low_bit"
    stage: ClassVar[Stage] = Stage.MODULES
    excludes: ClassVar[Mapping[str, str]] = {"int8": "a layer is either in INT8 or in fewer bits"}
    activations: Literal[4, 8] = 8
    """Bits of activations, which each token scales for itself; weights have four."""
    smoothing: float = 0.0
    """How much of the activations' outliers the weights take over (SmoothQuant's alpha, arXiv 2211.10438); 0 for none."""
    rotate: bool = True
    """Whether channels are mixed by a Hadamard rotation first, which leaves no outliers (QuaRot, arXiv 2404.00456)."""
    calibration: str = ""
    """File of the activations' peaks, for smoothing; where none is named they are measured on a dream."""

    def __post_init__(self) -> None:
        if self.activations not in (4, 8):
            raise ZoetropeError(f"accelerations: low_bit: activations have 4 or 8 bits, not {self.activations}")
        check_smoothing(self.name, self.smoothing)

    def apply(self, world: World) -> Undo:
        layers = named(world.model, LINEARS, nn.Linear)
        scales = smoothing_scales(world, layers, self.smoothing, self.calibration)
        return swap(world.model, {n: LowBitLinear(m, self.activations, scales.get(n), self.rotate) for n, m in layers.items()})


class LowBitLinear(nn.Module):
    """Stands for a linear layer, in a quarter of half precision's memory and an eighth of single precision's."""

    def __init__(self, layer: nn.Linear, activations: int, scale: Tensor | None, rotate: bool):
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.activations, self.rotate = activations, rotate
        weight = layer.weight.detach() if scale is None else layer.weight.detach() * scale
        weight = rotate_blocks(weight) if rotate else weight
        self.group = math.gcd(GROUP, layer.in_features)
        codes, step = symmetric(weight.unflatten(1, (-1, self.group)), 4, 2)
        self.codes = pack((codes.flatten(1) + largest(4)).to(torch.uint8))
        self.step = step.half()
        self.bias = None if layer.bias is None else layer.bias.detach()
        self.shrink = None if scale is None else 1 / scale

    @property
    def weight(self) -> Tensor:
        """(out, in) as it is multiplied with: smoothed and rotated."""
        codes = unpack(self.codes).unflatten(1, (-1, self.group)).float() - largest(4)
        return (codes * self.step).flatten(1)

    @property
    def bytes(self) -> int:
        return self.codes.nbytes + self.step.nbytes

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.shrink is None else x * self.shrink
        x = rotate_blocks(x) if self.rotate else x
        return F.linear(rounded(x, self.activations, -1), self.weight, self.bias)

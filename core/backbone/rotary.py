"""Rotary positions in three dimensions: time, height, width (RoFormer, arXiv 2104.09864).

Angles are taken from absolute frame numbers in double precision and reduced to one turn, so that they stay exact however long a
session lasts; attention sees differences only, so no frame number is the last.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

TIME_BASE, SPACE_BASE = 200.0, 50.0
"""Longest wavelength over 2 pi, in frames and in tokens."""


def axis_sizes(head: int) -> tuple[int, int, int]:
    """How many of a head's channels turn with time, height and width; even and summing to `head`."""
    space = head // 3 // 2 * 2
    return head - 2 * space, space, space


@dataclass(frozen=True, slots=True)
class Rotation:
    """How far to turn the channel pairs (i, i + e/2) of each token; made once for all layers."""

    cos: Tensor
    """(tokens, e)."""
    sin: Tensor
    """(tokens, e), negated in the first half."""


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn x (..., tokens, e)."""
    return torch.addcmul(x * rotation.cos, x.roll(x.shape[-1] // 2, -1), rotation.sin)


class Places(nn.Module):
    """Where the tokens of a frame stand at one resolution."""

    def __init__(self, where: Tensor, head: int):
        """`where` (n, 2) has each token's row and column, `head` is how many channels turn."""
        super().__init__()
        time, height, width = axis_sizes(head)
        row, column = where.double()[..., None].unbind(1)
        turned = [row * _frequencies(height, SPACE_BASE), column * _frequencies(width, SPACE_BASE)]
        self.frequency = _frequencies(time, TIME_BASE)
        self.space: Tensor
        """(n, e_space / 2) angles of height and width."""
        self.register_buffer("space", torch.cat(turned, -1).float(), persistent=False)

    def at(self, times: Tensor) -> Rotation:
        """Of the tokens (T n) of frames `times` (T,), which are kept on the CPU: what is seen of what is decided there."""
        return self._rotation(times, self.space)

    def later(self, frames: Tensor) -> Rotation:
        """What keys that are turned already turn by to stand so many `frames` (T,) later, in the same place: (T n) tokens."""
        return self._rotation(frames, torch.zeros_like(self.space))

    def _rotation(self, times: Tensor, space: Tensor) -> Rotation:
        phase = torch.remainder(times.double()[:, None] * self.frequency, 2 * torch.pi).float().to(space.device)
        frames, tokens = len(times), len(space)
        angle = torch.cat([phase[:, None].expand(-1, tokens, -1), space.expand(frames, -1, -1)], -1).flatten(0, 1)
        cos, sin = angle.cos(), angle.sin()
        return Rotation(torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1))


RIFLEX_TURN = 0.9
"""Share of a turn that the longest distance is left with (the paper's own margin)."""


def lowered(frequency: Tensor, trained: int, seen: int) -> Tensor:
    """Frequencies for distances of up to `seen` frames, of those that were trained up to `trained` (RIFLEx, arXiv 2502.15894).

    The one whose period is nearest to what was trained would come round and make old frames look like new ones; it is made so
    slow that it does not. Unchanged where no more is seen than was trained.
    """
    if seen <= trained or not len(frequency):
        return frequency
    repeats = int((2 * torch.pi / frequency - trained).abs().argmin())
    out = frequency.clone()
    out[repeats] = min(float(frequency[repeats]), RIFLEX_TURN * 2 * torch.pi / seen)
    return out


def _frequencies(size: int, base: float) -> Tensor:
    """float64 (size / 2,), falling from 1 to nearly 1 / base."""
    count = size // 2
    return base ** (-torch.arange(count, dtype=torch.float64) / max(1, count))

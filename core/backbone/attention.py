"""The token mixer: attention that is causal over frames and full within one, from a whole window or from a cache.

Shape letters: B batch, T frames in this call, n tokens of a frame (cameras included), H heads, e channels of a head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from core.backbone.rotary import rotate
from core.memory.context import pool_tokens


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the tokens of a call stand and what they may see; one object serves all layers.

    Keys are ordered: frames of this call at every level (exact, packed...), then whatever the cache holds.
    """

    grid: tuple[int, int]
    query_angles: Tensor
    """(T, n, e/2)."""
    level_angles: tuple[Tensor, ...]
    """Of this call's keys at each level, (T, n_level, e/2)."""
    level_pools: tuple[tuple[int, int], ...]
    """(rows, columns) averaged at each level."""
    bias: Tensor
    """(T n, keys) additive."""


@dataclass(frozen=True, slots=True)
class KeyValues:
    """Keys and values of one layer for the frames of one call, at one level: (B, H, T, n_level, e). Keys are not yet turned."""

    keys: Tensor
    values: Tensor


class DenseAttention(nn.Module):
    """Softmax attention with normalized queries and keys (QK norm, arXiv 2302.05442)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.query_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.key_norm = nn.RMSNorm(width // heads, eps=1e-6)

    def forward(
        self, x: Tensor, layout: Layout, cached: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[KeyValues, ...]]:
        """x (B, T, n, d) -> the same, and this call's keys and values at each level for a cache to keep.

        `cached` holds turned keys and values (B, H, K, e) that precede those of this call in no particular order.
        """
        q, k, v = rearrange(self.project(x), "b t n (three h e) -> three b h t n e", three=3, h=self.heads).unbind(0)
        q, k = self.query_norm(q), self.key_norm(k)
        levels = tuple(
            KeyValues(pool_tokens(k, layout.grid, *pool), pool_tokens(v, layout.grid, *pool)) for pool in layout.level_pools
        )
        turned = [rotate(level.keys, angle).flatten(2, 3) for level, angle in zip(levels, layout.level_angles)]
        values = [level.values.flatten(2, 3) for level in levels]
        if cached is not None:
            turned.append(cached[0])
            values.append(cached[1])
        mixed = F.scaled_dot_product_attention(
            rotate(q, layout.query_angles).flatten(2, 3), torch.cat(turned, 2), torch.cat(values, 2), attn_mask=layout.bias
        )
        mixed = rearrange(mixed, "b h (t n) e -> b t n (h e)", t=x.shape[1])
        return self.out(mixed), levels

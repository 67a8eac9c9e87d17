"""The token mixer: attention that is causal over frames and full within one, from a whole window or from a cache.

Shape letters: B batch, T frames in this call, n tokens of a frame (cameras included), H heads, e channels of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.backbone.call import Call
from core.backbone.rotary import Rotation, rotate
from core.memory.context import pool_tokens


@dataclass(frozen=True, slots=True)
class Packed:
    """Frames of a call that later frames of the same call see packed."""

    frames: slice
    rows: int
    """Token rows averaged into one."""
    columns: int
    rotation: Rotation
    """Of these frames' packed tokens."""

    def pool(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """(B, H, T, n, e) of the whole call -> (B, H, packed tokens, e) of these frames."""
        return pool_tokens(x[:, :, self.frames], grid, self.rows, self.columns).flatten(2, 3)


@dataclass(frozen=True, slots=True)
class Seen:
    """Frames whose tokens are the keys of a call, in the keys' order."""

    times: Tensor
    """int64 (F,)."""
    levels: Tensor
    """int64 (F,): 0 exact, 1.. packed."""
    allowed: Tensor
    """bool (T, F): which of them each frame of the call may see."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the tokens of a call stand and what they may see; one object serves all layers.

    Keys are ordered: frames of this call, exact, then packed, then what is picked from a cache.
    """

    grid: tuple[int, int]
    newest: int
    """Number of the call's last frame."""
    rotation: Rotation
    """Of the call's T n tokens."""
    packed: tuple[Packed, ...]
    picked: tuple[slice, ...]
    """Runs of the tokens of a cache that some frame of the call sees."""
    bias: Tensor | None
    """(T n, keys) additive; None where all see all."""
    times: Tensor
    """int64 (T,): numbers of the call's frames, kept on the CPU like all of `seen`."""
    seen: Seen
    call: Call | None = None
    """Which of a session's calls this is; None elsewhere (training)."""


@dataclass(frozen=True, slots=True)
class KeyValues:
    """Keys and values of one layer for the frames of one call: (B, H, T, n, e). Keys are not yet turned."""

    keys: Tensor
    values: Tensor


Cached = tuple[list[Tensor], list[Tensor]]
"""The layout's picked runs of one layer's turned keys, and of its values: each (B, H, run, e)."""
NORM_FLOOR = 1e-3
"""Root mean square below which a query or key counts as this long."""


class DenseAttention(nn.Module):
    """Softmax attention with normalized queries and keys (QK norm, arXiv 2302.05442); other mixers are subclasses."""

    cost: ClassVar[str] = "queries x keys"
    """What a call costs, beside the projections."""
    cache: ClassVar[str] = "keys and values"
    """What a session's next call must be given of those before."""

    def __init__(self, width: int, heads: int, head: int | None = None):
        """Heads have `head` channels, width / heads where None."""
        super().__init__()
        head = width // heads if head is None else head
        self.heads = heads
        self.project = nn.Linear(width, 3 * heads * head, bias=False)
        self.out = nn.Linear(heads * head, width)
        self.query_norm = nn.RMSNorm(head)
        self.key_norm = nn.RMSNorm(head)

    def forward(self, x: Tensor, layout: Layout, cached: Cached | None = None) -> tuple[Tensor, KeyValues]:
        """x (B, T, n, d) -> (B, T, n, d), and this call's keys and values for a cache to keep."""
        queries, keys, values, fresh = self.read(x, layout, cached)
        return self.write(self.mix(queries, keys, values, layout), x.shape[2]), fresh

    def read(self, x: Tensor, layout: Layout, cached: Cached | None) -> tuple[Tensor, Tensor, Tensor, KeyValues]:
        """Queries (B, H, T n, e), turned, all keys and values (B, H, K, e) they may see, and this call's for a cache."""
        frames, n = x.shape[1:3]
        normed, value = self._heads(x)
        queries, turned = rotate(normed, layout.rotation).unbind(0)
        fresh = KeyValues(normed[1].unflatten(2, (frames, n)), value.unflatten(2, (frames, n)))
        keys, values = [turned], [value]
        for part in layout.packed:
            keys.append(rotate(part.pool(fresh.keys, layout.grid), part.rotation))
            values.append(part.pool(fresh.values, layout.grid))
        if cached is not None:
            keys += cached[0]
            values += cached[1]
        return queries, torch.cat(keys, 2), torch.cat(values, 2), fresh

    def write(self, mixed: Tensor, n: int) -> Tensor:
        """What the heads found (B, H, T n, e) -> (B, T, n, d)."""
        return self.out(mixed.transpose(1, 2).flatten(2).unflatten(1, (-1, n)))

    def mix(self, queries: Tensor, keys: Tensor, values: Tensor, layout: Layout) -> Tensor:
        """Queries (B, H, T n, e), turned, over all keys and values (B, H, K, e) -> (B, H, T n, e)."""
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=layout.bias)

    def density(self, queries: Tensor, keys: Tensor, values: Tensor, layout: Layout) -> float:
        """Share of the pairs of queries and keys that the context allows that `mix` looks at."""
        return 1.0

    def remember(self, x: Tensor, layout: Layout, cached: Cached | None = None) -> KeyValues:
        """What `forward` gives for a cache, and nothing else."""
        normed, value = self._heads(x)
        return KeyValues(normed[1].unflatten(2, x.shape[1:3]), value.unflatten(2, x.shape[1:3]))

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, n, d) -> normalized queries and keys (2, B, H, T n, e), and values (B, H, T n, e)."""
        parts = self.project(x).flatten(1, 2).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        gain = torch.stack([self.query_norm.weight, self.key_norm.weight])[:, None, None, None] * parts.shape[-1] ** 0.5
        length = torch.linalg.vector_norm(parts[:2], dim=-1, keepdim=True)
        return parts[:2] * gain / length.clamp(min=NORM_FLOOR * parts.shape[-1] ** 0.5), parts[2]

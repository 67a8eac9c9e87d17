"""Mixers that choose among whole frames: a window with sinks, and a window that adds what it missed when last all was seen."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from core.backbone.attention import Cached, DenseAttention, KeyValues, Layout
from core.backbone.mixers import config as configs
from core.backbone.mixers.carried import carried, carry
from core.backbone.mixers.site import Site


class WindowAttention(DenseAttention):
    """The last frames and the sinks. Runs from the key/value cache, with dense attention's weights."""

    cost: ClassVar[str] = "queries x keys of the window and the sinks"

    def __init__(self, config: configs.Window, site: Site):
        super().__init__(site.width, site.heads, site.head)
        self.config, self.site = config, site

    def mix(self, queries: Tensor, keys: Tensor, values: Tensor, layout: Layout) -> Tensor:
        return by_frame(queries, keys, values, self.near(layout), self.site.sizes(layout.seen))

    def near(self, layout: Layout) -> Tensor:
        """bool (T, F): which frames each frame looks at."""
        return layout.seen.allowed & (self.site.ages(layout.times, layout.seen) <= self.config.frames)

    def density(self, queries: Tensor, keys: Tensor, values: Tensor, layout: Layout) -> float:
        sizes = self.site.sizes(layout.seen)
        return float((self.near(layout) * sizes).sum() / (layout.seen.allowed * sizes).sum())


class WindowResidualAttention(DenseAttention):
    """A window; every `refresh` frames all is looked at, and what the window missed is added to it until the next time.

    Runs from the key/value cache and what a session keeps (`core.backbone.call`), with dense attention's weights.
    """

    cost: ClassVar[str] = "queries x keys of the window and the sinks; every `refresh` frames queries x keys"

    def __init__(self, config: configs.WindowResidual, site: Site):
        super().__init__(site.width, site.heads, site.head)
        self.config, self.site = config, site

    def forward(self, x: Tensor, layout: Layout, cached: Cached | None = None) -> tuple[Tensor, KeyValues]:
        queries, keys, values, fresh = self.read(x, layout, cached)
        seen, n = layout.seen, self.site.tokens
        sizes, frames = self.site.sizes(seen), len(layout.times)
        near = seen.allowed & (self.site.ages(layout.times, seen) <= self.config.frames)
        mixed = by_frame(queries, keys, values, near, sizes).unflatten(2, (frames, n))
        missed = carried(layout, self.site.layer)
        out = []
        for t, time in enumerate(layout.times.tolist()):
            if time % self.config.refresh == 0:
                whole = by_frame(queries[:, :, t * n : (t + 1) * n], keys, values, seen.allowed[t : t + 1], sizes)
                missed = whole - mixed[:, :, t]
            out.append(mixed[:, :, t] if missed is None else mixed[:, :, t] + missed)
        if missed is not None:
            carry(layout, self.site.layer, missed)
        return self.write(torch.cat(out, 2), n), fresh

    def remember(self, x: Tensor, layout: Layout, cached: Cached | None = None) -> KeyValues:
        return self(x, layout, cached)[1]


def by_frame(queries: Tensor, keys: Tensor, values: Tensor, seen: Tensor, sizes: Tensor) -> Tensor:
    """Attention of T frames of queries (B, H, T n, e) over whole frames of keys, which hold `sizes` (F,) tokens each.

    `seen` bool (T, F). What a frame does not see costs nothing.
    """
    mixed = []
    for part, row in zip(queries.chunk(len(seen), 2), seen):
        if row.all():
            mixed.append(F.scaled_dot_product_attention(part, keys, values))
            continue
        tokens = row.repeat_interleave(sizes).nonzero()[:, 0].to(keys.device)
        mixed.append(F.scaled_dot_product_attention(part, keys.index_select(2, tokens), values.index_select(2, tokens)))
    return torch.cat(mixed, 2)

"""Query-side pruning: of a tile's queries, many ask the same; only those that differ most attend."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from core.backbone.attention import DenseAttention, Layout
from core.backbone.mixers import config as configs
from core.backbone.mixers.blocks import tiling
from core.backbone.mixers.frames import by_frame
from core.backbone.mixers.site import Site


class PrunedQueriesAttention(DenseAttention):
    """Queries least like their tile's mean are asked, the others take what the most alike of these found.

    After bidirectional sparse attention (arXiv 2509.01085). Runs from the key/value cache, with dense attention's weights.
    """

    cost: ClassVar[str] = "kept queries x keys"

    def __init__(self, config: configs.PrunedQueries, site: Site):
        super().__init__(site.width, site.heads, site.head)
        self.config, self.site = config, site
        self.tiling = tiling(config.tile, site.cameras, site.rows, site.columns)
        self.kept = math.ceil(config.keep * self.tiling.size)

    def mix(self, queries: Tensor, keys: Tensor, values: Tensor, layout: Layout) -> Tensor:
        tiles = self.tiling.cut(queries, self.site.tokens)  # (B, H, T, tiles, b, e)
        count = self.kept
        with torch.no_grad():
            asked = F.normalize(tiles, dim=-1)
            common = (asked @ asked.mean(-2, keepdim=True).transpose(-2, -1))[..., 0]
            kept = common.topk(count, -1, largest=False).indices.sort(-1).values
            nearest = (asked @ _pick(asked, kept).transpose(-2, -1)).argmax(-1)
            nearest = nearest.scatter(-1, kept, torch.arange(count, device=kept.device).expand_as(kept))
        few = _pick(tiles, kept).flatten(2, 4)
        mixed = by_frame(few, keys, values, layout.seen.allowed, self.site.sizes(layout.seen))
        mixed = mixed.unflatten(2, (*tiles.shape[2:4], count))
        return self.tiling.join(_pick(mixed, nearest))

    def density(self, queries: Tensor, keys: Tensor, values: Tensor, layout: Layout) -> float:
        return self.kept / self.tiling.size


def _pick(x: Tensor, which: Tensor) -> Tensor:
    """Rows (..., m, e) of x (..., b, e) at `which` (..., m)."""
    return x.gather(-2, which[..., None].expand(*which.shape, x.shape[-1]))

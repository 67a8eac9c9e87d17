"""Sparse + linear attention (SLA, arXiv 2509.24006): softmax for the few blocks that matter, a linear sum for most others."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from core.backbone.attention import Layout
from core.backbone.mixers import config as configs
from core.backbone.mixers.blocks import attend, top_share
from core.backbone.mixers.site import Site
from core.backbone.mixers.sparse import BlockSparse, Pairs, expected


class SparseLinearAttention(BlockSparse[configs.SparseLinear]):
    """Critical blocks by softmax; marginal ones by linear attention, learnt to be put beside; negligible ones not at all.

    A converted dense checkpoint begins with the critical blocks alone: what the linear part adds is learnt from nothing.
    """

    cost: ClassVar[str] = "queries x critical keys + tokens x channels of a head"

    def __init__(self, config: configs.SparseLinear, site: Site):
        super().__init__(config, site, config.tile)
        self.beside = nn.Linear(site.head, site.head, bias=False)
        nn.init.zeros_(self.beside.weight)

    def choose(self, queries: Tensor, keys: Tensor, values: Tensor, pairs: Pairs) -> Tensor:
        allowed, own = pairs.allowed.to(keys.device), pairs.own().to(keys.device)
        scores = expected(queries, keys, pairs).masked_fill(own, float("inf"))
        return top_share(scores, allowed, self.config.critical)

    def mix(self, queries: Tensor, keys: Tensor, values: Tensor, layout: Layout) -> Tensor:
        tiles, keys_, values_ = self.cut(queries), keys.flatten(0, 1), values.flatten(0, 1)
        pairs = self.pairs(layout, queries.device)
        with torch.no_grad():
            critical = self.choose(tiles, keys_, values_, pairs)
            allowed = pairs.allowed.to(keys.device)
            least = top_share(-expected(tiles, keys_, pairs), allowed, self.config.negligible)
            marginal = allowed & ~critical & ~least
        exact = attend(tiles, keys_, values_, pairs.blocks, critical, pairs.rest, pairs.rest_seen)
        return self.join(exact + self.beside(summed(tiles, keys_, values_, pairs.blocks, marginal)), queries)


def summed(queries: Tensor, keys: Tensor, values: Tensor, blocks: Tensor, seen: Tensor) -> Tensor:
    """Linear attention of tiles (N, Q, b, e) over blocks, its kernel a softmax over channels; 0 where none is seen.

    keys and values (N, all tokens, e), blocks (K, b), seen bool (N, Q, K).
    """
    inlet = keys.softmax(-1).index_select(1, blocks.flatten()).unflatten(1, blocks.shape)
    held = values.index_select(1, blocks.flatten()).unflatten(1, blocks.shape)
    states = torch.cat([inlet.transpose(2, 3) @ held, inlet.sum(2)[..., None]], -1)  # (N, K, e, e + 1)
    state = (seen.to(keys.dtype) @ states.flatten(2)).unflatten(2, states.shape[2:])
    found = queries.softmax(-1) @ state
    weight = found[..., -1:]
    return torch.where(weight > 0, found[..., :-1] / weight.where(weight > 0, 1.0), 0.0)

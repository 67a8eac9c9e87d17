"""Patch parallelism: each process denoises part of a frame and attends to what the others said one step before.

DistriFusion (arXiv 2402.19481): neighbouring denoising steps differ little, so all but the first use the other parts' keys and
values of the step before, and send their own while they go on computing. A frame's first `warmup` steps, and taking a clean
frame in, wait for the others, so a world of one step a frame stays exact.

Shape letters: B batch, n tokens of a frame, m of them here, H heads, e channels of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.backbone.attention import Cached, DenseAttention, KeyValues, Layout
from core.backbone.call import Call
from core.backbone.rotary import rotate
from core.backbone.transformer import Backbone
from core.parallel.context import CutBackbone, check_plain, exchanged, twin
from core.parallel.cut import Cut
from core.parallel.group import Group, Pending


class Board:
    """What everyone said one step before: of each layer, and of each of the predictions that a step makes."""

    def __init__(self, group: Group, warmup: int):
        self.group, self.warmup = group, warmup
        self._said: dict[tuple[str, int], Pending] = {}

    def all(self, layer: int, own: Tensor, call: Call) -> list[Tensor]:
        """Of everyone, in the order of ranks, what stands for their `own`."""
        key = call.branch, layer
        before = self._said.pop(key, None)
        if not call.denoises:
            return self.group.gather(own)
        stale = before is not None and call.step >= self.warmup
        more = call.step + 1 < call.steps
        coming = self.group.start_gather(own) if more or not stale else None
        if more and coming is not None:
            self._said[key] = coming
        if not stale:
            assert coming is not None
            return coming.wait()
        assert before is not None
        parts = list(before.wait())
        parts[self.group.rank] = own
        return parts


class PatchAttention(DenseAttention):
    """Own queries, everyone's keys and values."""

    board: Board
    layer: int
    cut: Cut

    def forward(self, x: Tensor, layout: Layout, cached: Cached | None = None) -> tuple[Tensor, KeyValues]:
        """x (B, 1, m, d) of one frame -> (B, 1, m, d), and keys and values (B, H, 1, n, e)."""
        normed, value = self._heads(x)
        queries = rotate(normed[0], self.cut.rotation(layout.rotation, self.board.group.rank))
        fresh, values = self._everyone(normed[1], value, layout.call)
        keys, kept = [rotate(fresh, layout.rotation)], [values]
        if cached is not None:
            keys, kept = keys + cached[0], kept + cached[1]
        mixed = self.mix(queries, torch.cat(keys, 2), torch.cat(kept, 2), layout)
        return self.write(mixed, mixed.shape[2]), KeyValues(fresh.unsqueeze(2), values.unsqueeze(2))

    def remember(self, x: Tensor, layout: Layout, cached: Cached | None = None) -> KeyValues:
        normed, value = self._heads(x)
        keys, values = self._everyone(normed[1], value, None)
        return KeyValues(keys.unsqueeze(2), values.unsqueeze(2))

    def _everyone(self, keys: Tensor, values: Tensor, call: Call | None) -> tuple[Tensor, Tensor]:
        """(B, H, m, e) -> (B, H, n, e); those of now where it is no call of a session that denoises."""
        parts = self.board.all(self.layer, torch.stack([keys, values]), Call({}) if call is None else call)
        keys, values = self.cut.join(parts, 3).unbind(0)
        return keys, values


def patch_backbone(backbone: Backbone, group: Group, warmup: int) -> CutBackbone:
    """The same network for one of `group`'s processes. Raises ZoetropeError where frames cannot be cut so."""
    check_plain(backbone)
    made = twin(backbone, CutBackbone)
    made.group, made.cut = group, Cut.of(backbone.shape, group.size)
    board = Board(group, warmup)
    made.blocks = nn.ModuleList(exchanged(block, PatchAttention) for block in backbone.blocks)
    for layer, block in enumerate(made.blocks):
        attention = block.attention
        assert isinstance(attention, PatchAttention)
        attention.board, attention.layer, attention.cut = board, layer, made.cut
    return made

"""Block-sparse attention: every tile of a frame's tokens sees some blocks (tiles of frames) whole, others not at all.

Blocks are chosen by where they stand (sliding tile, radial), by what they hold (top-k, top-p), or by what a head is for. All
run from the same key/value cache as dense attention, with the same weights; cost: queries x chosen keys, and the choosing.

Shape letters: N heads of all batch members, Q tiles of queries, K blocks of keys, b tokens of a tile, e channels of a head.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from core.backbone.attention import DenseAttention, Layout
from core.backbone.mixers import config as configs
from core.backbone.mixers.blocks import attend, block_moments, tiling, top_mass, top_share
from core.backbone.mixers.site import Site

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Pairs:
    """Tiles of queries and blocks of keys of a call. Kept on the CPU but for what indexes tokens."""

    allowed: Tensor
    """bool (Q, K): may they see each other at all?"""
    age: Tensor
    """int64 (Q, K) in frames; 0 for sinks."""
    same_frame: Tensor
    """bool (Q, K)."""
    queries: Tensor
    """int64 (Q, 3): camera, row and column in tiles."""
    keys: Tensor
    """int64 (K, 3)."""
    blocks: Tensor
    """int64 (K, b): the token numbers of each block."""
    rest: Tensor
    """int64 (R,): tokens of packed frames; they are always seen where the context allows."""
    rest_seen: Tensor
    """bool (Q, R)."""

    def same_place(self) -> Tensor:
        """bool (Q, K): the same tile of the same camera."""
        return (self.queries[:, None] == self.keys).all(-1)

    def own(self) -> Tensor:
        """bool (Q, K): the tile itself."""
        return self.same_frame & self.same_place()


class BlockSparse(DenseAttention, Generic[C]):
    """Dense attention's weights and cache, over chosen blocks."""

    cost: ClassVar[str] = "queries x chosen keys"

    def __init__(self, config: C, site: Site, tile: configs.Tile):
        super().__init__(site.width, site.heads, site.head)
        self.config, self.site = config, site
        self.tiling = tiling(tile, site.cameras, site.rows, site.columns)

    @abstractmethod
    def choose(self, queries: Tensor, keys: Tensor, values: Tensor, pairs: Pairs) -> Tensor:
        """bool (N, Q, K) or (1, Q, K) of those that are allowed: at least one for each tile.

        queries (N, Q, b, e), keys and values (N, all tokens, e).
        """

    def mix(self, queries: Tensor, keys: Tensor, values: Tensor, layout: Layout) -> Tensor:
        tiles, keys_, values_ = self.cut(queries), keys.flatten(0, 1), values.flatten(0, 1)
        pairs = self.pairs(layout, queries.device)
        with torch.no_grad():
            chosen = self.choose(tiles, keys_, values_, pairs).to(queries.device).expand(len(keys_), -1, -1)
        mixed = attend(tiles, keys_, values_, pairs.blocks, chosen, pairs.rest, pairs.rest_seen)
        return self.join(mixed, queries)

    def density(self, queries: Tensor, keys: Tensor, values: Tensor, layout: Layout) -> float:
        pairs = self.pairs(layout, queries.device)
        chosen = self.choose(self.cut(queries), keys.flatten(0, 1), values.flatten(0, 1), pairs)
        return float(chosen.float().mean()) / float(pairs.allowed.float().mean())

    def cut(self, queries: Tensor) -> Tensor:
        """(B, H, T n, e) -> (N, Q, b, e)."""
        return self.tiling.cut(queries.flatten(0, 1), self.site.tokens).flatten(1, 2)

    def join(self, tiles: Tensor, like: Tensor) -> Tensor:
        """(N, Q, b, e) -> (B, H, T n, e)."""
        return self.tiling.join(tiles.unflatten(1, (-1, len(self.tiling.order)))).view_as(like)

    def pairs(self, layout: Layout, device: torch.device) -> Pairs:
        seen, order = layout.seen, self.tiling.order
        count = len(order)
        sizes = self.site.sizes(seen)
        starts = sizes.cumsum(0) - sizes
        exact = seen.levels == 0
        spread = lambda x: x.repeat_interleave(count, 0).repeat_interleave(count, 1)  # noqa: E731
        packed = (~exact).repeat_interleave(sizes).nonzero()[:, 0]
        packed_seen = seen.allowed[:, ~exact].repeat_interleave(sizes[~exact], 1).repeat_interleave(count, 0)
        return Pairs(
            allowed=spread(seen.allowed[:, exact]),
            age=spread(self.site.ages(layout.times, seen)[:, exact]),
            same_frame=spread(layout.times[:, None] == seen.times[exact]),
            queries=self.tiling.where.repeat(len(layout.times), 1),
            keys=self.tiling.where.repeat(int(exact.sum()), 1),
            blocks=(starts[exact, None, None] + order).flatten(0, 1).to(device),
            rest=packed.to(device),
            rest_seen=packed_seen.to(device),
        )


class SlidingTileAttention(BlockSparse[configs.SlidingTile]):
    """A window of tiles over time, rows and columns; the tile's own frame is seen in all cameras."""

    def __init__(self, config: configs.SlidingTile, site: Site):
        super().__init__(config, site, config.tile)

    def choose(self, queries: Tensor, keys: Tensor, values: Tensor, pairs: Pairs) -> Tensor:
        near = pairs.age <= self.config.frames
        for axis, width, count in (
            (1, self.config.rows, self.tiling.counts[0]),
            (2, self.config.columns, self.tiling.counts[1]),
        ):
            width = min(width, count)
            first = (pairs.queries[:, axis] - width // 2).clamp(0, count - width)[:, None]
            near &= (pairs.keys[:, axis] >= first) & (pairs.keys[:, axis] < first + width)
        same_camera = pairs.queries[:, None, 0] == pairs.keys[:, 0]
        return (pairs.allowed & near & (same_camera | pairs.same_frame))[None]


class RadialAttention(BlockSparse[configs.Radial]):
    """The distance seen halves as the age doubles; where it falls below a tile, only every so many frames are seen."""

    def __init__(self, config: configs.Radial, site: Site):
        super().__init__(config, site, config.tile)

    def choose(self, queries: Tensor, keys: Tensor, values: Tensor, pairs: Pairs) -> Tensor:
        reach = self.config.reach * 2.0 ** -pairs.age.clamp(min=1).double().log2().floor()
        away = (pairs.queries[:, None, 1:] - pairs.keys[:, 1:]).abs().amax(-1)
        same_camera = pairs.queries[:, None, 0] == pairs.keys[:, 0]
        skipped = pairs.age % (1 / reach).ceil().clamp(min=1).long() != 0
        near = (away <= reach) & ~skipped & (same_camera | pairs.same_frame)
        return (pairs.allowed & near)[None]


class TopBlocksAttention(BlockSparse[configs.TopBlocks | configs.TopMass]):
    """Each tile of each head chooses what it sees: so much of the blocks, or of the attention it expects of them."""

    def __init__(self, config: configs.TopBlocks | configs.TopMass, site: Site):
        super().__init__(config, site, config.tile)

    def choose(self, queries: Tensor, keys: Tensor, values: Tensor, pairs: Pairs) -> Tensor:
        scores, allowed, own = expected(queries, keys, pairs), pairs.allowed.to(keys.device), pairs.own().to(keys.device)
        if isinstance(self.config, configs.TopBlocks):
            return top_share(scores.masked_fill(own, float("inf")), allowed, self.config.share)
        return top_mass(scores, allowed, self.config.mass) | own


class StaticHeadsAttention(BlockSparse[configs.StaticHeads]):
    """Spatial heads see the last frames whole, temporal ones their own tile in all; told apart anew for every frame."""

    def __init__(self, config: configs.StaticHeads, site: Site):
        super().__init__(config, site, config.tile)

    def choose(self, queries: Tensor, keys: Tensor, values: Tensor, pairs: Pairs) -> Tensor:
        spatial = pairs.allowed & (pairs.age <= self.config.frames)
        temporal = pairs.allowed & (pairs.same_place() | (pairs.age == 0))
        allowed, spatial, temporal = (x.to(keys.device) for x in (pairs.allowed, spatial, temporal))
        tiles = len(self.tiling.order)
        exact = [x.index_select(1, pairs.blocks.flatten()) for x in (keys, values)]
        losses = []
        for asked, rows in zip(queries.split(tiles, 1), range(0, queries.shape[1], tiles)):
            losses.append(self._losses(asked, *exact, *(x[rows : rows + tiles] for x in (allowed, spatial, temporal))))
        by_space = torch.stack(losses, 1).repeat_interleave(tiles, 1)[..., None]
        return torch.where(by_space, spatial, temporal)

    def _losses(
        self, queries: Tensor, keys: Tensor, values: Tensor, allowed: Tensor, spatial: Tensor, temporal: Tensor
    ) -> Tensor:
        """bool (N,): whether a head loses less by space alone, found on a few of a frame's queries (N, tiles, b, e)."""
        tiles, b = queries.shape[1:3]
        picked = torch.linspace(0, tiles * b - 1, min(self.config.samples, tiles * b)).long().to(queries.device)
        logits = queries.flatten(1, 2)[:, picked] @ keys.transpose(1, 2) * keys.shape[-1] ** -0.5
        seen = lambda mask: mask[picked // b].repeat_interleave(b, 1)  # noqa: E731
        found = lambda mask: logits.masked_fill(~seen(mask), float("-inf")).softmax(-1) @ values  # noqa: E731
        wanted = found(allowed)
        return (found(spatial) - wanted).square().mean((1, 2)) <= (found(temporal) - wanted).square().mean((1, 2))


def expected(queries: Tensor, keys: Tensor, pairs: Pairs) -> Tensor:
    """What blocks may hold for tiles, (N, Q, K): the log of the mean weight if a block's keys were spread normally.

    A mean key alone hides a block of which a few keys are just what is looked for.
    """
    asked = queries.mean(2) * queries.shape[-1] ** -0.5
    mean, variance = block_moments(keys, pairs.blocks)
    return asked @ mean.transpose(1, 2) + 0.5 * asked.square() @ variance.transpose(1, 2)

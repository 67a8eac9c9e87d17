"""Attention over chosen blocks of keys: what is left out is never touched.

The keys of the blocks that a tile of queries chose are gathered and attended to at once, many tiles a call; on a GPU a kernel
reads them where they are.

Shape letters: N heads of all batch members, Q tiles of queries, K blocks of keys, b tokens of a tile, e channels of a head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from core.backbone.mixers.config import TILE_TOKENS, Tile
from core.errors import ZoetropeError
from kernels.launch import SMALLEST_DOT, runs
from kernels.sparse import BlockMap, block_sparse

GATHER_TOKENS = 1 << 13
"""Keys that are gathered at once on a CPU: a few megabytes, so that they are still near when they are used."""
GATHER_TOKENS_DEVICE = 1 << 20
"""The same on an accelerator, which wants much to do at once."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """How the tokens of a frame are cut into tiles of equal size."""

    order: Tensor
    """int64 (tiles, b): the token numbers of each tile."""
    where: Tensor
    """int64 (tiles, 3): each tile's camera, row and column, counted in tiles."""
    counts: tuple[int, int]
    """Tiles of a camera: rows and columns."""

    @property
    def size(self) -> int:
        return self.order.shape[1]

    def cut(self, x: Tensor, n: int) -> Tensor:
        """Tokens (..., F n, e) -> (..., F, tiles, b, e)."""
        tiles, b = self.order.shape
        framed = x.unflatten(-2, (-1, n))
        if tiles == 1:
            return framed.unflatten(-2, (1, b))
        return framed.index_select(-2, self.order.flatten().to(x.device)).unflatten(-2, (tiles, b))

    def join(self, x: Tensor) -> Tensor:
        """The inverse of `cut`."""
        if len(self.order) == 1:
            return x.flatten(-4, -2)
        return x.flatten(-3, -2).index_select(-2, self.order.flatten().argsort().to(x.device)).flatten(-3, -2)


def tiling(tile: Tile, cameras: int, rows: int, columns: int) -> Tiling:
    """Cut frames of `cameras` grids of rows x columns tokens. Raises ZoetropeError for a tile that does not divide the grid."""
    if tile is None:
        sizes = [(r, c) for r in _divisors(rows) for c in _divisors(columns) if r * c <= TILE_TOKENS]
        tile = max(sizes, key=lambda size: (size[0] * size[1], min(size)))
    r, c = tile
    if r < 1 or c < 1 or rows % r or columns % c:
        raise ZoetropeError(f"mixer: tile: {r}x{c} tiles do not divide the {rows}x{columns} token grid")
    down, across = rows // r, columns // c
    numbers = torch.arange(cameras * rows * columns).view(cameras, down, r, across, c)
    order = numbers.transpose(2, 3).reshape(-1, r * c)
    where = torch.cartesian_prod(torch.arange(cameras), torch.arange(down), torch.arange(across)).view(-1, 3)
    return Tiling(order, where, (down, across))


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, blocks: Tensor, chosen: Tensor, rest: Tensor, rest_seen: Tensor
) -> Tensor:
    """Softmax attention of tiles of queries (N, Q, b, e) over chosen keys -> (N, Q, b, e).

    keys and values (N, all tokens, e); `blocks` (K, b') has the token numbers of each block, `chosen` bool (N, Q, K) which each
    tile sees (at least one); tokens `rest` (R,) are seen beside them where `rest_seen` (Q, R).
    """
    n, q, b, e = queries.shape
    if not len(rest) and _suits_kernel(b) and _suits_kernel(blocks.shape[1]) and runs(queries, keys, values, trains=True):
        return attend_in_kernel(queries, keys, values, blocks, chosen)
    total, width = keys.shape[1], blocks.shape[1]
    device = queries.device
    flat = chosen.flatten(0, 1)
    counts, by_count = flat.sum(1).sort(descending=True, stable=True)
    first = flat.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, : int(counts[0])]
    rows = queries.flatten(0, 1)
    keys, values = keys.flatten(0, 1), values.flatten(0, 1)
    room = GATHER_TOKENS if device.type == "cpu" else GATHER_TOKENS_DEVICE
    sizes, mixed, at = counts.tolist(), [], 0
    while at < len(by_count):
        most = sizes[at]
        group = by_count[at : at + max(1, room // (most * width + len(rest)))]
        head, tile = group // q, group % q
        tokens = torch.cat([blocks[first[group, :most]].flatten(1), rest.expand(len(group), -1)], 1)
        held = (torch.arange(most, device=device) < counts[at : at + len(group), None]).repeat_interleave(width, 1)
        seen = torch.cat([held, rest_seen[tile]], 1)
        bias = None
        if sizes[at + len(group) - 1] < most or len(rest):
            bias = torch.zeros(seen.shape, dtype=rows.dtype, device=device).masked_fill(~seen, float("-inf"))[None, :, None]
        where = (tokens + head[:, None] * total).flatten()
        near_keys, near_values = (x.index_select(0, where).view(1, len(group), -1, e) for x in (keys, values))
        mixed.append(F.scaled_dot_product_attention(rows[group][None], near_keys, near_values, attn_mask=bias)[0])
        at += len(group)
    return torch.cat(mixed)[by_count.argsort()].view(n, q, b, e)


def attend_in_kernel(queries: Tensor, keys: Tensor, values: Tensor, blocks: Tensor, chosen: Tensor) -> Tensor:
    """The same in one kernel, with nothing beside the blocks, whose sizes must be powers of two."""
    q, b = queries.shape[1:3]
    order, seen = blocks.flatten(), BlockMap(chosen[None], b, blocks.shape[1])
    near = lambda x: x.index_select(1, order)[None]  # noqa: E731
    return block_sparse(queries.flatten(1, 2)[None], near(keys), near(values), seen)[0].unflatten(1, (q, b))


def block_moments(x: Tensor, blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (N, K, e) of tokens (N, all tokens, e) over each block."""
    gathered = x.index_select(1, blocks.flatten()).unflatten(1, blocks.shape)
    mean = gathered.mean(2)
    return mean, (gathered.square().mean(2) - mean.square()).clamp(min=0)


def top_share(scores: Tensor, allowed: Tensor, share: float) -> Tensor:
    """bool (..., Q, K): the best `share` of the blocks that each tile may see, rounded up; `allowed` broadcasts to it."""
    allowed = allowed.expand(scores.shape)
    wanted = (allowed.sum(-1, keepdim=True) * share).ceil()
    rank = scores.masked_fill(~allowed, float("-inf")).argsort(dim=-1, descending=True, stable=True).argsort(-1)
    return (rank < wanted) & allowed


def top_mass(scores: Tensor, allowed: Tensor, mass: float) -> Tensor:
    """bool (..., Q, K): the likeliest blocks that together hold `mass` of the softmax of `scores`."""
    allowed = allowed.expand(scores.shape)
    share = scores.masked_fill(~allowed, float("-inf")).softmax(-1)
    sorted_share, order = share.sort(dim=-1, descending=True, stable=True)
    before = sorted_share.cumsum(-1) - sorted_share
    enough = torch.zeros_like(allowed).scatter(-1, order, before < mass)
    return (enough | (mass >= 1)) & allowed


def _divisors(x: int) -> list[int]:
    return [d for d in range(1, x + 1) if x % d == 0]


def _suits_kernel(size: int) -> bool:
    return size >= SMALLEST_DOT and size & (size - 1) == 0

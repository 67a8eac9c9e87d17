"""Context parallelism: each process holds part of a frame's tokens, and only attention talks.

Ulysses (DeepSpeed, arXiv 2309.14509) exchanges tokens for heads. Ring attention (arXiv 2310.01889) hands keys and values round
and merges by online softmax; where the past is kept in parts, the queries travel instead (arXiv 2411.01783), since they are few
and the past is long. One new frame at a time, as sessions imagine it.

Shape letters: B batch, n tokens of a frame, m of them here, H heads, e channels of a head.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from core.backbone.attention import Cached, DenseAttention, KeyValues, Layout
from core.backbone.rotary import Places, rotate
from core.backbone.transformer import Backbone, Block, Inputs, Outputs
from core.errors import ZoetropeError
from core.parallel.cut import Cut
from core.parallel.group import Group

Cache = Literal["shared", "sharded"]
"""Whether every process keeps the whole past, or its part: less memory, fewer bytes, but a saved session is in parts."""

M = TypeVar("M", bound=nn.Module)


def twin(module: nn.Module, kind: type[M]) -> M:
    """The same module, parts and weights shared, as another kind of it."""
    made = object.__new__(kind)
    made.__dict__.update(module.__dict__)
    for held in ("_modules", "_parameters", "_buffers"):
        setattr(made, held, dict(getattr(module, held)))
    return made


def check_plain(backbone: Backbone) -> None:
    """Raise ZoetropeError unless attention and the ways to call it are those that parallel versions stand for."""
    changed = "forward" in vars(backbone) or "remember" in vars(backbone)
    for block in backbone.blocks:
        assert isinstance(block, Block)
        changed |= type(block.attention) is not DenseAttention or "forward" in vars(block) | vars(block.attention)
    if changed:
        raise ZoetropeError("parallel: another acceleration has changed this world's attention or blocks; take it off first")


class SharedAttention(DenseAttention, ABC):
    """Attention of a process that has part of a frame's tokens."""

    group: Group
    cut: Cut
    cache: Cache

    @abstractmethod
    def whole(self, kept: Tensor) -> Tensor:
        """Keys or values (..., B, H, 1, n, e) of everyone, of what `forward` and `remember` kept here."""


class UlyssesAttention(SharedAttention):
    """All tokens of some heads."""

    def forward(self, x: Tensor, layout: Layout, cached: Cached | None = None) -> tuple[Tensor, KeyValues]:
        """x (B, 1, m, d) of one frame -> (B, 1, m, d), and keys and values (B, H / P, 1, n, e)."""
        normed, value = self._heads(x)
        parts = self._as_heads(torch.cat([normed, value[None]]))
        queries, turned = rotate(parts[:2], layout.rotation).unbind(0)
        keys, values = [turned], [parts[2]]
        if cached is not None:
            keys += self._own_heads(cached[0])
            values += self._own_heads(cached[1])
        mixed = self.mix(queries, torch.cat(keys, 2), torch.cat(values, 2), layout)
        mixed = torch.cat(self.group.exchange(self.cut.deal(mixed, 2)), 1)
        return self.write(mixed, mixed.shape[2]), KeyValues(parts[1].unsqueeze(2), parts[2].unsqueeze(2))

    def remember(self, x: Tensor, layout: Layout, cached: Cached | None = None) -> KeyValues:
        normed, value = self._heads(x)
        keys, values = self._as_heads(torch.stack([normed[1], value])).unsqueeze(3)
        return KeyValues(keys, values)

    def whole(self, kept: Tensor) -> Tensor:
        return torch.cat(self.group.gather(kept), -4)

    def _as_heads(self, parts: Tensor) -> Tensor:
        """(s, B, H, m, e) -> (s, B, H / P, n, e)."""
        return self.cut.join(self.group.exchange(list(parts.chunk(self.group.size, 2))), 3)

    def _own_heads(self, runs: list[Tensor]) -> list[Tensor]:
        if self.cache == "sharded":
            return runs
        return [run.chunk(self.group.size, 1)[self.group.rank] for run in runs]


class RingAttention(SharedAttention):
    """All heads of some tokens."""

    def forward(self, x: Tensor, layout: Layout, cached: Cached | None = None) -> tuple[Tensor, KeyValues]:
        """x (B, 1, m, d) of one frame -> (B, 1, m, d), and keys and values (B, H, 1, m, e)."""
        normed, value = self._heads(x)
        rotation = self.cut.rotation(layout.rotation, self.group.rank)
        queries, turned = rotate(normed, rotation).unbind(0)
        keys, values = [turned], [value]
        if cached is not None:
            keys, values = keys + cached[0], values + cached[1]
        own = torch.cat(keys, 2), torch.cat(values, 2)
        fresh = KeyValues(normed[1].unsqueeze(2), value.unsqueeze(2))
        if self.cache == "sharded":
            mixed = self._send_queries(queries, *own)
        else:
            mixed = self._send_keys(queries, torch.stack([turned, value]), *own)
        return self.write(mixed, mixed.shape[2]), fresh

    def remember(self, x: Tensor, layout: Layout, cached: Cached | None = None) -> KeyValues:
        normed, value = self._heads(x)
        return KeyValues(normed[1].unsqueeze(2), value.unsqueeze(2))

    def whole(self, kept: Tensor) -> Tensor:
        return self.cut.join(self.group.gather(kept), kept.ndim - 2)

    def _send_keys(self, queries: Tensor, travelling: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Everyone's fresh keys and values come by; `keys` and `values` are what is here already."""
        coming = self.group.start_pass(travelling)
        out, weight = attend(queries, keys, values)
        for hop in range(1, self.group.size):
            (travelling,) = coming.wait()
            if hop < self.group.size - 1:
                coming = self.group.start_pass(travelling)
            out, weight = merge(out, weight, *attend(queries, *travelling.unbind(0)))
        return out

    def _send_queries(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Queries visit everyone's keys and values and come home with what they found."""
        out, weight = attend(queries, keys, values)
        for _ in range(1, self.group.size):
            (packet,) = self.group.start_pass(torch.cat([queries, out, weight], -1)).wait()
            queries, out, weight = packet.split((queries.shape[-1], out.shape[-1], 1), -1)
            out, weight = merge(out, weight, *attend(queries, keys, values))
        (home,) = self.group.start_pass(out).wait()
        return home


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Attention over some of the keys: (B, H, m, e), and the logarithm (B, H, m, 1) of all weight that they got."""
    scores = queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5
    weight = scores.logsumexp(-1, keepdim=True)
    return (scores - weight).exp() @ values, weight


def merge(out: Tensor, weight: Tensor, other: Tensor, other_weight: Tensor) -> tuple[Tensor, Tensor]:
    """Attention over two sets of keys, of that over each (online softmax, arXiv 1805.02867)."""
    total = torch.logaddexp(weight, other_weight)
    return out * (weight - total).exp() + other * (other_weight - total).exp(), total


class CutBackbone(Backbone):
    """A backbone that carries part of a frame's tokens through its blocks."""

    group: Group
    cut: Cut

    def _enter(self, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor | None]:
        x, frame, known = super()._enter(inputs)
        return self.cut.own(x, 2, self.group.rank), frame, known

    def _leave(self, x: Tensor, frame: Tensor, known: Tensor | None, kept: tuple[KeyValues, ...]) -> Outputs:
        return super()._leave(self.cut.join(self.group.gather(x), 2), frame, known, kept)


class ContextBackbone(CutBackbone):
    """With attention that is shared out."""

    cache: Cache

    def remember(self, inputs: Inputs, layout: Layout, cached: tuple[Cached, ...] | None = None) -> tuple[KeyValues, ...]:
        """Keys and values as this process keeps them: all, or its part."""
        kept = super().remember(inputs, layout, cached)
        if self.cache == "sharded":
            return kept
        attention = self.blocks[0].attention
        assert isinstance(attention, SharedAttention)
        layers = attention.whole(torch.stack([torch.stack([layer.keys, layer.values]) for layer in kept]))
        return tuple(KeyValues(keys, values) for keys, values in layers)

    def layout(self, times: Tensor, cached: list[tuple[int, Tensor]] | None = None) -> Layout:
        """As for whole frames, but that it picks from a cache that holds this process's tokens where it does."""
        layout = super().layout(times, cached)
        if self.cache == "shared" or isinstance(self.blocks[0].attention, UlyssesAttention):
            return layout
        parts = self.group.size
        return replace(layout, picked=tuple(slice(run.start // parts, run.stop // parts) for run in layout.picked))


def context_backbone(backbone: Backbone, kind: type[SharedAttention], group: Group, cache: Cache) -> ContextBackbone:
    """The same network for one of `group`'s processes. Raises ZoetropeError where it cannot be shared out."""
    check_plain(backbone)
    if kind is UlyssesAttention and backbone.config.heads % group.size:
        raise ZoetropeError(f"ulysses: {backbone.config.heads} heads cannot be dealt out to {group.size} processes equally")
    aligned = kind is RingAttention and cache == "sharded"
    made = twin(backbone, ContextBackbone)
    made.group, made.cache = group, cache
    made.cut = Cut.of(backbone.shape, group.size, backbone.config.context if aligned else None)
    made.blocks = nn.ModuleList(exchanged(block, kind) for block in backbone.blocks)
    for block in made.blocks:
        attention = block.attention
        assert isinstance(attention, SharedAttention)
        attention.group, attention.cut, attention.cache = group, made.cut, cache
    return made


def exchanged(block: nn.Module, kind: type[DenseAttention]) -> Block:
    """The same block with another attention, weights shared."""
    assert isinstance(block, Block)
    made = twin(block, Block)
    made.attention = twin(block.attention, kind)
    return made


def past_part(backbone: ContextBackbone) -> Backbone:
    """What a key/value ring of this process's part of the past is made for."""
    size, rank, part = backbone.group.size, backbone.group.rank, twin(backbone, Backbone)
    if isinstance(backbone.blocks[0].attention, UlyssesAttention):
        part.config = replace(part.config, width=part.config.width // size, heads=part.config.heads // size)
        return part
    cut, cameras = backbone.cut, part.shape.cameras
    places = []
    for place, (_, _, rows, columns) in zip(part.places, part.config.context.spans()):
        assert isinstance(place, Places)
        own = twin(place, Places)
        grid = cameras, part.shape.rows // rows, part.shape.columns // columns
        own.space = replace(cut, grid=grid).own(place.space, 0, rank)
        places.append(own)
    part.places, part.shape = nn.ModuleList(places), cut.shape(part.shape)
    return part

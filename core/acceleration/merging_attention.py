"""Token reduction inside attention: queries and keys on their own terms, and neighbouring frames of the memory in pairs.

Asymmetric reduction (AsymRnR, arXiv 2412.11706): queries and keys with values bear different shares. Temporal pairs
(temporal-dimension token merging of On-device Sora, arXiv 2502.04363): the same place in two neighbouring frames is one key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from core.acceleration.matching import match
from core.acceleration.stack import Acceleration, Stage, Undo
from core.acceleration.wrapping import all_of, check_dense, check_range, wrap
from core.backbone.attention import Cached, KeyValues, Layout
from core.backbone.transformer import Backbone, Block
from core.streaming.world import World


@dataclass(frozen=True, kw_only=True, slots=True)
class AsymmetricMerging(Acceleration):
    """Merge like queries, and like keys with their values, head by head; every query gets its group's answer."""

    name: ClassVar[str] = "asymmetric_merging"
    stage: ClassVar[Stage] = Stage.CALLS
    queries: float = 0.5
    """Share of the queries merged away, at most half; 0 merges none."""
    keys: float = 0.25
    """Share of the keys merged away, at most half; 0 merges none."""

    def __post_init__(self) -> None:
        check_range(self.name, 0, 0.5, queries=self.queries, keys=self.keys)

    def check(self, world: World) -> None:
        check_dense(self.name, world)

    def apply(self, world: World) -> Undo:
        undos: list[Undo] = []
        for block in world.model.backbone.blocks:
            assert isinstance(block, Block)
            undos.append(wrap(block.attention, "mix", self._mix))
        return all_of(undos)

    def _mix(self, inner: Callable[..., Tensor], queries: Tensor, keys: Tensor, values: Tensor, layout: Layout) -> Tensor:
        if layout.call is None or layout.bias is not None:
            return inner(queries, keys, values, layout)
        if count := round(self.keys * keys.shape[2]):
            flat = keys.flatten(0, 1)
            groups = match(flat, _every_second(flat), count)
            keys, values = (groups.merge(x.flatten(0, 1)).unflatten(0, x.shape[:2]) for x in (keys, values))
        if not (count := round(self.queries * queries.shape[2])):
            return inner(queries, keys, values, layout)
        flat = queries.flatten(0, 1)
        groups = match(flat, _every_second(flat), count)
        few = inner(groups.merge(flat).unflatten(0, queries.shape[:2]), keys, values, layout)
        return groups.restore(few.flatten(0, 1)).unflatten(0, queries.shape[:2])


@dataclass(frozen=True, kw_only=True, slots=True)
class TemporalPairs(Acceleration):
    """See the exact frames of memory in pairs of neighbours, but for the newest ones."""

    name: ClassVar[str] = "temporal_pairs"
    stage: ClassVar[Stage] = Stage.CALLS
    spare: int = 1
    """Newest frames that stay apart; as many as there are exact ones pairs none."""

    def __post_init__(self) -> None:
        check_range(self.name, 0, spare=self.spare)

    def check(self, world: World) -> None:
        check_dense(self.name, world)

    def apply(self, world: World) -> Undo:
        return wrap(world.model.backbone, "through", _Paired(world.model.backbone, self.spare))


class _Paired:
    """`Backbone.through` with a shorter memory."""

    def __init__(self, backbone: Backbone, spare: int):
        self.backbone, self.spare = backbone, spare

    def __call__(
        self,
        inner: Callable[..., Any],
        x: Tensor,
        modulation: Tensor,
        layout: Layout,
        cached: tuple[Cached, ...] | None,
        blocks: slice = slice(None),
    ) -> tuple[Tensor, tuple[KeyValues, ...]]:
        pairs = self._pairs(layout) if layout.call is not None and layout.bias is None else []
        if cached is None or not pairs:
            return inner(x, modulation, layout, cached, blocks)
        n = self.backbone.shape.tokens
        return inner(x, modulation, layout, tuple((_pair(k, pairs, n), _pair(v, pairs, n)) for k, v in cached), blocks)

    def _pairs(self, layout: Layout) -> list[tuple[int, int]]:
        """First tokens of the frames to pair, among what is picked of the cache."""
        context, n = self.backbone.config.context, self.backbone.shape.tokens
        begin, recent, picked = context.sinks * n, context.recent, 0
        where: dict[int, int] = {}
        for run in layout.picked:
            for slot in range(recent):
                start = begin + slot * n
                if run.start <= start and start + n <= run.stop:
                    where[slot] = picked + start - run.start
            picked += run.stop - run.start
        ages = [age for age in range(1 + self.spare, recent + 1) if (layout.newest - age) % recent in where]
        at = [where[(layout.newest - age) % recent] for age in ages]
        return list(zip(at[::2], at[1::2]))


def _pair(runs: list[Tensor], pairs: list[tuple[int, int]], n: int) -> list[Tensor]:
    """Put the mean of both frames of n tokens in the place of the first of each pair, and drop the second."""
    whole = torch.cat(runs, 2)
    firsts, seconds = {a: b for a, b in pairs}, {b for _, b in pairs}
    out, at = [], 0
    for start in sorted([*firsts, *seconds]):
        out.append(whole[:, :, at:start])
        if start in firsts:
            out.append((whole[:, :, start : start + n] + whole[:, :, firsts[start] : firsts[start] + n]) / 2)
        at = start + n
    return [*out, whole[:, :, at:]]


def _every_second(x: Tensor) -> Tensor:
    """int64 (B, n / 2) of x (B, n, d)."""
    return torch.arange(0, x.shape[1], 2, device=x.device).expand(len(x), -1)

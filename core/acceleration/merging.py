"""Token reduction in space: like tokens go through the blocks as one (ToMe, arXiv 2210.09461) and come back as many.

The first blocks run in full, since what enters is mostly noise; likeness is judged by what they made of it. After the last
block every token is given what its group gained, on top of what it was itself. Keys and values for the session's memory are
given back to every token, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from torch import Tensor

from core.acceleration.matching import Groups, grid_of, match
from core.acceleration.stack import Acceleration, Stage, Undo
from core.acceleration.wrapping import check_dense, check_range, rotation_of, wrap
from core.backbone.attention import Cached, KeyValues, Layout
from core.backbone.transformer import Backbone
from core.errors import ZoetropeError
from core.streaming.world import World


@dataclass(frozen=True, kw_only=True, slots=True)
class Merging(Acceleration):
    """Merge a share of the tokens of every frame between the first and the last block."""

    name: ClassVar[str] = "merging"
    stage: ClassVar[Stage] = Stage.CALLS
    excludes = {"token_cache": "tokens that are merged cannot be computed one by one"}
    ratio: float = 0.5
    """Share of the tokens that are merged away, at most 0.75; 0 merges none."""
    whole: int = 1
    """First blocks that run in full."""
    keep: Literal["grid", "importance"] = "grid"
    """Who stays: an even grid, or the tokens to which the first blocks add most (importance-based, arXiv 2411.16720)."""
    commit: bool = True
    """Whether tokens are merged in the call that takes the finished frame into memory as well."""

    def __post_init__(self) -> None:
        check_range(self.name, 0, 0.75, ratio=self.ratio)
        check_range(self.name, 0, whole=self.whole)
        if self.keep == "importance" and self.whole == 0:
            raise ZoetropeError("accelerations: merging: importance is judged by the first blocks: whole must be at least 1")

    def check(self, world: World) -> None:
        check_dense(self.name, world)
        if self.whole >= world.config.backbone.layers:
            raise ZoetropeError(f"accelerations: merging: whole must be less than {world.config.backbone.layers} blocks")

    def apply(self, world: World) -> Undo:
        return wrap(world.model.backbone, "through", _Merged(world.model.backbone, self))


class _Merged:
    """`Backbone.through` with fewer tokens after the first blocks."""

    def __init__(self, backbone: Backbone, settings: Merging):
        self.settings, shape = settings, backbone.shape
        self.count = round(settings.ratio * shape.tokens)
        self.stay = grid_of(shape.cameras, shape.rows, shape.columns, settings.ratio, backbone.place.device)

    def __call__(
        self,
        inner: Callable[..., Any],
        x: Tensor,
        modulation: Tensor,
        layout: Layout,
        cached: tuple[Cached, ...] | None,
        blocks: slice = slice(None),
    ) -> tuple[Tensor, tuple[KeyValues, ...]]:
        call, whole, start = layout.call, self.settings.whole, blocks.start or 0
        if call is None or self.count == 0 or layout.bias is not None or not (call.denoises or self.settings.commit):
            return inner(x, modulation, layout, cached, blocks)
        y, first = x, ()
        if start < whole:
            y, first = inner(x, modulation, layout, cached, slice(start, whole))
        groups = self._groups(x, y)
        few = groups.merge(y[:, 0])[:, None]
        part = replace(layout, rotation=rotation_of(groups.head, layout.rotation))
        out, kept = inner(few, modulation, part, cached, slice(max(whole, start), blocks.stop))
        every = [KeyValues(groups.restore(layer.keys), groups.restore(layer.values)) for layer in kept]
        return y + groups.restore(out - few), (*first, *every)

    def _groups(self, x: Tensor, y: Tensor) -> Groups:
        if self.settings.keep == "importance":
            added = (y - x)[:, 0].square().sum(-1)
            stay = added.topk(added.shape[1] - self.count, 1).indices.sort(1).values
        else:
            stay = self.stay.to(x.device).expand(len(x), -1)
        return match(y[:, 0], stay, min(self.count, x.shape[2] - stay.shape[1]))

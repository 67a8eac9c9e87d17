"""Caching made for world models: the shallow blocks follow every step, the deep ones, which carry the scene, are extrapolated.

After HERO (arXiv 2508.17588): shallow features vary much from step to step and are refreshed, deep ones move along a line and
are extrapolated. The call that takes the finished frame into the key/value ring is treated as one more step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from core.acceleration.caching_skip import rivals
from core.acceleration.stack import Acceleration, Stage, Undo
from core.acceleration.wrapping import check_range, wrap
from core.backbone.attention import Cached, KeyValues, Layout
from core.backbone.call import Call
from core.backbone.transformer import Backbone, Block
from core.errors import ZoetropeError
from core.streaming.world import World


@dataclass(frozen=True, kw_only=True, slots=True)
class ShallowRefresh(Acceleration):
    """Run the first `shallow` blocks in every step and the deep ones in every `every`-th."""

    name: ClassVar[str] = "shallow_refresh"
    stage: ClassVar[Stage] = Stage.REUSE
    compared_at: ClassVar[int | None] = 4
    excludes = rivals("shallow_refresh")
    shallow: int = 2
    every: int = 2
    """1 leaves nothing out."""
    commit: bool = False
    """Whether the deep blocks are left out of the call that takes the frame into memory as well."""

    def __post_init__(self) -> None:
        check_range(self.name, 0, shallow=self.shallow)
        check_range(self.name, 1, every=self.every)

    def check(self, world: World) -> None:
        layers = world.config.backbone.layers
        if self.shallow >= layers:
            raise ZoetropeError(f"accelerations: {self.name}: shallow must be less than the {layers} blocks of this world")

    def apply(self, world: World) -> Undo:
        return wrap(world.model.backbone, "through", _Deep(world.model.backbone, self))


class _Deep:
    """`Backbone.through` that keeps what each deep block adds to where the shallow ones end."""

    def __init__(self, backbone: Backbone, settings: ShallowRefresh):
        self.backbone, self.settings = backbone, settings

    def __call__(
        self,
        inner: Callable[..., Any],
        x: Tensor,
        modulation: Tensor,
        layout: Layout,
        cached: tuple[Cached, ...] | None,
        blocks: slice = slice(None),
    ) -> tuple[Tensor, tuple[KeyValues, ...]]:
        call, settings = layout.call, self.settings
        commits = blocks == slice(0, -1)
        if call is None or blocks not in (slice(None), slice(0, -1)) or (commits and not settings.commit):
            return inner(x, modulation, layout, cached, blocks)
        if settings.every == 1 and not settings.commit:
            return inner(x, modulation, layout, cached, blocks)
        y, kept = inner(x, modulation, layout, cached, slice(0, settings.shallow))
        last = call.get("deep.last")
        if commits and last is not None:
            return self._commit(call, y, kept, modulation, layout, cached, last)
        if commits or call.step % settings.every == 0 or last is None:
            return self._compute(inner, call, y, kept, modulation, layout, cached, blocks)
        return y + self._extrapolated(call, last)[-1], ()

    def _compute(self, inner, call: Call, y, kept, modulation, layout, cached, blocks):  # noqa: ANN001, ANN202 - as above
        """Run the deep blocks one by one and keep what each has added so far."""
        x, added = y, []
        for i in range(self.settings.shallow, len(self.backbone.blocks))[: -1 if blocks.stop == -1 else None]:
            x, fresh = inner(x, modulation, layout, cached, slice(i, i + 1))
            kept = (*kept, *fresh)
            added.append(x - y)
        if call.denoises:
            if (before := call.get("deep.last")) is not None:
                call.put("deep.before", before)
            call.put("deep.last", torch.stack(added, 1))
        return x, kept

    def _extrapolated(self, call: Call, last: Tensor) -> Tensor:
        """(L, B, T, n, d): what the deep blocks would add at this step, along the line through the last two that ran."""
        before, every = call.get("deep.before"), self.settings.every
        if before is not None and call.denoises:
            last = torch.lerp(before, last, 1 + (call.step % every) / every)
        return last.unbind(1)  # type: ignore[return-value]

    def _commit(self, call: Call, y, kept, modulation, layout, cached, last: Tensor):  # noqa: ANN001, ANN202
        """Keys and values of the deep blocks from where their tokens would be."""
        added = self._extrapolated(call, last)
        x = y
        for i in range(self.settings.shallow, len(self.backbone.blocks) - 1):
            block = self.backbone.blocks[i]
            assert isinstance(block, Block)
            kept = (*kept, block.remember(x, modulation, layout, None if cached is None else cached[i]))
            x = y + added[i - self.settings.shallow]
        return x, kept

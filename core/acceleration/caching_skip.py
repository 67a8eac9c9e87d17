"""Whole stretches of the backbone left out of a denoising step when little has changed since they were last computed.

What the blocks add to the tokens (their residual) is kept and added again. Two ways to see how little has changed: by what
enters the first block (TeaCache, arXiv 2411.19108), or by what the first blocks themselves make of it (first-block cache of
ParaAttention; AdaCache, arXiv 2411.02397), on request judged by its low frequencies alone, which settle first (PreciseCache).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from core.acceleration.stack import Acceleration, Stage, Undo
from core.acceleration.wrapping import cached_of, changed, check_range, merge_rows, wrap
from core.backbone.attention import Cached, KeyValues, Layout
from core.backbone.call import Call
from core.backbone.transformer import Backbone
from core.errors import ZoetropeError
from core.memory.context import pool_tokens
from core.streaming.world import World

ONE_CACHE = "both decide which blocks of a step are left out"
OTHERS = ("timestep_cache", "block_cache", "shallow_refresh", "token_cache")


def rivals(name: str) -> dict[str, str]:
    """A step can be left out by one technique only."""
    return {other: ONE_CACHE for other in OTHERS if other != name}


@dataclass(frozen=True, kw_only=True, slots=True)
class TimestepCache(Acceleration):
    """Leave out all blocks of a step while what enters them has changed by less than `threshold` since they last ran."""

    name: ClassVar[str] = "timestep_cache"
    stage: ClassVar[Stage] = Stage.REUSE
    compared_at: ClassVar[int | None] = 4
    excludes = rivals("timestep_cache")
    threshold: float = 0.6
    """Sum of the relative changes from step to step; 0 leaves nothing out."""

    def __post_init__(self) -> None:
        check_range(self.name, threshold=self.threshold)

    def apply(self, world: World) -> Undo:
        backbone = world.model.backbone

        def enters(x: Tensor, modulation: Tensor) -> Tensor:
            shift, scale = (modulation + backbone.blocks[0].table)[:, :, :2, None].unbind(2)  # type: ignore[operator]
            return torch.addcmul(shift, torch.nn.functional.layer_norm(x, x.shape[-1:]), 1 + scale)

        return wrap(backbone, "through", _Skip(backbone, self.threshold, 0, enters))


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockCache(Acceleration):
    """Run the first blocks of every step; leave out the others while what the first ones add has changed by little."""

    name: ClassVar[str] = "block_cache"
    stage: ClassVar[Stage] = Stage.REUSE
    compared_at: ClassVar[int | None] = 4
    excludes = rivals("block_cache")
    threshold: float = 0.4
    """Sum of the relative changes from step to step; 0 leaves nothing out."""
    first: int = 1
    """Blocks that always run."""
    pool: int = 1
    """Judge means of pool x pool tokens: the low frequencies alone. 1 judges every token."""

    def __post_init__(self) -> None:
        check_range(self.name, threshold=self.threshold)
        check_range(self.name, 1, first=self.first, pool=self.pool)

    def check(self, world: World) -> None:
        shape, layers = world.config.frame_shape, world.config.backbone.layers
        if self.first >= layers:
            raise ZoetropeError(f"accelerations: {self.name}: first must be less than the {layers} blocks of this world")
        if shape.rows % self.pool or shape.columns % self.pool:
            raise ZoetropeError(
                f"accelerations: {self.name}: pool {self.pool} does not divide the {shape.rows}x{shape.columns} tokens"
            )

    def apply(self, world: World) -> Undo:
        backbone, shape = world.model.backbone, world.config.frame_shape

        def low(added: Tensor, modulation: Tensor) -> Tensor:
            return pool_tokens(added, (shape.rows, shape.columns), self.pool, self.pool)

        return wrap(backbone, "through", _Skip(backbone, self.threshold, self.first, low))


class _Skip:
    """`Backbone.through` that runs the first blocks, judges, and runs the others only where it must."""

    def __init__(self, backbone: Backbone, threshold: float, first: int, sign: Callable[[Tensor, Tensor], Tensor]):
        """`sign` (what the first blocks add, or with none of them what enters; the modulation) -> what is compared."""
        self.backbone, self.threshold, self.first, self.sign = backbone, threshold, first, sign

    def __call__(
        self,
        inner: Callable[..., Any],
        x: Tensor,
        modulation: Tensor,
        layout: Layout,
        cached: tuple[Cached, ...] | None,
        blocks: slice = slice(None),
    ) -> tuple[Tensor, tuple[KeyValues, ...]]:
        call = layout.call
        if call is None or not call.denoises or blocks != slice(None) or self.threshold == 0:
            return inner(x, modulation, layout, cached, blocks)
        y, kept = (x, ()) if self.first == 0 else inner(x, modulation, layout, cached, slice(0, self.first))
        sign = self.sign(y - x if self.first else x, modulation)
        run, residual = self._needed(call, sign), call.get("skip.residual")
        rest = slice(self.first, None)
        if bool(run.all()) or residual is None:
            out, more = inner(y, modulation, layout, cached, rest)
            kept = (*kept, *more)
        elif not bool(run.any()):
            out, kept = y + residual, ()
        else:
            some, _ = inner(y[run], modulation[run], layout, cached_of(cached, run), rest)
            out, kept = merge_rows(run, some, y + residual), ()
        call.put("skip.residual", out - y)
        return out, kept

    def _needed(self, call: Call, sign: Tensor) -> Tensor:
        """bool (B,): whose blocks must run."""
        before, gathered = call.get("skip.sign"), call.get("skip.gathered")
        call.put("skip.sign", sign)
        if call.step == 0 or before is None or gathered is None:
            call.put("skip.gathered", sign.new_zeros(len(sign)))
            return torch.ones(len(sign), dtype=torch.bool, device=sign.device)
        gathered = gathered + changed(sign, before)
        run = gathered >= self.threshold
        call.put("skip.gathered", torch.where(run, 0, gathered))
        return run

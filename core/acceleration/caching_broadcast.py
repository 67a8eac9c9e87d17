"""Pyramid attention broadcast (arXiv 2408.12588): what attention found in one denoising step is used in the next ones too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from core.acceleration.stack import Acceleration, Stage, Undo
from core.acceleration.wrapping import all_of, check_range, wrap
from core.backbone.attention import Cached, KeyValues, Layout
from core.backbone.transformer import Block
from core.streaming.world import World


@dataclass(frozen=True, kw_only=True, slots=True)
class Broadcast(Acceleration):
    """Attention runs in every `every`-th step; in between its output stays as it was, and the rest of the block runs."""

    name: ClassVar[str] = "broadcast"
    stage: ClassVar[Stage] = Stage.CALLS
    compared_at: ClassVar[int | None] = 4
    every: int = 2
    """1 leaves nothing out."""
    deep_every: int | None = None
    """Of the second half of the blocks, which change more slowly; None: the same."""

    def __post_init__(self) -> None:
        check_range(self.name, 1, every=self.every, deep_every=self.deep_every or 1)

    def apply(self, world: World) -> Undo:
        blocks = world.model.backbone.blocks
        deep = self.deep_every or self.every
        undos: list[Undo] = []
        for i, block in enumerate(blocks):
            assert isinstance(block, Block)
            every = deep if 2 * i >= len(blocks) else self.every
            if every > 1:
                undos.append(wrap(block.attention, "forward", _broadcast(f"broadcast.{i}", every)))
        return all_of(undos)


def _broadcast(name: str, every: int) -> Callable[..., tuple[Tensor, KeyValues]]:
    def attend(inner: Callable[..., Any], x: Tensor, layout: Layout, cached: Cached | None = None) -> tuple[Tensor, KeyValues]:
        call = layout.call
        if call is None or not call.denoises:
            return inner(x, layout, cached)
        keys, values, mixed = (call.get(f"{name}.{part}") for part in ("keys", "values", "mixed"))
        if call.step % every and mixed is not None and keys is not None and values is not None:
            return mixed, KeyValues(keys, values)
        mixed, fresh = inner(x, layout, cached)
        for part, value in (("keys", fresh.keys), ("values", fresh.values), ("mixed", mixed)):
            call.put(f"{name}.{part}", value)
        return mixed, fresh

    return attend

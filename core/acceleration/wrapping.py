"""Calls of a world's modules, led through a technique; and calls for only some members of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from core.acceleration.stack import Undo
from core.backbone.attention import Cached, DenseAttention
from core.backbone.rotary import Rotation
from core.backbone.transformer import Block, Inputs
from core.errors import ZoetropeError
from core.streaming.world import World

Around = Callable[..., Any]
"""(the method as it was, its arguments) -> its result."""


def wrap(module: nn.Module, method: str, around: Around) -> Undo:
    """Lead `module.method(...)` through `around(inner, ...)`. No weight and no other module sees it."""
    inner, own = getattr(module, method), module.__dict__.get(method)

    def led(*arguments: Any, **named: Any) -> Any:
        return around(inner, *arguments, **named)

    module.__dict__[method] = led

    def undo() -> None:
        if own is None:
            del module.__dict__[method]
        else:
            module.__dict__[method] = own

    return undo


def all_of(undos: list[Undo]) -> Undo:
    """Take several off, last first."""

    def undo() -> None:
        while undos:
            undos.pop()()

    return undo


def changed(now: Tensor, before: Tensor) -> Tensor:
    """(B,): how far features (B, ...) are from what they were, relative to that (mean absolute values)."""
    return (now - before).flatten(1).abs().mean(1) / before.flatten(1).abs().mean(1).clamp(min=1e-9)


def cached_of(cached: tuple[Cached, ...] | None, rows: Tensor) -> tuple[Cached, ...] | None:
    """What was cached of some members, bool (B,)."""
    pick = lambda runs: [run[rows] for run in runs]  # noqa: E731
    return None if cached is None else tuple((pick(keys), pick(values)) for keys, values in cached)


def inputs_of(inputs: Inputs, rows: Tensor) -> Inputs:
    """The inputs of some members, bool (B,)."""
    return replace(inputs, **{f.name: x[rows] for f in fields(inputs) if (x := getattr(inputs, f.name)) is not None})


def merge_rows(rows: Tensor, some: Tensor, others: Tensor) -> Tensor:
    """`some` where bool (B,) `rows` is true, in its order, and `others` (B, ...) elsewhere."""
    return others.index_put((rows.nonzero()[:, 0],), some.to(others.dtype))


def check_range(technique: str, low: float = 0.0, high: float = float("inf"), **settings: float) -> None:
    """Raise ZoetropeError for the first setting outside [low, high]."""
    for name, value in settings.items():
        if not low <= value <= high:
            bounds = f"at least {low:g}" if high == float("inf") else f"from {low:g} to {high:g}"
            raise ZoetropeError(f"accelerations: {technique}: {name} must be {bounds}, found {value:g}")


def token_rows(tokens: Tensor, x: Tensor) -> Tensor:
    """Of x (B, ..., n, e) those tokens of each member: int64 (B, m) -> (B, ..., m, e)."""
    index = tokens.view(len(tokens), *[1] * (x.dim() - 3), tokens.shape[1], 1)
    return torch.gather(x, -2, index.expand(*x.shape[:-2], -1, x.shape[-1]))


def rotation_of(tokens: Tensor, rotation: Rotation) -> Rotation:
    """Of some tokens (B, m) of each member: (B, 1, m, e)."""
    return Rotation(rotation.cos[tokens][:, None], rotation.sin[tokens][:, None])


def check_dense(technique: str, world: World) -> None:
    """Raise ZoetropeError in a world whose tokens do not all see each other: it could not do with some of them."""
    for block in world.model.backbone.blocks:
        assert isinstance(block, Block)
        if type(block.attention) is not DenseAttention:
            found = type(block.attention).__name__
            raise ZoetropeError(f"accelerations: {technique}: needs dense attention, this world has {found}")

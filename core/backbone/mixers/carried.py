"""What a mixer hands on from frame to frame of a session, beside keys and values."""

from __future__ import annotations

from torch import Tensor

from core.backbone.attention import Layout
from core.backbone.call import ACROSS


def carried(layout: Layout, layer: int) -> Tensor | None:
    """What was handed on when the frame before was taken in, (B, ...); None at the start, and outside sessions."""
    return None if layout.call is None else layout.call.kept.get(_name(layer))


def carry(layout: Layout, layer: int, state: Tensor) -> None:
    """Hand on `state` (B, ...) if this call takes its last frame in; what is only being denoised leaves nothing behind."""
    if layout.call is not None and not layout.call.denoises:
        layout.call.kept[_name(layer)] = state


def _name(layer: int) -> str:
    return f"{ACROSS}mixer.{layer}"

"""Token-heterogeneous prediction with adaptive skipping, for world models (after WorldCache).

Tokens do not change alike from one denoising step to the next: still wall hardly at all, most along a line, some at random.
What the blocks add is kept token by token and extrapolated; only the tokens that moved most are computed again, and a step in
which hardly anything moved is left out altogether.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from core.acceleration.caching_skip import rivals
from core.acceleration.stack import Acceleration, Stage, Undo
from core.acceleration.wrapping import check_dense, check_range, rotation_of, token_rows, wrap
from core.backbone.attention import Cached, KeyValues, Layout
from core.backbone.call import Call
from core.backbone.rotary import rotate
from core.streaming.world import World


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenCache(Acceleration):
    """Compute a `share` of the tokens after a frame's first step; extrapolate the others."""

    name: ClassVar[str] = "token_cache"
    stage: ClassVar[Stage] = Stage.REUSE
    compared_at: ClassVar[int | None] = 4
    excludes = rivals("token_cache") | {"broadcast": "what attention found is kept for all tokens or for none"}
    share: float = 0.25
    """1 computes all."""
    still: float = 0.3
    """A step in which what enters has changed by less than this, relatively, is left out altogether; 0 leaves none out."""

    def __post_init__(self) -> None:
        check_range(self.name, 0, 1, share=self.share)
        check_range(self.name, still=self.still)

    def check(self, world: World) -> None:
        check_dense(self.name, world)

    def apply(self, world: World) -> Undo:
        return wrap(world.model.backbone, "through", _Tokens(self))


class _Tokens:
    """`Backbone.through` for the tokens that moved most."""

    def __init__(self, settings: TokenCache):
        self.settings = settings

    def __call__(
        self,
        inner: Callable[..., Any],
        x: Tensor,
        modulation: Tensor,
        layout: Layout,
        cached: tuple[Cached, ...] | None,
        blocks: slice = slice(None),
    ) -> tuple[Tensor, tuple[KeyValues, ...]]:
        call, share = layout.call, self.settings.share
        if call is None or not call.denoises or layout.bias is not None or (share == 1 and self.settings.still == 0):
            return inner(x, modulation, layout, cached, blocks)
        entered, residual = call.get("tokens.entered"), call.get("tokens.residual")
        if call.step == 0 or entered is None or residual is None:
            return self._all(inner, call, x, modulation, layout, cached, blocks)
        moved = (x - entered).abs().mean(-1)[:, 0] / entered.abs().mean(-1)[:, 0].clamp(min=1e-9)
        velocity = call.get("tokens.velocity")
        guess = residual if velocity is None else residual + velocity
        out = x + guess
        run = (moved.mean(1) >= self.settings.still)[:, None, None, None]
        if (count := round(share * x.shape[2])) and bool(run.any()):
            chosen = moved.topk(count, 1).indices.sort(1).values
            some = self._some(inner, call, x, modulation, layout, cached, chosen)
            out = torch.where(run, out.scatter(2, chosen[:, None, :, None].expand_as(some), some), out)
        call.put("tokens.velocity", out - x - residual)
        call.put("tokens.residual", out - x)
        call.put("tokens.entered", torch.where(run, x, entered))
        return out, ()

    def _all(self, inner, call: Call, x, modulation, layout, cached, blocks):  # noqa: ANN001, ANN202 - as above
        out, kept = inner(x, modulation, layout, cached, blocks)
        call.put("tokens.entered", x)
        call.put("tokens.residual", out - x)
        call.put("tokens.keys", torch.stack([layer.keys[:, :, 0] for layer in kept], 1))
        call.put("tokens.values", torch.stack([layer.values[:, :, 0] for layer in kept], 1))
        return out, kept

    def _some(self, inner, call: Call, x, modulation, layout: Layout, cached, chosen: Tensor):  # noqa: ANN001, ANN202
        """The chosen tokens (B, m), which see the others as they were: (B, 1, m, d)."""
        keys, values = call.get("tokens.keys"), call.get("tokens.values")
        assert keys is not None and values is not None
        batch, n = len(x), x.shape[2]
        left = torch.ones(batch, n, dtype=torch.bool, device=x.device).scatter(1, chosen, False)
        others = left.nonzero()[:, 1].view(batch, -1)
        old, stale = rotation_of(others, layout.rotation), []
        for layer in range(keys.shape[1]):
            runs = cached[layer] if cached is not None else ([], [])
            turned = rotate(token_rows(others, keys[:, layer]), old)
            stale.append(([turned, *runs[0]], [token_rows(others, values[:, layer]), *runs[1]]))
        part = replace(layout, rotation=rotation_of(chosen, layout.rotation))
        return inner(token_rows(chosen, x), modulation, part, tuple(stale))[0]

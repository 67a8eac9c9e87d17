"""Mixers with a running state in place of a cache: a frame costs the same whatever came before, and nothing is ever cut off.

Causal over frames, full within one. Both keep dense attention's projections, so that a dense checkpoint converts with a short
fine-tune; packed frames, which stand for what a cache forgets, are not needed.

Shape letters: B batch, H heads, T frames, n tokens of a frame, e channels of a head.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.backbone.attention import Cached, DenseAttention, KeyValues, Layout
from core.backbone.mixers import config as configs
from core.backbone.mixers.carried import carried, carry
from core.backbone.mixers.scan import chunked_scan
from core.backbone.mixers.site import Site
from core.backbone.rotary import rotate

FADING = (math.log(2.0), math.log(64.0))
"""Logarithm of the frames over which the first and last head's states fade at first (as in retention, arXiv 2307.08621)."""
LINEAR_CHUNK = 16
"""Frames that linear attention works through at once."""
EPSILON = 1e-6
"""Weight below which linear attention saw nothing."""


class Recurrent(DenseAttention):
    """Runs from what a session keeps (`core.backbone.call`); needs no key/value cache."""

    cost: ClassVar[str] = "tokens x channels of a head, whatever the length"
    cache: ClassVar[str] = "a state of the size of a head squared"

    def __init__(self, site: Site):
        super().__init__(site.width, site.heads, site.head)
        self.site = site

    @abstractmethod
    def run(self, x: Tensor, layout: Layout, start: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mixed (B, H, T, n, e) of x (B, T, n, d), and the state (B, ...) after each frame but for `start`: (B, H, T, ...)."""

    def forward(self, x: Tensor, layout: Layout, cached: Cached | None = None) -> tuple[Tensor, KeyValues]:
        mixed, states = self.run(x, layout, carried(layout, self.site.layer))
        carry(layout, self.site.layer, states[:, :, -1].contiguous())
        return self.out(self.finish(mixed.permute(0, 2, 3, 1, 4).flatten(3), x)), self.nothing(x)

    def remember(self, x: Tensor, layout: Layout, cached: Cached | None = None) -> KeyValues:
        _, states = self.run(x, layout, carried(layout, self.site.layer))
        carry(layout, self.site.layer, states[:, :, -1].contiguous())
        return self.nothing(x)

    def finish(self, mixed: Tensor, x: Tensor) -> Tensor:
        """What the heads found together (B, T, n, d), before it is projected."""
        return mixed

    def nothing(self, x: Tensor) -> KeyValues:
        """Keys and values that say nothing: a cache may keep them, nobody reads them."""
        blank = x.new_zeros(1, 1, 1, 1, 1).expand(len(x), self.heads, *x.shape[1:3], self.site.head)
        return KeyValues(blank, blank)

    def frames(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of x (B, T, n, d), each (B, H, T n, e)."""
        normed, values = self._heads(x)
        return normed[0], normed[1], values


class LinearAttention(Recurrent):
    """Weights are products of ReLU'd queries and keys, turned where they stand; their sum is not (arXiv 2104.09864, 4.3)."""

    def __init__(self, config: configs.Linear, site: Site):
        super().__init__(site)
        self.config = config
        self.fading = nn.Parameter(torch.linspace(*FADING, site.heads))
        """(H,) logarithm of the frames over which a head's state fades."""

    def run(self, x: Tensor, layout: Layout, start: Tensor | None) -> tuple[Tensor, Tensor]:
        queries, keys, values = self.frames(x)
        queries, keys, values = F.relu(queries), F.relu(keys), values
        shape = (x.shape[1], x.shape[2])
        cut = lambda y: y.unflatten(2, shape)  # noqa: E731
        turned, values = cut(rotate(keys, layout.rotation)), cut(values)
        mass = cut(keys).sum(3)[..., None]
        updates = torch.cat([turned.transpose(3, 4) @ values, mass], -1) / x.shape[2]
        fade = -torch.exp(-self.fading)[None, :, None].expand(*updates.shape[:3])
        states = chunked_scan(updates, fade, start, LINEAR_CHUNK)
        found = cut(rotate(queries, layout.rotation)) @ states[..., :-1]
        return found / (cut(queries) @ states[..., -1:]).clamp(min=EPSILON), states


class StateSpaceMixer(Recurrent):
    """Mamba-2's state-space duality with a frame as its step: how much a frame writes and lets fade depends on it.

    Keys and queries, normalized and turned, are the state's inlet and outlet; a gate and a skip as there.
    """

    def __init__(self, config: configs.StateSpace, site: Site):
        super().__init__(site)
        self.config = config
        d, heads = site.width, site.heads
        self.step = nn.Linear(d, heads)
        self.gate = nn.Linear(d, d)
        self.skip = nn.Parameter(torch.ones(heads))
        self.fading = nn.Parameter(torch.linspace(*FADING, heads))
        """(H,) logarithm of the frames over which a head's state fades where every token's step is one."""
        self.norm = nn.RMSNorm(d)
        nn.init.zeros_(self.step.weight)
        nn.init.constant_(self.step.bias, 1.0)
        nn.init.zeros_(self.gate.weight)
        nn.init.ones_(self.gate.bias)

    def run(self, x: Tensor, layout: Layout, start: Tensor | None) -> tuple[Tensor, Tensor]:
        queries, keys, values = self.frames(x)
        shape = (x.shape[1], x.shape[2])
        cut = lambda y: y.unflatten(2, shape)  # noqa: E731
        step = F.softplus(self.step(x)).permute(0, 3, 1, 2)  # (B, H, T, n)
        turned, values = cut(rotate(keys, layout.rotation)), cut(values)
        updates = turned.transpose(3, 4) @ (values * step[..., None]) / (x.shape[2] * self.site.head)
        fade = -torch.exp(-self.fading)[:, None] * step.mean(3)
        states = chunked_scan(updates, fade, start, self.config.chunk)
        found = cut(rotate(queries, layout.rotation)) @ states
        return found + self.skip[:, None, None, None] * values, states

    def finish(self, mixed: Tensor, x: Tensor) -> Tensor:
        return self.norm(mixed * F.silu(self.gate(x)))

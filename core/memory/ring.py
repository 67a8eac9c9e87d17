"""The key/value ring of a session: fixed buffers that hold sinks, recent frames and packed older ones.

Nothing is ever moved or grown: a frame's slot is its number modulo the ring's length, so a step costs the same for ever.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.backbone.attention import Cached, KeyValues, Layout
from core.backbone.rotary import rotate
from core.backbone.transformer import Backbone
from core.memory.context import pool_tokens


class KeyValueRing:
    """Keys and values of committed frames for a batch of sessions that step together."""

    STATE = ("keys", "values", "sink_keys")

    def __init__(self, backbone: Backbone, batch: int):
        config, shape = backbone.config, backbone.shape
        self.backbone, self.context = backbone, config.context
        self.head = config.width // config.heads
        self.spans: list[tuple[int, int, int, int]] = []
        """(level, slots, tokens a slot, first token) of each part: the sinks, then a ring for each level."""
        start = 0
        parts = [(0, self.context.sinks, shape.tokens)] if self.context.sinks else []
        for level, (_, last, rows, columns) in enumerate(self.context.spans()):
            parts.append((level, last, shape.tokens // (rows * columns)))
        for level, slots, tokens in parts:
            self.spans.append((level, slots, tokens, start))
            start += slots * tokens
        size = (config.layers, batch, config.heads, start, self.head)
        self.keys, self.values = torch.zeros(size), torch.zeros(size)
        sinks = self.context.sinks * shape.tokens
        self.sink_keys = torch.zeros(config.layers, batch, config.heads, sinks, self.head)
        self.times = [torch.full((slots,), -1, dtype=torch.int64) for _, slots, _, _ in self.spans]

    def append(self, layers: tuple[KeyValues, ...], frame: int, time: int) -> None:
        """Commit frame `frame` of a call's keys and values as number `time`."""
        shape = self.backbone.shape
        fresh = torch.stack([kind[:, :, frame] for layer in layers for kind in (layer.keys, layer.values)])
        fresh = fresh.unflatten(0, (-1, 2))  # (layers, 2, B, H, n, e)
        for part, (level, slots, tokens, start) in enumerate(self.spans):
            is_sink = part == 0 and self.context.sinks > 0
            if is_sink != (time < self.context.sinks):
                continue
            slot = time if is_sink else time % slots
            where = slice(start + slot * tokens, start + (slot + 1) * tokens)
            _, _, rows, columns = self.context.spans()[level]
            keys, values = pool_tokens(fresh, (shape.rows, shape.columns), rows, columns).unbind(1)
            if is_sink:
                self.sink_keys[:, :, :, slot * tokens : (slot + 1) * tokens] = keys
            self.keys[:, :, :, where] = rotate(keys, self.backbone.places[level].at(torch.tensor([time])))
            self.values[:, :, :, where] = values
            self.times[part][slot] = time

    def slots(self) -> list[tuple[int, Tensor]]:
        """(level, frame number of each slot) of each part, for `Backbone.layout`."""
        return [(span[0], times) for span, times in zip(self.spans, self.times)]

    def read(self, layout: Layout) -> tuple[Cached, ...]:
        """Turned keys and values of each layer, as seen from the layout's newest frame: the runs that it picked.

        They are views, good until the next frame is appended.
        """
        if self.context.sinks:
            # A sink is never seen from farther away than the horizon that training has shown.
            placed = self.times[0].clamp(min=layout.newest - self.context.horizon - 1)
            turned = rotate(self.sink_keys, self.backbone.places[0].at(placed))
            self.keys[:, :, :, : turned.shape[3]] = turned
        runs = lambda x: [x[:, :, run] for run in layout.picked]  # noqa: E731
        return tuple((runs(keys), runs(values)) for keys, values in zip(self.keys, self.values))

    def copy(self) -> KeyValueRing:
        """An independent ring with the same content."""
        twin = object.__new__(KeyValueRing)
        twin.__dict__.update(self.__dict__)
        for name in self.STATE:
            setattr(twin, name, getattr(self, name).clone())
        twin.times = [t.clone() for t in self.times]
        return twin

    def select(self, members: Tensor) -> KeyValueRing:
        """An independent ring of only these members of the batch, int64 (n,)."""
        twin = object.__new__(KeyValueRing)
        twin.__dict__.update(self.__dict__)
        for name in self.STATE:
            setattr(twin, name, getattr(self, name).index_select(1, members))
        twin.times = [t.clone() for t in self.times]
        return twin

    @property
    def tokens(self) -> int:
        """Tokens that hold something, a session."""
        return sum(int((t >= 0).sum()) * span[2] for span, t in zip(self.spans, self.times))

    @property
    def bytes(self) -> int:
        return sum(getattr(self, name).nbytes for name in self.STATE)

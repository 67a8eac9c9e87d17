"""The key/value ring of a session: fixed buffers that hold sinks, recent frames and packed older ones.

Nothing is ever moved or grown: a frame's slot is its number modulo the ring's length, so a step costs the same for ever.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from core.backbone.attention import Cached, KeyValues, Layout
from core.backbone.rotary import rotate
from core.backbone.transformer import Backbone
from core.memory.context import pool_tokens


class KeyValueRing:
    """Keys and values of committed frames for a batch of sessions that step together."""

    STATE: ClassVar[tuple[str, ...]] = ("keys", "values", "sink_keys")
    """Tensors with the batch second."""
    storage = "float32"
    """What saved sessions call the way in which tokens are kept."""

    def __init__(self, backbone: Backbone, batch: int):
        config, shape = backbone.config, backbone.shape
        self.backbone, self.context = backbone, config.context
        self.head = config.head
        self.spans: list[tuple[int, int, int, int]] = []
        """(level, slots, tokens a slot, first token) of each part: the sinks, then a ring for each level."""
        start = 0
        parts = [(0, self.context.sinks, shape.tokens)] if self.context.sinks else []
        for level, (_, last, rows, columns) in enumerate(self.context.spans()):
            parts.append((level, last, shape.tokens // (rows * columns)))
        for level, slots, tokens in parts:
            self.spans.append((level, slots, tokens, start))
            start += slots * tokens
        self._allocate((config.layers, batch, config.heads), start, self.context.sinks * shape.tokens, backbone.place.device)
        self.times = [torch.full((slots,), -1, dtype=torch.int64) for _, slots, _, _ in self.spans]

    def _allocate(self, lead: tuple[int, int, int], tokens: int, sinks: int, device: torch.device) -> None:
        """Room for so many tokens in all, the first of them sinks, of (layers, B, H)."""
        self.keys = torch.zeros(*lead, tokens, self.head, device=device)
        self.values = torch.zeros_like(self.keys)
        self.sink_keys = torch.zeros(*lead, sinks, self.head, device=device)

    def append(self, layers: tuple[KeyValues, ...], frame: int, time: int) -> None:
        """Commit frame `frame` of a call's keys and values as number `time`."""
        shape = self.backbone.shape
        fresh = torch.stack([kind[:, :, frame] for layer in layers for kind in (layer.keys, layer.values)])
        fresh = fresh.unflatten(0, (-1, 2))  # (layers, 2, B, H, n, e)
        for part, (level, slots, _, _) in enumerate(self.spans):
            is_sink = part == 0 and self.context.sinks > 0
            if is_sink != (time < self.context.sinks):
                continue
            slot = time if is_sink else time % slots
            _, _, rows, columns = self.context.spans()[level]
            keys, values = pool_tokens(fresh, (shape.rows, shape.columns), rows, columns).unbind(1)
            turned = rotate(keys, self.backbone.rotation(level, torch.tensor([time])))
            self._put(part, slot, keys if is_sink else None, turned, values)
            self.times[part][slot] = time

    def _put(self, part: int, slot: int, unturned: Tensor | None, turned: Tensor, values: Tensor) -> None:
        """Fill a slot: keys and values (layers, B, H, tokens, e). `unturned` keys come with a sink."""
        _, _, tokens, start = self.spans[part]
        where = slice(start + slot * tokens, start + (slot + 1) * tokens)
        if unturned is not None:
            self.sink_keys[:, :, :, where] = unturned
        self.keys[:, :, :, where] = turned
        self.values[:, :, :, where] = values

    def slots(self) -> list[tuple[int, Tensor]]:
        """(level, frame number of each slot) of each part, for `Backbone.layout`."""
        return [(span[0], times) for span, times in zip(self.spans, self.times)]

    def read(self, layout: Layout) -> tuple[Cached, ...]:
        """Turned keys and values of each layer, as seen from the layout's newest frame: the runs that it picked.

        They are views, good until the next frame is appended.
        """
        if self.context.sinks:
            turned = self._turned_sinks(layout, self.sink_keys)
            self.keys[:, :, :, : turned.shape[3]] = turned
        runs = lambda x: [x[:, :, run] for run in layout.picked]  # noqa: E731
        return tuple((runs(keys), runs(values)) for keys, values in zip(self.keys, self.values))

    def values_at(self, where: slice) -> Tensor:
        """(layers, B, H, tokens, e) of some of the ring's tokens."""
        return self.values[:, :, :, where]

    def _turned_sinks(self, layout: Layout, keys: Tensor) -> Tensor:
        """Keys of the sinks as seen from the layout's newest frame: never from farther away than training has shown."""
        placed = self.times[0].clamp(min=layout.newest - self.context.horizon - 1)
        return rotate(keys, self.backbone.rotation(0, placed))

    def copy(self) -> KeyValueRing:
        """An independent ring with the same content."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        for name in self.STATE:
            setattr(twin, name, getattr(self, name).clone())
        twin.times = [t.clone() for t in self.times]
        return twin

    def select(self, members: Tensor) -> KeyValueRing:
        """An independent ring of only these members of the batch, int64 (n,)."""
        twin = object.__new__(type(self))
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

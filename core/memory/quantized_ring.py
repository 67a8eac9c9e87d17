"""A key/value ring in few bits: keys a step for each channel of a frame, values a step for each token.

Keys have channels that stand out in every token and values do not (KIVI, arXiv 2402.02750). Four-bit codes lie two to a byte.
Keys of sinks are kept as they are before they are turned, as they are turned anew for every frame.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from core.backbone.attention import Cached, Layout
from core.backbone.transformer import Backbone
from core.memory.ring import KeyValueRing
from core.quantizers import affine, pack, restore, unpack

KINDS = ("keys", "values", "sink_keys")


class QuantizedRing(KeyValueRing):
    """Keys and values of committed frames in 8 or 4 bits; they are restored, all layers at once, for every frame imagined."""

    STATE: ClassVar[tuple[str, ...]] = tuple(f"{kind}{part}" for kind in KINDS for part in ("", "_step", "_low"))

    def __init__(self, backbone: Backbone, batch: int, bits: Literal[4, 8]):
        self.bits: Literal[4, 8] = bits
        self.storage = f"int{bits}"
        super().__init__(backbone, batch)

    def _allocate(self, lead: tuple[int, int, int], tokens: int, sinks: int, device: torch.device) -> None:
        slots = sum(span[1] for span in self.spans)
        code = self.head * self.bits // 8
        # Sinks are the first part: their tokens have values like all others, but keys of their own.
        steps = {
            "keys": (tokens - sinks, slots - self.context.sinks, self.head),
            "values": (tokens, tokens, 1),
            "sink_keys": (sinks, self.context.sinks, self.head),
        }
        for kind, (codes, rows, channels) in steps.items():
            setattr(self, kind, torch.zeros(*lead, codes, code, dtype=torch.uint8, device=device))
            for part in ("_step", "_low"):
                setattr(self, kind + part, torch.zeros(*lead, rows, channels, dtype=torch.float16, device=device))

    def _put(self, part: int, slot: int, unturned: Tensor | None, turned: Tensor, values: Tensor) -> None:
        _, _, tokens, start = self.spans[part]
        first = start + slot * tokens
        self._write("values", first, first, affine(values, self.bits, -1))
        if unturned is not None:
            self._write("sink_keys", first, slot, affine(unturned, self.bits, -2))
        else:
            before = sum(span[1] for span in self.spans[:part]) - self.context.sinks
            self._write("keys", first - self.sink_keys.shape[3], before + slot, affine(turned, self.bits, -2))

    def _write(self, kind: str, token: int, row: int, made: tuple[Tensor, Tensor, Tensor]) -> None:
        """Codes from `token` on, their steps and lows from `row` on."""
        codes, step, low = made
        codes = pack(codes) if self.bits == 4 else codes
        getattr(self, kind)[:, :, :, token : token + codes.shape[3]] = codes
        for part, tensor in (("_step", step), ("_low", low)):
            getattr(self, kind + part)[:, :, :, row : row + tensor.shape[3]] = tensor

    def read(self, layout: Layout) -> tuple[Cached, ...]:
        """As `KeyValueRing.read`, restored to single precision; unlike its views they are copies."""
        keys, row, token = [], 0, 0
        for _, slots, tokens, start in self.spans:
            if start < self.sink_keys.shape[3]:
                keys.append(self._turned_sinks(layout, self._restored("sink_keys", 0, 0, slots, tokens)))
                continue
            keys.append(self._restored("keys", token, row, slots, tokens))
            token, row = token + slots * tokens, row + slots
        values = self._restored("values", 0, 0, self.values.shape[3], 1)
        runs = lambda x: [x[:, :, run] for run in layout.picked]  # noqa: E731
        return tuple((runs(k), runs(v)) for k, v in zip(torch.cat(keys, 3), values))

    def values_at(self, where: slice) -> Tensor:
        return self._restored("values", where.start, where.start, where.stop - where.start, 1)

    def _restored(self, kind: str, token: int, row: int, rows: int, tokens: int) -> Tensor:
        """Floats (layers, B, H, rows tokens, e) from `token` on: `rows` steps from `row` on, each for so many tokens."""
        codes = getattr(self, kind)[:, :, :, token : token + rows * tokens]
        codes = unpack(codes) if self.bits == 4 else codes
        step, low = (getattr(self, kind + part)[:, :, :, row : row + rows, None] for part in ("_step", "_low"))
        return restore(codes.unflatten(3, (rows, tokens)), step, low).flatten(3, 4)

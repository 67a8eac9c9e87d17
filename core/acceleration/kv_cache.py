"""A key/value cache of a quarter (INT8) or an eighth (INT4) of the bytes, plus its scales: `core.memory.quantized_ring`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

from core.acceleration.stack import Acceleration, Stage, Undo
from core.errors import ZoetropeError
from core.memory.quantized_ring import QuantizedRing
from core.streaming.world import World


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizedCache(Acceleration):
    """Sessions opened while it is on remember keys and values in few bits. Smaller, not faster: reading restores them.

    Every session, fork and snapshot to rewind to has a cache, so this is what many sessions at once take.
    """

    name: ClassVar[str] = "kv_cache"
    stage: ClassVar[Stage] = Stage.CALLS
    bits: Literal[4, 8] = 4

    def __post_init__(self) -> None:
        if self.bits not in (4, 8):
            raise ZoetropeError(f"accelerations: kv_cache: bits must be 4 or 8, found {self.bits}")

    def apply(self, world: World) -> Undo:
        before = world.model.make_ring
        world.model.make_ring = partial(QuantizedRing, bits=self.bits)

        def undo() -> None:
            world.model.make_ring = before

        return undo

"""What a session is given, checked and with a leading axis B.

Shape letters: B sessions in the batch, V cameras, A action size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.episodes.episode import FACTS
from core.errors import ZoetropeError
from core.memory.sketch import SKETCH, SKETCH_DEPTH
from core.streaming.frames import Conditions

if TYPE_CHECKING:
    from core.streaming.model import WorldConfig


@dataclass(frozen=True, slots=True)
class Given:
    """Takes in what callers give a batch of `batch` sessions; what a `single` session is given gains an axis of length 1.

    Everything raises ZoetropeError where a shape or a name does not fit the world.
    """

    config: WorldConfig
    batch: int
    single: bool

    def action(self, value: Any) -> np.ndarray:
        """(B, A) float32, or (B,) int64 of a world with discrete actions."""
        return self._array(value, 1 if self.config.action.kind == "continuous" else 0)

    def frames(self, value: np.ndarray) -> np.ndarray:
        """(B, V, H, W, 3)."""
        return self._array(value, 4)

    def pose(self, value: np.ndarray | None) -> np.ndarray | None:
        """(B, V, 4, 4)."""
        return None if value is None else self._array(value, 3)

    def depth(self, value: np.ndarray | None) -> np.ndarray | None:
        """(B, V, H, W)."""
        return None if value is None else self._array(value, 3)

    def known(self, conditions: Conditions) -> Conditions:
        """What is known of a frame that is to be imagined; of its state all is known or nothing."""
        state = any(part.name in conditions for part in self.config.state)
        return self.real(conditions) if state else self._conditions(conditions)

    def real(self, conditions: Conditions) -> Conditions:
        """What comes with a real frame: every condition, and the state, which must be there."""
        state = {}
        for part in self.config.state:
            if part.name not in conditions:
                raise ZoetropeError(f"session: world '{self.config.name}' needs '{part.name}' of every real frame")
            array = np.asarray(conditions[part.name], np.float32)
            state[part.name] = array[None] if self.single else array
            if state[part.name].shape != (self.batch, part.size):
                raise ZoetropeError(f"session: {part.name}: expected {part.size} numbers, found shape {array.shape}")
        return self._conditions({n: v for n, v in conditions.items() if n not in state}) | state

    def _conditions(self, given: Conditions) -> Conditions:
        """Every wanted condition; nothing is known where none is given."""
        config = self.config
        view = (self.batch, config.cameras, config.height, config.width)
        nothing = {SKETCH: np.zeros((*view, 4), np.uint8), SKETCH_DEPTH: np.zeros(view, np.float16)}
        nothing[FACTS] = np.zeros((self.batch, config.facts), np.float32)
        if unknown := sorted(set(given) - set(config.conditions)):
            raise ZoetropeError(f"session: world '{config.name}' is not told '{unknown[0]}'")
        out = {}
        for name in config.conditions:
            value = nothing[name]
            if name in given:
                array = np.asarray(given[name])
                array = (array[None] if self.single else array).astype(value.dtype)
                if array.shape != value.shape:
                    raise ZoetropeError(f"session: {name}: expected shape {value.shape}, found {array.shape}")
                value = array
            out[name] = value
        return out

    def _array(self, value: Any, dimensions: int) -> np.ndarray:
        array = np.asarray(value)
        if array.dtype == np.float64 or (dimensions == 1 and np.issubdtype(array.dtype, np.integer)):
            array = array.astype(np.float32)  # a continuous action may be written in whole numbers
        if np.issubdtype(array.dtype, np.integer) and array.dtype != np.uint8:
            array = array.astype(np.int64)
        array = array[None] if self.single else array
        if array.ndim != dimensions + 1 or len(array) != self.batch:
            raise ZoetropeError(f"session of {self.batch}: got an array of shape {np.shape(value)}")
        if dimensions == 1 and array.shape[1] != self.config.action.size:
            raise ZoetropeError(f"session: actions have {self.config.action.size} components, got {array.shape[1]}")
        return array

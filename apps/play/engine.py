"""The real engine beside the dream: brought to the place where the dream began, then fed the very same actions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from core.episodes.episode import Episode
from core.errors import ZoetropeError
from games.keys import Action
from games.source import Source

SAME_PLACE_DB = 18.0
"""Below this the engine does not show what the start recorded: another level, or another version of the engine."""


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 images in decibel, at most 99."""
    error = np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2)
    return float(min(99.0, 10 * np.log10(255.0**2 / max(error, 1e-9))))


class Engine:
    """Follows a branch of the dream. Costs nothing until `follow` is called."""

    def __init__(self, make_source: Callable[[], Source]):
        self._make_source = make_source
        self._source: Source | None = None
        self._start: Episode | None = None
        self._identity: int | None = None
        self._done: list[Action] = []
        self._warm: list[Action] = []
        """Actions of the start recording that still have to be replayed."""
        self.frame: np.ndarray | None = None
        """uint8 (H, W, 3): what the engine shows now."""
        self.left = 0
        """Actions it still lags behind."""

    def follow(self, start: Episode, actions: Sequence[Action], identity: int, seconds: float = 0.03) -> np.ndarray | None:
        """Catch up with `actions` for at most about `seconds`; the engine's frame once it is level with the dream, else None.

        `identity` says which line of events `actions` belongs to: while it stays, `actions` only grows.
        """
        if self._source is None:
            self._source = self._make_source()
        if start is not self._start or (identity != self._identity and not self._is_prefix(actions)):
            self._begin(start)
        self._identity = identity
        while self._warm:
            self._show(self._warm.pop(0))
            if not self._warm:
                self._check(start)
        deadline = time.perf_counter() + seconds
        while len(self._done) < len(actions) and time.perf_counter() < deadline:
            action = actions[len(self._done)]
            self._show(action)
            self._done.append(action)
        self.left = len(actions) - len(self._done)
        return self.frame if self.left == 0 else None

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None
            self._start = None

    def _begin(self, start: Episode) -> None:
        assert self._source is not None
        try:
            level = int(start.metadata["level"])
        except (KeyError, ValueError):
            raise ZoetropeError("this start does not say which level it came from") from None
        self.frame = self._source.reset(level).frame
        self._start, self._done = start, []
        self._warm = list(start.action[:-1])
        if not self._warm:
            self._check(start)

    def _show(self, action: Action) -> None:
        assert self._source is not None
        self.frame = self._source.step(np.asarray(action)).frame

    def _check(self, start: Episode) -> None:
        assert self.frame is not None
        real = start.frames[-1, 0]
        if self.frame.shape != real.shape or psnr(self.frame, real) < SAME_PLACE_DB:
            raise ZoetropeError("the engine shows another place than the one the dream began at")

    def _is_prefix(self, actions: Sequence[Action]) -> bool:
        done = self._done
        return len(done) <= len(actions) and all(np.array_equal(a, b) for a, b in zip(done, actions, strict=False))

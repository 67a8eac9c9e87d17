"""How long the stages of a session's step take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Clock:
    """What the stages of one step took, wherever they ran."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def during(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.milliseconds[name] = self.milliseconds.get(name, 0.0) + (time.perf_counter() - begun) * 1e3

    def timed(self, name: str, function: Callable[..., None]) -> Callable[..., None]:
        def run(*arguments: Any) -> None:
            with self.during(name):
                function(*arguments)

        return run

"""Which call of the backbone this is, and what accelerations kept of a session's calls before it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

ACROSS = "across."
"""Names that begin so outlive their frame; all others are forgotten once it is in the key/value ring."""


@dataclass(frozen=True, slots=True)
class Call:
    """One of the calls that imagine a frame: a denoising step, or the one that takes the clean frame into the ring."""

    kept: dict[str, Tensor]
    """Features by name, each with the batch first. Put in, never written into, so that forks share them."""
    step: int = 0
    """Denoising step of the frame, from 0."""
    steps: int = 0
    """Denoising steps of the frame; 0 for the call that takes it in, clean."""
    branch: str = "told"
    """Calls of one step that are told different things (guidance) keep apart what they keep."""

    @property
    def denoises(self) -> bool:
        """False for the call that takes the clean frame in."""
        return self.step < self.steps

    def get(self, name: str) -> Tensor | None:
        """What an earlier call of this branch kept."""
        return self.kept.get(self._key(name))

    def put(self, name: str, value: Tensor) -> None:
        """Keep `value` for the calls to come."""
        self.kept[self._key(name)] = value

    def _key(self, name: str) -> str:
        prefix = ACROSS if name.startswith(ACROSS) else ""
        return f"{prefix}{self.branch}.{name[len(prefix) :]}"


def forget(kept: dict[str, Tensor]) -> None:
    """The frame is done: drop what does not outlive it."""
    for name in [n for n in kept if not n.startswith(ACROSS)]:
        del kept[name]

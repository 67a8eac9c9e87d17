"""What a token mixer must know of the place it is put in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.backbone.attention import Seen


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A layer of a backbone."""

    width: int
    heads: int
    head: int
    """Channels of a head."""
    layer: int
    cameras: int
    rows: int
    columns: int
    levels: tuple[int, ...]
    """Tokens of a frame, exact and at each packed level."""
    sinks: int
    """First frames of a session that are never forgotten."""

    @property
    def tokens(self) -> int:
        return self.levels[0]

    def sizes(self, seen: Seen) -> Tensor:
        """int64 (F,): tokens of each frame of keys."""
        return torch.tensor(self.levels)[seen.levels]

    def ages(self, times: Tensor, seen: Seen) -> Tensor:
        """int64 (T, F): by how many frames each frame of keys is older; 0 for sinks, which never age."""
        age = times[:, None] - seen.times
        return age.masked_fill((seen.times < self.sinks)[None], 0)

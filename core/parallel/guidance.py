"""Guidance parallelism (xDiT, arXiv 2411.01738): one process predicts what is told of a frame, another what it is untold."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.backbone.transformer import Outputs
from core.parallel.group import Group
from core.parallel.messages import messaged, unpacked
from core.streaming.frames import Newest
from core.streaming.imagination import Guide, guided


def shared_guide(pair: Group) -> Guide:
    """For `pair`'s two processes: rank 0 is told, rank 1 is not. Without guidance both do the same."""

    def guide(told: Callable[[Newest], Outputs], fresh: Newest, weak: Newest | None, guidance: float) -> tuple[Outputs, Tensor]:
        if weak is None:
            return guided(told, fresh, weak, guidance)
        own = told(fresh if pair.rank == 0 else weak)
        first, second = (unpacked(x, own) for x in pair.gather(messaged(own)))
        return first, torch.lerp(second.clean[:, -1], first.clean[:, -1], guidance)

    return guide

"""Which past frames a frame may attend to, and at what resolution.

Recent frames are exact; older ones are packed by averaging keys and values over ever larger patches (FramePack,
arXiv 2504.12626); the first frames of a session stay for good as attention sinks (StreamingLLM, arXiv 2309.17453; LongLive,
arXiv 2509.22622). Everything older is forgotten, so a frame costs the same whenever it comes.

Ages count frames back from the frame that attends: 0 is the frame itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedLevel:
    """Frames kept at one falling resolution."""

    frames: int
    rows: int
    """Token rows averaged into one."""
    columns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ContextConfig:
    recent: int = 4
    """Frames before the current one that are attended to exactly."""
    sinks: int = 1
    """First frames of a session that are never forgotten."""
    packed: tuple[PackedLevel, ...] = ()
    """Older frames, nearest level first."""

    @property
    def horizon(self) -> int:
        """Greatest age at which anything but a sink is seen; a sink that is older is placed there."""
        return self.recent + sum(level.frames for level in self.packed)

    def spans(self) -> list[tuple[int, int, int, int]]:
        """(first age, last age, rows, columns) of the exact level and of each packed one."""
        out, age = [(1, self.recent, 1, 1)], self.recent
        for level in self.packed:
            out.append((age + 1, age + level.frames, level.rows, level.columns))
            age += level.frames
        return out


def pool_tokens(x: Tensor, grid: tuple[int, int], rows: int, columns: int) -> Tensor:
    """Average tokens (..., V h w, e) over rows x columns patches of each camera's grid -> (..., V h' w', e)."""
    if rows == columns == 1:
        return x
    h, w = grid
    lead, e = x.shape[:-2], x.shape[-1]
    image = rearrange(x.reshape(-1, x.shape[-2], e), "b (v h w) e -> (b v) e h w", h=h, w=w)
    pooled = F.avg_pool2d(image, (rows, columns))
    views = x.shape[-2] // (h * w)
    return rearrange(pooled, "(b v) e h w -> b (v h w) e", v=views).reshape(*lead, -1, e)


def visible(config: ContextConfig, level: int, query_time: Tensor, key_time: Tensor) -> Tensor:
    """bool (Q, K): may frames at `query_time` see frames at `key_time` at this level (0 exact, 1.. packed)?

    At level 0 a frame sees itself, its recent past and the sinks. A negative key time is an empty slot.
    """
    age = query_time[:, None] - key_time[None, :]
    first, last, _, _ = config.spans()[level]
    held = key_time[None, :] >= 0
    sink = key_time[None, :] < config.sinks
    if level == 0:
        return held & (age >= 0) & ((age <= last) | sink)
    return held & (age >= first) & (age <= last) & ~sink


def mask_bias(allowed: Tensor) -> Tensor:
    """Additive attention bias: 0 where allowed, -inf elsewhere."""
    return torch.zeros(allowed.shape).masked_fill(~allowed, float("-inf"))

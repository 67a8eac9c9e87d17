"""Running states: every frame lets the state fade and adds to it. One frame after the other, or in chunks: the same.

Shape letters: B batch, H heads, T frames, p q the state's sides.
"""

from __future__ import annotations

import torch
from torch import Tensor


def scan(updates: Tensor, log_decay: Tensor, start: Tensor | None) -> Tensor:
    """States (B, H, T, p, q) after each frame: state = exp(log_decay) state + update, from `start` (B, H, p, q) or nothing.

    `log_decay` is (B, H, T), at most 0. The truth in a few lines.
    """
    state = torch.zeros_like(updates[:, :, 0]) if start is None else start
    states = []
    for t in range(updates.shape[2]):
        state = log_decay[:, :, t, None, None].exp() * state + updates[:, :, t]
        states.append(state)
    return torch.stack(states, 2)


def chunked_scan(updates: Tensor, log_decay: Tensor, start: Tensor | None, chunk: int) -> Tensor:
    """The same, `chunk` frames at once: a small triangular product within, one state handed on (arXiv 2405.21060)."""
    state, states = start, []
    for part, fading in zip(updates.split(chunk, 2), log_decay.split(chunk, 2)):
        total = fading.cumsum(2)
        later = torch.ones(part.shape[2], part.shape[2], dtype=torch.bool, device=part.device).tril()
        between = (total[..., :, None] - total[..., None, :]).masked_fill(~later, float("-inf")).exp()
        inside = (between @ part.flatten(3)).unflatten(3, part.shape[3:])
        if state is not None:
            inside = inside + total[..., None, None].exp() * state[:, :, None]
        state = inside[:, :, -1]
        states.append(inside)
    return torch.cat(states, 2)

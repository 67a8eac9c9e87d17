"""What is said of a frame, as one message."""

from __future__ import annotations

import torch
from torch import Tensor

from core.backbone.transformer import Backbone, Outputs


def messaged(out: Outputs) -> Tensor:
    """All that is said of one frame, (B, numbers), to be sent in one message; keys and values stay here."""
    parts = [out.clean, out.reward, out.ended] + ([] if out.state is None else [out.state])
    return torch.cat([x.flatten(1) for x in parts], 1)


def unpacked(numbers: Tensor, like: Outputs) -> Outputs:
    """The inverse of `messaged`."""
    parts = [like.clean, like.reward, like.ended] + ([] if like.state is None else [like.state])
    split = numbers.split([x[0].numel() for x in parts], 1)
    clean, reward, ended, *state = (x.reshape(part.shape) for x, part in zip(split, parts))
    return Outputs(clean, reward, ended, (), state[0] if state else None)


def blank(backbone: Backbone, latents: Tensor) -> Outputs:
    """What is said of a frame of latents (B, V, C, h, w), its numbers still to come."""
    zero, size = latents.new_zeros(len(latents), 1), backbone.shape.state
    return Outputs(latents[:, None], zero, zero, (), zero[..., None].expand(-1, -1, size) if size else None)

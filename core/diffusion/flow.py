"""Flow matching with a noise level per frame and the shortcut objective: one training gives a 1-, 2- and 4-step model.

Flow matching (arXiv 2210.02747), Diffusion Forcing (arXiv 2407.01392), shortcut models (arXiv 2410.12557) in clean-prediction
form (Dreamer 4, arXiv 2509.24527). The path is x = (1 - signal) noise + signal clean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from core.backbone.transformer import Backbone, Inputs, Outputs

BASE_STRIDE = 1 / 8
"""Step length whose target is the data itself; longer steps learn from two of half their length."""
LONG_STRIDES = (1 / 4, 1 / 2, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowConfig:
    shortcut: float = 0.25
    """Share of each batch that learns long steps from its own short ones; 0 where what is known decides what follows: steps of
    every length then learn from the data itself."""
    clean_context: float = 0.35
    """Share of frames shown (nearly) clean, as a session shows its past."""
    context_noise: float = 0.15
    """Most noise on such frames: a past that was imagined is never quite right."""
    pure_noise: float = 0.35
    """Share of frames shown as pure noise, where every imagined frame starts."""
    forget: float = 0.1
    """Share of windows from which memory's condition is hidden, so that a session can switch it off."""
    hole_weight: float = 2.0
    """Extra weight of tokens that memory does not show."""
    still_noise: float = 0.3
    """Most noise on the frame before, where it is shown to be changed."""
    state_noise: float = 0.5
    """Most noise on the states that frames come from, in typical changes: those that were predicted are never quite right."""
    state_weight: float = 0.3
    """Of the error of predicted states, in a world that has any."""


def add_noise(clean: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
    """Point of the path at `signal` (B, T) for latents (B, T, V, C, h, w)."""
    share = signal[..., None, None, None, None]
    return (1 - share) * noise + share * clean


def euler(predict: Callable[[Tensor, Tensor, Tensor], Tensor], noise: Tensor, steps: int) -> Tensor:
    """Walk from noise (B, ...) to a clean sample in `steps` equal steps; predict(x, signal (B,), stride (B,)) -> clean."""
    x, batch = noise, len(noise)
    for i in range(steps):
        signal = i / steps
        clean = predict(x, noise.new_full((batch,), signal), noise.new_full((batch,), 1 / steps))
        x = x + (clean - x) / (1 - signal) / steps
    return x


def flow_loss(
    backbone: Backbone,
    config: FlowConfig,
    inputs: Inputs,
    past: Tensor,
    reward: Tensor | None,
    ended: Tensor | None,
    changes: Tensor | None,
    shown: Tensor | None,
    importance: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, float]]:
    """Loss of windows of clean latents in `inputs` (its signal and stride are ignored) and figures to show.

    `past` is what stands for a frame when it is context: its clean latents, or what a session made of it (self-generated
    history, Self Forcing, arXiv 2506.08009). `shown` (B, T, V, h, w) is how much of each token memory shows; `importance`
    (C,) weighs latent channels; `reward` (B, T) and `ended` (B, T) are what the action that led to a frame earned and
    whether it ended the episode; `changes` (B, T, S) is how its state differs from the one told in `inputs`.
    """
    clean = inputs.latents
    b, t = clean.shape[:2]
    draw = lambda *size: torch.rand(*size, generator=generator).to(clean.device)  # noqa: E731
    long_count = int(b * config.shortcut)
    kind = draw(b, t)
    context = kind < config.clean_context
    signal = torch.where(kind < config.clean_context + config.pure_noise, torch.zeros_like(kind), draw(b, t))
    signal = torch.where(context, 1 - config.context_noise * draw(b, t), signal)
    stride = torch.full_like(kind, BASE_STRIDE)
    if not config.shortcut:
        which = torch.randint(1 + len(LONG_STRIDES), (b, t), generator=generator)
        asked = torch.tensor((BASE_STRIDE, *LONG_STRIDES))[which].to(clean.device)
        stride = torch.where(context, BASE_STRIDE, asked)
    if long_count:
        which = torch.randint(len(LONG_STRIDES), (long_count, t), generator=generator)
        picked = torch.tensor(LONG_STRIDES)[which].to(clean.device)
        start = (draw(long_count, t) / picked).floor() * picked  # a step starts on the grid of its own length
        long_context = context[:long_count]
        stride[:long_count] = torch.where(long_context, BASE_STRIDE, picked)
        signal[:long_count] = torch.where(long_context, signal[:long_count], start)
    basis = torch.where(_spread(context), past, clean)
    noisy = add_noise(basis, signal, torch.randn(clean.shape, generator=generator).to(clean.device))
    condition = inputs.condition
    if condition is not None:
        keep = (draw(b) >= config.forget).float().view(b, 1, 1, 1, 1, 1)
        condition = condition * keep
        shown = None if shown is None else shown * keep.view(b, 1, 1, 1, 1)
    inputs = replace(inputs, latents=noisy, signal=signal, stride=stride, condition=condition)
    layout = backbone.layout(torch.arange(t))
    target = clean
    if long_count:
        with torch.no_grad():
            target = clean.clone()
            target[:long_count] = torch.where(
                _spread(stride[:long_count] > BASE_STRIDE),
                _two_half_steps(backbone, _rows(inputs, long_count), layout),
                clean[:long_count],
            )
    out: Outputs = backbone(inputs, layout)
    error = (out.clean - target).square() * channel_weight(importance)
    if shown is not None:
        error = error * (1 + config.hole_weight * (1 - shown[:, :, :, None]))
    # A nearly clean frame is easy; what is left of its noise is all there is to learn.
    share = _spread(0.1 + 0.9 * (1 - signal))
    loss = (error * share).mean()
    with torch.no_grad():
        fresh = signal == 0
        figures = {"fresh": float((out.clean - clean).square().mean((2, 3, 4, 5))[fresh].mean()) if fresh.any() else 0.0}
    known = inputs.started
    if reward is not None:
        loss = loss + 0.1 * ((out.reward - reward).square() * known).mean()
    if ended is not None:
        loss = loss + 0.1 * (F.binary_cross_entropy_with_logits(out.ended, ended.float(), reduction="none") * known).mean()
    if changes is not None:
        assert out.state is not None
        error = F.smooth_l1_loss(out.state, changes, reduction="none").mean(-1)
        loss = loss + config.state_weight * (error * known).mean()
        figures["state"] = float((error.detach() * known).sum() / known.sum().clamp(min=1))
    return loss, figures


def channel_weight(importance: Tensor) -> Tensor:
    """Weights (C, 1, 1) of squared errors of latents, from the channels' importance (C,)."""
    weight = importance.sqrt()
    return (weight / weight.mean())[:, None, None]


def _spread(x: Tensor) -> Tensor:
    """(B, T) -> (B, T, 1, 1, 1, 1)."""
    return x[..., None, None, None, None]


def _rows(inputs: Inputs, count: int) -> Inputs:
    return replace(inputs, **{f.name: x[:count] for f in fields(inputs) if (x := getattr(inputs, f.name)) is not None})


def _two_half_steps(backbone: Backbone, inputs: Inputs, layout) -> Tensor:  # noqa: ANN001
    """Clean prediction that one step should make, from two steps of half the length; frames in context stay as they are."""
    half = inputs.stride / 2
    moving = inputs.stride > BASE_STRIDE
    asked = torch.where(moving, half, inputs.stride)
    first = backbone(replace(inputs, stride=asked), layout).clean
    left = _spread((1 - inputs.signal).clamp(min=1e-3))
    velocity_a = (first - inputs.latents) / left
    middle = torch.where(_spread(moving), inputs.latents + velocity_a * _spread(half), inputs.latents)
    signal = torch.where(moving, inputs.signal + half, inputs.signal)
    second = backbone(replace(inputs, latents=middle, signal=signal, stride=asked), layout).clean
    velocity_b = (second - middle) / _spread((1 - signal).clamp(min=1e-3))
    return inputs.latents + (velocity_a + velocity_b) / 2 * left

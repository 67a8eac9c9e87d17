"""What a world can do without: how far its predictions of prepared windows move when blocks, heads or channels are silent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.backbone.attention import DenseAttention, Layout
from core.backbone.transformer import Backbone, Block, Inputs, Outputs
from core.diffusion.flow import BASE_STRIDE, LONG_STRIDES, add_noise
from core.errors import ZoetropeError
from core.streaming.model import WorldModel
from core.training.stages import WINDOW_NAMES, WindowSampler, window_inputs

HEAD_WORK, CHANNELS_WORK, REST_WORK = 12.0, 11.5, 12.5
"""Time of a block's heads, of its hidden channels and of what every block takes, in units of a width by width product (measured
on a CPU, a frame of 48 tokens against 250 of memory)."""
CHUNK = 4
"""Parts of a block's hidden channels that are removed at once."""
ROUND = 8
"""Hidden channels are left in multiples of this."""
CLEAN_SHARE = 0.5
"""Share of frames that are shown clean, as a session's past is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What remains of a backbone."""

    blocks: tuple[int, ...]
    """Numbers of the blocks that remain, in order."""
    heads: tuple[tuple[int, ...], ...]
    """Of each block of the original; equally many in all that remain."""
    channels: tuple[tuple[int, ...], ...]
    """Of each block of the original."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Noisy windows, and what the unpruned backbone makes of them."""

    inputs: Inputs
    wanted: Outputs


# -- what predictions are compared on ----------------------------------------------------------------------------------


def noisy(model: WorldModel, batch: dict[str, Tensor], generator: torch.Generator) -> Inputs:
    """Windows as sessions show them: a clean past, and frames on their way from noise in one to eight steps."""
    inputs = window_inputs(model, batch)
    past = batch["past"].to(inputs.latents) if "past" in batch else inputs.latents
    b, t = past.shape[:2]
    draw = lambda: torch.rand(b, t, generator=generator).to(past.device)  # noqa: E731
    lengths = torch.tensor([BASE_STRIDE, *LONG_STRIDES], device=past.device)
    stride = lengths[(draw() * len(lengths)).long()]
    clean = draw() < CLEAN_SHARE
    stride = torch.where(clean, BASE_STRIDE, stride)
    signal = torch.where(clean, 1.0, (draw() / stride).floor() * stride)
    noise = torch.randn(past.shape, generator=generator).to(past.device)
    return replace(inputs, latents=add_noise(past, signal, noise), signal=signal, stride=stride)


@torch.no_grad()
def make_trial(model: WorldModel, sampler: WindowSampler, step: int, count: int) -> Trial:
    """Some windows, decided by the step."""
    batch = moved(sampler.draw(step, count, WINDOW_NAMES)[0], model)
    inputs = noisy(model, batch, torch.Generator().manual_seed(step))
    return Trial(inputs, model.backbone(inputs, layout_of(model.backbone, inputs)))


def distance(out: Outputs, wanted: Outputs, importance: Tensor | None = None) -> Tensor:
    """Mean squared distance of predictions; latent channels weigh as the root of their `importance` (C,)."""
    error = (out.clean - wanted.clean).square()
    if importance is not None:
        weight = importance.sqrt() / importance.sqrt().mean()
        error = error * weight[:, None, None]
    value = error.mean() + F.mse_loss(out.reward, wanted.reward) + F.mse_loss(out.ended.sigmoid(), wanted.ended.sigmoid())
    if out.state is not None and wanted.state is not None:
        value = value + F.mse_loss(out.state, wanted.state)
    return value


def layout_of(backbone: Backbone, inputs: Inputs) -> Layout:
    """Of the frames of windows."""
    return backbone.layout(torch.arange(inputs.latents.shape[1]))


def moved(batch: dict[str, Tensor], model: WorldModel) -> dict[str, Tensor]:
    """A batch where the model is."""
    return {name: x.to(model.device) for name, x in batch.items()}


# -- what to remove ----------------------------------------------------------------------------------------------------


class _Masked:
    """A backbone some of whose parts are silent, until it is restored."""

    def __init__(self, backbone: Backbone):
        self.layers = [_parts(block) for block in backbone.blocks]
        outputs = [layer for attention, down in self.layers for layer in (attention.out, down)]
        self.before = [(layer, layer.weight.data, layer.bias.data) for layer in outputs]

    def silence(self, plan: Plan) -> None:
        """Only what the plan keeps is heard. A removed block adds nothing."""
        self.restore()
        for i, (attention, down) in enumerate(self.layers):
            for layer, parts, kept in (
                (attention.out, attention.heads, plan.heads[i]),
                (down, down.in_features, plan.channels[i]),
            ):
                heard = torch.zeros(parts, device=layer.weight.device)
                heard[list(kept)] = float(i in plan.blocks)
                layer.weight.data = layer.weight.data * heard.repeat_interleave(layer.in_features // parts)
                layer.bias.data = layer.bias.data * float(i in plan.blocks)

    def restore(self) -> None:
        for layer, weight, bias in self.before:
            layer.weight.data, layer.bias.data = weight, bias


def _parts(block: nn.Module) -> tuple[DenseAttention, nn.Linear]:
    assert isinstance(block, Block)
    return block.attention, block.down


def whole(backbone: Backbone) -> Plan:
    """Nothing removed."""
    parts = [_parts(block) for block in backbone.blocks]
    heads = tuple(tuple(range(attention.heads)) for attention, _ in parts)
    return Plan(tuple(range(len(parts))), heads, tuple(tuple(range(down.in_features)) for _, down in parts))


@torch.no_grad()
def choose(backbone: Backbone, trial: Trial, share: float) -> Plan:
    """What to keep, so that at least `share` of the parameters goes and the predictions of the trial move least.

    Candidates are a block, a head of every block, and a part of a block's hidden channels; that goes first which does least
    harm for all the time saved; heads and channels go in the order of what they contribute, least first.
    """
    plan, masked, layout = whole(backbone), _Masked(backbone), layout_of(backbone, trial.inputs)
    heads, channels = contributions(backbone, trial)
    plan = replace(plan, heads=_ordered(heads), channels=_ordered(channels))
    target = share * sum(p.numel() for p in backbone.parameters())
    harm = lambda p: (masked.silence(p), float(distance(backbone(trial.inputs, layout), trial.wanted)))[1]  # noqa: E731
    try:
        removed, last = 0, {}
        while removed < target:
            best: tuple[float, int, Plan] | None = None
            found = _candidates(backbone, plan)
            for name in sorted(found, key=lambda n: last.get(n, 0.0)):
                if best is not None and last.get(name, 0.0) >= best[0]:
                    break  # it did more harm already while there was more of the rest (lazy greedy)
                rest, size, work = found[name]
                last[name] = harm(rest) / work
                if best is None or last[name] < best[0]:
                    best = last[name], size, rest
            if best is None:
                raise ZoetropeError(f"prune: share: {share} leaves no backbone; choose less")
            _, size, plan = best
            removed += size
    finally:
        masked.restore()
    return replace(plan, heads=_sorted(plan.heads), channels=_sorted(plan.channels))


def _candidates(backbone: Backbone, plan: Plan) -> dict[str, tuple[Plan, int, float]]:
    """What could go next, by name: what then remains, parameters saved, and the time saved by all that is gone then."""
    found, before = {}, whole(backbone)
    for block in plan.blocks if len(plan.blocks) > 1 else ():
        found[f"block {block}"] = replace(plan, blocks=tuple(b for b in plan.blocks if b != block))
    if min(len(plan.heads[b]) for b in plan.blocks) > 1:
        found["heads"] = replace(plan, heads=tuple(h[:-1] for h in plan.heads))
    for block in plan.blocks:
        kept = plan.channels[block]
        step = max(ROUND, len(before.channels[block]) // CHUNK // ROUND * ROUND)
        if len(kept) > step:
            found[f"channels {block}"] = replace(plan, channels=_with(plan.channels, block, kept[:-step]))
    saved = lambda p: _work(backbone, before) - _work(backbone, p)  # noqa: E731
    return {name: (p, _size(backbone, plan) - _size(backbone, p), saved(p)) for name, p in found.items()}


def _size(backbone: Backbone, plan: Plan) -> int:
    """Parameters of the blocks that remain."""
    width, head = backbone.config.width, backbone.config.head
    per_head, per_channel = 4 * width * head, 2 * width + 1
    return sum(len(plan.heads[b]) * per_head + len(plan.channels[b]) * per_channel + 9 * width for b in plan.blocks)


def _work(backbone: Backbone, plan: Plan) -> float:
    """Time of the blocks that remain."""
    config = backbone.config
    heads = lambda b: len(plan.heads[b]) * config.head / config.width  # noqa: E731
    channels = lambda b: len(plan.channels[b]) / (4 * config.width)  # noqa: E731
    return sum(HEAD_WORK * heads(b) + CHANNELS_WORK * channels(b) + REST_WORK for b in plan.blocks)


@torch.no_grad()
def contributions(backbone: Backbone, trial: Trial) -> tuple[list[Tensor], list[Tensor]]:
    """Mean square of what each head and each hidden channel adds to its block's output: (heads,) and (channels,) a block."""
    heads, channels = [], []
    for x_out, x_down, block in zip(*inputs_of(backbone, trial), backbone.blocks):
        attention, down = _parts(block)
        parts = x_out.unflatten(-1, (attention.heads, -1))
        weight = attention.out.weight.unflatten(1, (attention.heads, -1))
        heads.append(torch.stack([(parts[:, h] @ weight[:, h].T).square().mean() for h in range(attention.heads)]))
        channels.append(x_down.square().mean(0) * down.weight.square().mean(0))
    return heads, channels


@torch.no_grad()
def inputs_of(backbone: Backbone, trial: Trial) -> tuple[list[Tensor], list[Tensor]]:
    """What goes into every block's `out` and `down`: (rows, features) each."""
    parts = [_parts(block) for block in backbone.blocks]
    seen: dict[nn.Module, Tensor] = {}

    def watch(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen[module] = given[0].flatten(0, -2)

    handles = [m.register_forward_pre_hook(watch) for attention, down in parts for m in (attention.out, down)]
    try:
        backbone(trial.inputs, layout_of(backbone, trial.inputs))
    finally:
        for handle in handles:
            handle.remove()
    return [seen[attention.out] for attention, _ in parts], [seen[down] for _, down in parts]


def _ordered(scores: Sequence[Tensor]) -> tuple[tuple[int, ...], ...]:
    """Best first."""
    return tuple(tuple(s.argsort(descending=True).tolist()) for s in scores)


def _sorted(kept: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(sorted(k)) for k in kept)


def _with(kept: tuple[tuple[int, ...], ...], block: int, those: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    return (*kept[:block], those, *kept[block + 1 :])

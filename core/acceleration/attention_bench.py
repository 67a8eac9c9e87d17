"""What token mixers cost and keep where the context is long: one layer, timed against dense attention.

The input is a smooth random picture that moves: tokens near each other in space and time are alike, and like attends to like,
as sharply as in trained layers. Errors are of the layer's output, to be read as a comparison of mixers; rollouts judge worlds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from core.backbone.action import ActionConfig
from core.backbone.attention import Cached, DenseAttention, KeyValues
from core.backbone.mixers.build import convert
from core.backbone.mixers.config import Mixer, PrunedQueries, Radial, SlidingTile, TopBlocks, TopMass, Window
from core.backbone.rotary import Rotation, rotate
from core.backbone.transformer import Backbone, BackboneConfig, FrameShape
from core.heap import keep_freed_memory
from core.memory.context import ContextConfig

ROWS = COLUMNS = 32
"""Tokens of a frame, down and across."""
SMOOTH = (4, 8, 8)
"""Frames, rows and columns over which the picture changes."""
GRAIN = 0.3
"""Noise of a token beside what it shares with its neighbours."""
SHARPNESS = 12.0
"""Logit of a query and its own key: the median of what the layers of the maze's world have learnt is 11."""
MIXERS: tuple[Mixer, ...] = (
    Window(frames=3),
    SlidingTile(frames=4, rows=3, columns=3),
    Radial(reach=2.0),
    TopBlocks(share=0.125),
    TopMass(mass=0.5),
    PrunedQueries(keep=0.5),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    mixer: str
    settings: dict[str, Any]
    tokens: int
    """Keys that the newest frame's queries could see."""
    density: float
    """Share of the pairs of queries and keys that was looked at."""
    ms: float
    """Median time of the layer for one frame, projections included."""
    dense_ms: float
    """The same of dense attention, timed in turn with it."""
    speedup: float
    error: float
    """Root mean square of the difference to the dense output, in units of that output's spread."""


def attention_figures(
    tokens: int = 16384,
    mixers: Sequence[Mixer] = MIXERS,
    width: int = 256,
    heads: int = 4,
    repeats: int = 5,
    device: str | torch.device = "cpu",
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> list[Row]:
    """Time the newest frame of a session against a cache that makes up `tokens` keys (a whole number of frames).

    `say` hears what is measured next.
    """
    keep_freed_memory()
    frames = max(2, round(tokens / (ROWS * COLUMNS)))
    backbone = _backbone(frames, width, heads, seed).to(device)
    dense, generator = backbone.blocks[0].attention, torch.Generator().manual_seed(seed)
    assert isinstance(dense, DenseAttention)
    x = moving_picture(frames, width, generator).to(device)
    with torch.inference_mode():
        before = torch.arange(frames - 1)
        held = [dense.remember(x[:, t : t + 1], backbone.layout(before[t : t + 1])) for t in range(frames - 1)]
        turned = backbone.layout(before).rotation
        cached = _cache(held, turned)
        layout = backbone.layout(torch.tensor([frames - 1]), [(0, before)])
        newest = x[:, -1:]
        wanted = dense(newest, layout, cached)[0]
        rows = []
        for config in mixers:
            say(f"{config.kind}: {frames * ROWS * COLUMNS} keys")
            mixer = convert(dense, config, backbone.site(0))
            found = mixer(newest, layout, cached)[0]
            ms, dense_ms = _in_turn(lambda m=mixer: m(newest, layout, cached), lambda: dense(newest, layout, cached), repeats)
            error = (found - wanted).square().mean().sqrt() / (wanted - wanted.mean(2, keepdim=True)).square().mean().sqrt()
            rows.append(
                Row(
                    mixer=config.kind,
                    settings={name: value for name, value in asdict(config).items() if name != "kind"},
                    tokens=frames * ROWS * COLUMNS,
                    density=mixer.density(*mixer.read(newest, layout, cached)[:3], layout),
                    ms=ms,
                    dense_ms=dense_ms,
                    speedup=dense_ms / ms,
                    error=float(error),
                )
            )
    return rows


def moving_picture(frames: int, width: int, generator: torch.Generator) -> Tensor:
    """Tokens (1, T, n, d) of a smooth random picture that changes slowly, with a little grain."""
    counts = [max(2, size // scale + 1) for size, scale in zip((frames, ROWS, COLUMNS), SMOOTH)]
    coarse = torch.randn(1, width, *counts, generator=generator)
    smooth = F.interpolate(coarse, size=(frames, ROWS, COLUMNS), mode="trilinear", align_corners=True)
    field = smooth.flatten(3).permute(0, 2, 3, 1)
    return field + GRAIN * torch.randn(field.shape, generator=generator)


def _backbone(frames: int, width: int, heads: int, seed: int) -> Backbone:
    """One layer whose queries and keys are the same random turn of a token, so that like attends to like."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = BackboneConfig(width=width, layers=1, heads=heads, context=ContextConfig(recent=frames, sinks=0))
        shape = FrameShape(cameras=1, channels=1, rows=ROWS, columns=COLUMNS, condition=0, motion=False)
        backbone = Backbone(config, shape, ActionConfig(kind="discrete", size=2)).eval()
        turns = [torch.linalg.qr(torch.randn(width, width)).Q for _ in range(2)]
    attention = backbone.blocks[0].attention
    assert isinstance(attention, DenseAttention)
    attention.project.weight.data = torch.cat([turns[0], turns[0], turns[1]])
    attention.key_norm.weight.data.fill_(SHARPNESS / (width // heads) ** 0.5)
    return backbone


def _cache(held: Sequence[KeyValues], turned: Rotation) -> Cached:
    keys = torch.cat([part.keys.flatten(2, 3) for part in held], 2)
    return [rotate(keys, turned)], [torch.cat([part.values.flatten(2, 3) for part in held], 2)]


def _in_turn(one: Callable[[], object], other: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median milliseconds of two calls, run in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for call, taken in zip((one, other), times):
            start = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            taken.append(1e3 * (time.perf_counter() - start))
    return median(times[0]), median(times[1])

"""More of the past than training has shown, and positions that bear it: four switches that can be put on together.

`context` lets sessions see a multiple of the frames. Old frames then stand at ages that the backbone has never met, and three
techniques help without training: one time frequency made so slow that old frames do not come round (RIFLEx, arXiv 2502.15894);
attention that fades with what age is beyond training (after UltraViCo, arXiv 2511.20123); positions relative to the newest
frame in which old frames stand in blocks, within the ages that were trained (after Infinity-RoPE, arXiv 2511.20649).

An age is counted in frames back from the one that is imagined. `trained` is the greatest age that training has shown; where
it is None, that of a sink in the context that the world was trained with, one frame beyond its horizon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from core.acceleration.stack import Acceleration, Stage, Undo
from core.acceleration.wrapping import all_of, check_range, wrap
from core.backbone.attention import Cached, Layout
from core.backbone.rotary import Places, Rotation, lowered, rotate
from core.backbone.transformer import Backbone
from core.streaming.world import World

ALONE: Mapping[str, str] = dict.fromkeys(
    ("ulysses", "ring_attention", "patch_parallel", "patch_pipeline", "step_pipeline"),
    "each process imagines with a backbone of its own, whose calls are not led through",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LongerContext(Acceleration):
    """Sessions opened while it is on see so many times the frames that the world was trained with; 1 and 1 change nothing."""

    name: ClassVar[str] = "context"
    stage: ClassVar[Stage] = Stage.WEIGHTS
    recent: int = 1
    """Of the frames seen exactly."""
    packed: int = 4
    """Of the frames seen packed."""

    def __post_init__(self) -> None:
        check_range(self.name, 1, recent=self.recent, packed=self.packed)

    def apply(self, world: World) -> Undo:
        backbone = world.model.backbone
        before = backbone.config
        context = before.context
        levels = tuple(replace(level, frames=self.packed * level.frames) for level in context.packed)
        backbone.config = replace(before, context=replace(context, recent=self.recent * context.recent, packed=levels))

        def undo() -> None:
            backbone.config = before

        return undo


@dataclass(frozen=True, kw_only=True, slots=True)
class FrequencyShift(Acceleration):
    """Slow down the time frequency that repeats within what is seen. Nothing changes where no more is seen than was trained."""

    name: ClassVar[str] = "frequency_shift"
    stage: ClassVar[Stage] = Stage.MODULES
    trained: int | None = None

    def __post_init__(self) -> None:
        _check_trained(self.name, self.trained)

    def apply(self, world: World) -> Undo:
        backbone, undos = world.model.backbone, []
        trained, seen = _trained(world, self.trained), backbone.config.context.horizon + 1
        for places in backbone.places:
            assert isinstance(places, Places)
            undos.append(_slower(places, lowered(places.frequency, trained, seen)))
        return all_of(undos)


def _slower(places: Places, frequency: Tensor) -> Undo:
    before = places.frequency
    places.frequency = frequency

    def undo() -> None:
        places.frequency = before

    return undo


@dataclass(frozen=True, kw_only=True, slots=True)
class AgeDecay(Acceleration):
    """Attention to a frame x times as old as `trained` is divided by x to the power of `strength`; younger ones keep theirs."""

    name: ClassVar[str] = "age_decay"
    stage: ClassVar[Stage] = Stage.CALLS
    excludes: ClassVar[Mapping[str, str]] = {
        **ALONE,
        "sparse": "its mixers choose keys by what they see, not by how much",
        **dict.fromkeys(
            ("merging", "asymmetric_merging", "temporal_pairs", "token_cache"), "it works where all keys count alike"
        ),
    }
    strength: float = 1.0
    """0 fades nothing."""
    trained: int | None = None

    def __post_init__(self) -> None:
        check_range(self.name, strength=self.strength)
        _check_trained(self.name, self.trained)

    def apply(self, world: World) -> Undo:
        backbone, trained = world.model.backbone, _trained(world, self.trained)

        def layout(inner: Callable[..., Layout], *arguments: Any, **named: Any) -> Layout:
            made = inner(*arguments, **named)
            beyond = _ages(backbone, made).clamp(min=trained) / trained
            if self.strength == 0 or bool((beyond == 1).all()):
                return made
            tokens = _tokens(backbone)[made.seen.levels]
            fade = (-self.strength * beyond.log()).repeat_interleave(tokens, 1)
            fade = fade.repeat_interleave(backbone.shape.tokens, 0).to(backbone.place.device)
            return replace(made, bias=fade if made.bias is None else made.bias + fade)

        return wrap(backbone, "layout", layout)


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockPositions(Acceleration):
    """Remembered frames older than `near` stand in blocks, as many frames to a block as bring all within the trained ages.

    Their keys are turned anew for every frame. Nothing changes where no more is seen than was trained.
    """

    name: ClassVar[str] = "block_positions"
    stage: ClassVar[Stage] = Stage.CALLS
    excludes: ClassVar[Mapping[str, str]] = ALONE
    near: int | None = None
    """None: the frames that the trained context shows exactly."""
    trained: int | None = None

    def __post_init__(self) -> None:
        check_range(self.name, 0, near=self.near or 0)
        _check_trained(self.name, self.trained)

    def apply(self, world: World) -> Undo:
        backbone, trained = world.model.backbone, _trained(world, self.trained)
        near = min(world.config.backbone.context.recent if self.near is None else self.near, trained - 1)
        seen = backbone.config.context.horizon + 1

        def blocked(inner: Callable[..., Any], inputs: Any, layout: Layout, cached: tuple[Cached, ...] | None = None) -> Any:
            if cached is not None and seen > trained:
                turn = _turn(backbone, layout, lambda age: in_blocks(age, near, trained, seen))
                cached = tuple((_turned(keys, turn), values) for keys, values in cached)
            return inner(inputs, layout, cached)

        return all_of([wrap(backbone, method, blocked) for method in ("forward", "remember")])


def _check_trained(name: str, trained: int | None) -> None:
    if trained is not None:
        check_range(name, 1, trained=trained)


def in_blocks(age: Tensor, near: int, trained: int, seen: int) -> Tensor:
    """Ages up to `seen` brought within `trained`: those up to `near` stay, the others go together in equal blocks."""
    block = -(-(seen - near) // (trained - near))
    return torch.where(age > near, near + (age - near - 1) // block + 1, age)


def _trained(world: World, said: int | None) -> int:
    return world.config.backbone.context.horizon + 1 if said is None else said


def _tokens(backbone: Backbone) -> Tensor:
    """int64 (levels,): tokens of a frame at each level."""
    shape = backbone.shape
    return torch.tensor([shape.tokens // (rows * columns) for _, _, rows, columns in backbone.config.context.spans()])


def _ages(backbone: Backbone, layout: Layout) -> Tensor:
    """int64 (T, F): how old the seen frames look to those of the call; those to come have age 0."""
    age = layout.times[:, None] - layout.seen.times[None]
    return age.clamp(0, backbone.config.context.horizon + 1)


def _turn(backbone: Backbone, layout: Layout, block: Callable[[Tensor], Tensor]) -> Rotation:
    """By how much the picked tokens of the cache turn to look as old as `block` says, in their order."""
    own = len(layout.times) + sum(part.frames.stop - part.frames.start for part in layout.packed)
    age, levels = _ages(backbone, layout)[-1, own:], layout.seen.levels[own:]
    younger, parts = age - block(age), []
    for level in levels.unique(sorted=True).tolist():
        places = backbone.places[level]
        assert isinstance(places, Places)
        parts.append(places.later(younger[levels == level]))
    empty = backbone.place.new_zeros(0, backbone.config.head)
    return Rotation(torch.cat([empty, *(p.cos for p in parts)]), torch.cat([empty, *(p.sin for p in parts)]))


def _turned(keys: list[Tensor], turn: Rotation) -> list[Tensor]:
    ends = torch.tensor([run.shape[2] for run in keys]).cumsum(0).tolist()
    return [rotate(run, Rotation(turn.cos[a:b], turn.sin[a:b])) for run, a, b in zip(keys, [0, *ends], ends)]

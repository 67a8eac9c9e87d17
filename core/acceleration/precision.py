"""Precision that varies over noise levels: few bits where a frame is still mostly noise, all of them where it counts.

What is made of noise is corrected by the steps after it, but a clean frame's keys and values stay in memory, where their
errors would be seen for many frames (after QuantCache, arXiv 2503.06545).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from core.acceleration.int8 import LINEARS, Int8Linear, Kernel, choose
from core.acceleration.modules import named, swap
from core.acceleration.stack import Acceleration, Stage, Undo
from core.acceleration.wrapping import all_of, wrap
from core.backbone.transformer import Inputs
from core.errors import ZoetropeError
from core.streaming.world import World


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision(Acceleration):
    """The blocks' linear layers run in INT8 while all frames of a call are noisy, and exactly otherwise."""

    name: ClassVar[str] = "precision"
    stage: ClassVar[Stage] = Stage.MODULES
    excludes: ClassVar[Mapping[str, str]] = {
        "int8": "both decide the precision of the same layers",
        "low_bit": "both decide the precision of the same layers",
    }
    below: float = 0.5
    """Share of signal below which a frame counts as noisy."""
    kernel: Kernel = "auto"

    def __post_init__(self) -> None:
        if not 0 < self.below <= 1:
            raise ZoetropeError(f"accelerations: precision: below must be above 0 and at most 1, found {self.below}")

    def check(self, world: World) -> None:
        choose(self.kernel, next(world.model.backbone.parameters()).device)

    def apply(self, world: World) -> Undo:
        backbone = world.model.backbone
        kernel = choose(self.kernel, next(backbone.parameters()).device)
        switch = Switch()
        layers = named(world.model, LINEARS, nn.Linear)
        put_back = swap(world.model, {n: Switched(switch, m, Int8Linear(m, kernel, False, None)) for n, m in layers.items()})

        def deciding(method: Callable[..., Any], inputs: Inputs, *args: Any, **kwargs: Any) -> Any:
            switch.coarse = bool((inputs.signal < self.below).all())
            return method(inputs, *args, **kwargs)

        return all_of([put_back, *(wrap(backbone, name, deciding) for name in ("forward", "remember"))])


class Switch:
    """Which of their two forms all layers take in a call."""

    coarse: bool = False


class Switched(nn.Module):
    """A layer in two precisions."""

    def __init__(self, switch: Switch, exact: nn.Module, coarse: nn.Module):
        super().__init__()
        self.switch, self.exact, self.coarse = switch, exact, coarse

    def forward(self, x: Tensor) -> Tensor:
        return self.coarse(x) if self.switch.coarse else self.exact(x)

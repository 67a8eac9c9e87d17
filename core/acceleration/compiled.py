"""`torch.compile` of the blocks and the decoder: fused loops, less Python; slow first frames, faster later ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from core.acceleration.stack import Acceleration, Stage, Undo
from core.acceleration.wrapping import all_of, wrap
from core.errors import ZoetropeError
from core.streaming.world import World


@dataclass(frozen=True, kw_only=True, slots=True)
class Compile(Acceleration):
    """Compile parts of the world; every other technique that is on is compiled with them."""

    name: ClassVar[str] = "compile"
    stage: ClassVar[Stage] = Stage.COMPILATION
    slow_start: ClassVar[bool] = True
    parts: tuple[Literal["backbone", "decoder"], ...] = ("backbone", "decoder")

    def check(self, world: World) -> None:
        device = next(world.model.parameters()).device
        if device.type == "cpu" and not any(map(shutil.which, (os.environ.get("CXX") or "c++", "g++", "clang++"))):
            raise ZoetropeError("accelerations: compile: torch.compile needs a C++ compiler, and none is installed here")

    def apply(self, world: World) -> Undo:
        model = world.model
        modules: list[nn.Module] = []
        if "backbone" in self.parts:
            modules += list(model.backbone.blocks)
        if "decoder" in self.parts:
            modules += [model.tokenizer.decoder, *([model.blend] if model.blend is not None else [])]
        return all_of([wrap(module, "forward", _compiled()) for module in modules])


def _compiled() -> Callable[..., Any]:
    """Leads calls through their compiled form, made at the first one."""
    ready: list[Callable[..., Any]] = []

    def call(inner: Callable[..., Any], *arguments: Any) -> Any:
        if not ready:
            ready.append(torch.compile(inner))
        return ready[0](*arguments)

    return call

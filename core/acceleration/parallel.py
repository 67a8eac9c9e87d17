"""Parallelism as accelerations: the same world, put on in every process, whose sessions step together and show the same.

Started with torchrun or `accelerate launch`; see `core.parallel` for how each works and what it sends. Sessions opened before
keep to themselves. A session is stepped, saved and forked in all processes alike, one session at a time.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch.distributed as dist

from core.acceleration.stack import Acceleration, Stage, Undo
from core.errors import ZoetropeError
from core.parallel.context import Cache, RingAttention, SharedAttention, UlyssesAttention, context_backbone, past_part
from core.parallel.group import Group, join, processes
from core.parallel.guidance import shared_guide
from core.parallel.patches import patch_backbone
from core.parallel.pipeline import PatchPipeline
from core.parallel.timesteps import StepPipeline
from core.streaming.imagination import Imagination
from core.streaming.model import WorldModel
from core.streaming.world import World

SHARE_OUT = {
    name: "both decide which process imagines what"
    for name in ("ulysses", "ring_attention", "patch_parallel", "patch_pipeline", "step_pipeline")
}


class Parallel(Acceleration):
    """A way to imagine in several processes."""

    stage: ClassVar[Stage] = Stage.CALLS

    def check(self, world: World) -> None:
        join()
        self.ranks(Group().size)

    def apply(self, world: World) -> Undo:
        before, group = world.imagination, self._group()
        self.share(before(world.model, 1), 1, group)  # raises where the world cannot be shared out so

        def imagination(model: WorldModel, batch: int) -> Imagination:
            return self.share(before(model, batch), batch, group)

        def undo() -> None:
            world.imagination = before

        world.imagination = imagination
        return undo

    @abstractmethod
    def ranks(self, processes: int) -> list[list[int]]:
        """Which processes work together. Raises ZoetropeError where their number does not suit."""

    @abstractmethod
    def share(self, alone: Imagination, batch: int, group: Group) -> Imagination:
        """What imagines in a new session, of what would imagine alone."""

    def _group(self) -> Group:
        groups = self.ranks(processes())
        handles = [dist.new_group(ranks) for ranks in groups]  # everyone makes every group
        own = next(handle for ranks, handle in zip(groups, handles) if dist.get_rank() in ranks)
        assert isinstance(own, dist.ProcessGroup)
        return Group(own)


@dataclass(frozen=True, kw_only=True, slots=True)
class Team(Parallel):
    """Consecutive processes that imagine a frame together."""

    degree: int = 0
    """How many; 0 for all. What is left over goes to `guidance_parallel`."""

    def ranks(self, processes: int) -> list[list[int]]:
        degree = self.degree or processes
        if degree < 2 or processes % degree:
            raise ZoetropeError(f"accelerations: {self.name}: degree {self.degree} does not suit {processes} processes")
        return [list(range(start, start + degree)) for start in range(0, processes, degree)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Context(Team):
    """A frame's tokens are dealt out, and what is remembered too where `cache` is sharded."""

    kind: ClassVar[type[SharedAttention]]
    cache: Cache = "shared"

    def share(self, alone: Imagination, batch: int, group: Group) -> Imagination:
        backbone = context_backbone(alone.backbone, self.kind, group, self.cache)
        alone.backbone = backbone
        if self.cache == "sharded":
            alone.ring = alone.model.make_ring(past_part(backbone), batch)
        return alone


@dataclass(frozen=True, kw_only=True, slots=True)
class Ulysses(Context):
    """Attention exchanges tokens for heads; as many heads as processes, or a multiple."""

    name: ClassVar[str] = "ulysses"
    excludes: ClassVar[Mapping[str, str]] = SHARE_OUT
    kind: ClassVar[type[SharedAttention]] = UlyssesAttention


@dataclass(frozen=True, kw_only=True, slots=True)
class Ring(Context):
    """Keys and values, or where the past is sharded queries, go from process to process."""

    name: ClassVar[str] = "ring_attention"
    excludes: ClassVar[Mapping[str, str]] = SHARE_OUT
    kind: ClassVar[type[SharedAttention]] = RingAttention


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchParallel(Team):
    """Each process denoises part of a frame and sees the others as they were one step before."""

    name: ClassVar[str] = "patch_parallel"
    excludes: ClassVar[Mapping[str, str]] = SHARE_OUT
    warmup: int = 1
    """Steps at a frame's beginning that wait for the others."""

    def __post_init__(self) -> None:
        _check_warmup(self.name, self.warmup)

    def share(self, alone: Imagination, batch: int, group: Group) -> Imagination:
        alone.backbone = patch_backbone(alone.backbone, group, self.warmup)
        return alone


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchesInPipeline(Team):
    """Each process has some of the layers, and a frame's patches flow through."""

    name: ClassVar[str] = "patch_pipeline"
    excludes: ClassVar[Mapping[str, str]] = SHARE_OUT | {"guidance_parallel": "the pipeline takes both predictions through"}
    patches: int = 0
    """Into which a frame is cut; 0 for as many as there are processes."""
    warmup: int = 1
    """Steps at a frame's beginning in which it flows whole."""

    def __post_init__(self) -> None:
        _check_warmup(self.name, self.warmup)

    def share(self, alone: Imagination, batch: int, group: Group) -> Imagination:
        return PatchPipeline(alone.model, batch, group, self.patches or group.size, self.warmup)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepsInPipeline(Team):
    """Each process does one denoising step; frames are shown as many frames late as there are other processes."""

    name: ClassVar[str] = "step_pipeline"
    excludes: ClassVar[Mapping[str, str]] = SHARE_OUT | {"steps": "there are as many steps as processes"}

    def check(self, world: World) -> None:
        if world.config.motion is not None:
            raise ZoetropeError(
                f"accelerations: {self.name}: world '{world.config.name}' moves its camera by what the last frame shows, "
                "and here the last frame is not finished yet"
            )
        Parallel.check(self, world)

    def share(self, alone: Imagination, batch: int, group: Group) -> Imagination:
        made = StepPipeline(alone.model, batch, group)
        made.guide = alone.guide
        return made


@dataclass(frozen=True, kw_only=True, slots=True)
class GuidanceParallel(Parallel):
    """One half of the processes predicts what is told, the other what is not (only where guidance is not 1)."""

    name: ClassVar[str] = "guidance_parallel"

    def ranks(self, processes: int) -> list[list[int]]:
        if processes % 2:
            raise ZoetropeError(f"accelerations: {self.name}: needs an even number of processes, found {processes}")
        half = processes // 2
        return [[rank, rank + half] for rank in range(half)]

    def share(self, alone: Imagination, batch: int, group: Group) -> Imagination:
        alone.guide = shared_guide(group)
        return alone


def _check_warmup(name: str, warmup: int) -> None:
    if warmup < 1:
        raise ZoetropeError(f"accelerations: {name}: warmup must be at least 1, found {warmup}")

"""Another token mixer in a world that was trained with dense attention: its projections stay, what sees what changes.

The mixers that choose among keys serve a dense checkpoint as it is, at full density with the very same outcome. Those with a
running state (`linear`, `state_space`) and the linear half of `sparse_linear` have weights of their own, which a fine-tune of
the world must teach before they are of use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from core.acceleration.modules import swap
from core.acceleration.stack import Acceleration, Stage, Undo
from core.backbone.attention import DenseAttention
from core.backbone.mixers.build import convert, make_mixer
from core.backbone.mixers.config import Mixer, TopBlocks
from core.backbone.transformer import Block
from core.errors import ZoetropeError
from core.streaming.world import World

MOVED = "a mixer must find every token of a frame at its place"
REPLACED = "both take attention's place"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sparse(Acceleration):
    """Sessions opened while it is on attend through `mixer`; 'sparse:radial' is short for a mixer of that kind."""

    name: ClassVar[str] = "sparse"
    stage: ClassVar[Stage] = Stage.MODULES
    excludes: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("merging", "asymmetric_merging", "temporal_pairs", "token_cache"), MOVED),
        **dict.fromkeys(("ulysses", "ring_attention", "patch_parallel", "patch_pipeline"), REPLACED),
    }
    mixer: Mixer = field(default_factory=TopBlocks)

    @classmethod
    def variant(cls, kind: str) -> dict[str, Any]:
        return {"mixer": {"kind": kind}}

    def check(self, world: World) -> None:
        if any(type(attention) is not DenseAttention for attention in _attentions(world)):
            raise ZoetropeError("accelerations: sparse: this world does not attend densely, so its mixer cannot be exchanged")
        make_mixer(self.mixer, world.model.backbone.site(0))

    def apply(self, world: World) -> Undo:
        backbone = world.model.backbone
        made = {f"blocks.{i}.attention": convert(a, self.mixer, backbone.site(i)) for i, a in enumerate(_attentions(world))}
        return swap(backbone, made)


def _attentions(world: World) -> list[DenseAttention]:
    return [block.attention for block in world.model.backbone.blocks if isinstance(block, Block)]

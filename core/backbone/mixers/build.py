"""Token mixers from their settings."""

from __future__ import annotations

import torch

from core.backbone.attention import DenseAttention
from core.backbone.mixers import config as configs
from core.backbone.mixers.frames import WindowAttention, WindowResidualAttention
from core.backbone.mixers.queries import PrunedQueriesAttention
from core.backbone.mixers.recurrent import LinearAttention, StateSpaceMixer
from core.backbone.mixers.site import Site
from core.backbone.mixers.sparse import RadialAttention, SlidingTileAttention, StaticHeadsAttention, TopBlocksAttention
from core.backbone.mixers.sparse_linear import SparseLinearAttention

MIXERS = {
    configs.Window: WindowAttention,
    configs.SlidingTile: SlidingTileAttention,
    configs.Radial: RadialAttention,
    configs.TopBlocks: TopBlocksAttention,
    configs.TopMass: TopBlocksAttention,
    configs.StaticHeads: StaticHeadsAttention,
    configs.PrunedQueries: PrunedQueriesAttention,
    configs.Linear: LinearAttention,
    configs.SparseLinear: SparseLinearAttention,
    configs.StateSpace: StateSpaceMixer,
    configs.WindowResidual: WindowResidualAttention,
}


def make_mixer(config: configs.Mixer, site: Site) -> DenseAttention:
    """A mixer with new weights. Raises ZoetropeError where it cannot stand at this site."""
    if isinstance(config, configs.Dense):
        return DenseAttention(site.width, site.heads, site.head)
    return MIXERS[type(config)](config, site)


def convert(dense: DenseAttention, config: configs.Mixer, site: Site) -> DenseAttention:
    """A mixer with the weights of another: what both have is shared, what is new begins so that it does little harm."""
    with torch.random.fork_rng(devices=[]):
        made = make_mixer(config, site).to(dense.project.weight.device)
    for name, module in dense.named_children():
        setattr(made, name, module)
    return made.train(dense.training)

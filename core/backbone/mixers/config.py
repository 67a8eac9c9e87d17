"""The settings of every token mixer, one small dataclass each, told apart by `kind`.

A tile is a patch of a camera's token grid; one tile of one frame is a block: a pair of blocks is seen as a whole or not at all.
Frames that the context packs are few tokens already: where blocks are chosen, packed frames are all seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import ZoetropeError

Tile = tuple[int, int] | None
"""Rows and columns of a tile, in tokens; None for the largest that divide the grid and hold no more than TILE_TOKENS."""
TILE_TOKENS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Dense:
    """Every token sees all that the context allows."""

    kind: Literal["dense"] = "dense"


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Only the last frames and the sinks (StreamingLLM, arXiv 2309.17453)."""

    kind: Literal["window"] = "window"
    frames: int = 4
    """Frames before its own that a frame sees, whether exact or packed."""

    def __post_init__(self) -> None:
        _at_least(self.kind, "frames", self.frames, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class SlidingTile:
    """A window of tiles over time, rows and columns (sliding tile attention, arXiv 2502.04507)."""

    kind: Literal["tile"] = "tile"
    tile: Tile = None
    frames: int = 4
    """Frames before its own that a frame sees; sinks count as its own frame."""
    rows: int = 3
    """Of tiles: the window's height. At the picture's edge the window is pushed in, so all see equally many."""
    columns: int = 3

    def __post_init__(self) -> None:
        _at_least(self.kind, "frames", self.frames, 0)
        _at_least(self.kind, "rows", self.rows, 1)
        _at_least(self.kind, "columns", self.columns, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Radial:
    """Ever less of ever older frames: each doubling of the age halves what is seen (radial attention, arXiv 2506.19852)."""

    kind: Literal["radial"] = "radial"
    tile: Tile = None
    reach: float = 4.0
    """How far, in tiles, a tile sees in its own frame and the one before; where less than one is left, frames are skipped."""

    def __post_init__(self) -> None:
        _positive(self.kind, "reach", self.reach)


@dataclass(frozen=True, kw_only=True, slots=True)
class TopBlocks:
    """The blocks whose mean key is nearest each tile's mean query (MoBA, arXiv 2502.13189; VMoBA, arXiv 2506.23858)."""

    kind: Literal["topk"] = "topk"
    tile: Tile = None
    share: float = 0.125
    """Of all blocks that a tile could see, rounded up."""

    def __post_init__(self) -> None:
        _share(self.kind, "share", self.share)


@dataclass(frozen=True, kw_only=True, slots=True)
class TopMass:
    """As many of the likeliest blocks as it takes to hold a mass of attention (VMoBA, arXiv 2506.23858)."""

    kind: Literal["topp"] = "topp"
    tile: Tile = None
    mass: float = 0.9
    """Of the attention that the blocks' mean keys let expect."""

    def __post_init__(self) -> None:
        _share(self.kind, "mass", self.mass)


@dataclass(frozen=True, kw_only=True, slots=True)
class StaticHeads:
    """Each head looks within its frame or along time, whichever loses less on a few queries (SVG, arXiv 2502.01776)."""

    kind: Literal["heads"] = "heads"
    tile: Tile = None
    frames: int = 1
    """Frames before its own that a spatial head sees whole; a temporal head sees its own tile in all frames."""
    samples: int = 16
    """Queries of a frame on which heads are told apart."""

    def __post_init__(self) -> None:
        _at_least(self.kind, "frames", self.frames, 0)
        _at_least(self.kind, "samples", self.samples, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class PrunedQueries:
    """Of each tile only the queries that differ most attend; the others take what the most alike of them found."""

    kind: Literal["queries"] = "queries"
    tile: Tile = None
    keep: float = 0.5
    """Share of a tile's queries, rounded up."""

    def __post_init__(self) -> None:
        _share(self.kind, "keep", self.keep)


@dataclass(frozen=True, kw_only=True, slots=True)
class Linear:
    """ReLU linear attention with rotary positions (SANA-Video, arXiv 2509.24695) that fades from frame to frame."""

    kind: Literal["linear"] = "linear"


@dataclass(frozen=True, kw_only=True, slots=True)
class SparseLinear:
    """Softmax for the critical blocks, linear attention for the rest (SLA, arXiv 2509.24006)."""

    kind: Literal["sparse_linear"] = "sparse_linear"
    tile: Tile = None
    critical: float = 0.125
    """Share of the blocks, rounded up."""
    negligible: float = 0.25
    """Share of the blocks that are left out of both."""

    def __post_init__(self) -> None:
        _share(self.kind, "critical", self.critical)
        if not 0 <= self.negligible <= 1:
            raise ZoetropeError(f"mixer: {self.kind}: negligible must lie in [0, 1], found {self.negligible}")


@dataclass(frozen=True, kw_only=True, slots=True)
class StateSpace:
    """A state that each frame lets fade and writes to, as much as it asks for (Mamba-2, arXiv 2405.21060)."""

    kind: Literal["state_space"] = "state_space"
    chunk: int = 16
    """Frames that are worked through at once."""

    def __post_init__(self) -> None:
        _at_least(self.kind, "chunk", self.chunk, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowResidual:
    """A window, and what it missed when last everything was looked at (DiTFastAttn, arXiv 2406.08552)."""

    kind: Literal["residual"] = "residual"
    frames: int = 4
    """Frames before its own that a frame sees."""
    refresh: int = 4
    """Every so many frames everything is looked at."""

    def __post_init__(self) -> None:
        _at_least(self.kind, "frames", self.frames, 0)
        _at_least(self.kind, "refresh", self.refresh, 1)


Mixer = (
    Dense
    | Window
    | SlidingTile
    | Radial
    | TopBlocks
    | TopMass
    | StaticHeads
    | PrunedQueries
    | Linear
    | SparseLinear
    | StateSpace
    | WindowResidual
)


def _at_least(kind: str, name: str, value: int, least: int) -> None:
    if value < least:
        raise ZoetropeError(f"mixer: {kind}: {name} must be at least {least}, found {value}")


def _positive(kind: str, name: str, value: float) -> None:
    if not value > 0:
        raise ZoetropeError(f"mixer: {kind}: {name} must be greater than 0, found {value}")


def _share(kind: str, name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ZoetropeError(f"mixer: {kind}: {name} must lie in (0, 1], found {value}")

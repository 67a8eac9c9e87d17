"""Accelerations by name: how users, YAML files and presets ask for them.

An entry is a technique's name (with its kind where it has several: 'sparse:radial'), a mapping of its settings
(`{name: merging, ratio: 0.5}`), a preset's name or file, or an `Acceleration` made in Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.acceleration.caching_broadcast import Broadcast
from core.acceleration.caching_frames import StillFrames
from core.acceleration.caching_skip import BlockCache, TimestepCache
from core.acceleration.caching_tokens import TokenCache
from core.acceleration.caching_world import ShallowRefresh
from core.acceleration.cascade import Cascade
from core.acceleration.coarse import CoarseToFine
from core.acceleration.compiled import Compile
from core.acceleration.frame_rate import FrameRate
from core.acceleration.int8 import Int8
from core.acceleration.kv_cache import QuantizedCache
from core.acceleration.low_bit import LowBit
from core.acceleration.merging import Merging
from core.acceleration.merging_attention import AsymmetricMerging, TemporalPairs
from core.acceleration.parallel import GuidanceParallel, PatchesInPipeline, PatchParallel, Ring, StepsInPipeline, Ulysses
from core.acceleration.positions import AgeDecay, BlockPositions, FrequencyShift, LongerContext
from core.acceleration.precision import Precision
from core.acceleration.sparse import Sparse
from core.acceleration.stack import Acceleration, Stack
from core.acceleration.steps import Steps
from core.config import from_dict, load_yaml, to_dict
from core.errors import ZoetropeError
from core.streaming.world import World

PRESETS = Path(__file__).parents[2] / "configs" / "accelerations"
"""Presets for any world; those of a folder that is named like a world go first there."""
TECHNIQUES: dict[str, type[Acceleration]] = {
    technique.name: technique
    for technique in (
        Steps,
        Sparse,
        Broadcast,
        TimestepCache,
        BlockCache,
        ShallowRefresh,
        TokenCache,
        StillFrames,
        FrameRate,
        CoarseToFine,
        Cascade,
        LongerContext,
        FrequencyShift,
        AgeDecay,
        BlockPositions,
        Merging,
        AsymmetricMerging,
        TemporalPairs,
        Compile,
        Int8,
        LowBit,
        Precision,
        QuantizedCache,
        Ulysses,
        Ring,
        PatchParallel,
        PatchesInPipeline,
        StepsInPipeline,
        GuidanceParallel,
    )
}  # fmt: skip
Entry = str | Mapping[str, Any] | Acceleration


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """A YAML file: a stack, and what it was found to keep."""

    accelerations: tuple[str | dict, ...]
    world: str | None = None
    """The name of the only world that it is for; None for any."""
    layers: int | None = None
    """Of the backbone that it is for; None for any."""
    width: int | None = None
    quality: float | None = None
    """What it states to keep, as `zoetrope bench accelerations` measures it; None where nothing is stated."""
    steps: int | None = None
    """Denoising steps a frame of the unaccelerated world that it was measured against; None for those of the world."""

    def check(self, world: World, where: str) -> None:
        """Raise ZoetropeError when it is for another world or architecture."""
        backbone, config = world.config.backbone, world.config
        if self.world not in (None, config.name):
            raise ZoetropeError(f"{where}: this preset is for world '{self.world}', not for '{config.name}'")
        for what, wanted, found in (("layers", self.layers, backbone.layers), ("width", self.width, backbone.width)):
            if wanted not in (None, found):
                raise ZoetropeError(f"{where}: {what}: this preset is for another architecture ({wanted}; this world: {found})")


def accelerate(world: World, entries: Sequence[Entry] | Entry) -> Stack:
    """Put a stack of techniques on `world`; `.remove()` takes it off.

    Raises ZoetropeError for what is unknown, contradictory, or not for this world or machine; the world is then as it was.
    """
    listed = [entries] if isinstance(entries, (str, Mapping, Acceleration)) else entries
    return Stack(world, resolve(listed, world))


def resolve(entries: Sequence[Entry], world: World | None = None, where: str = "accelerations") -> list[Acceleration]:
    """The techniques that `entries` name; presets must suit `world` where one is given."""
    found: list[Acceleration] = []
    for entry in entries:
        if isinstance(entry, Acceleration):
            found.append(entry)
        elif isinstance(entry, Mapping):
            found.append(_from_mapping(dict(entry), where))
        elif entry.partition(":")[0] in TECHNIQUES:
            found.append(_from_mapping({"name": entry}, where))
        else:
            path = find_preset(entry, None if world is None else world.config.name, where)
            preset = load_yaml(Preset, path)
            if world is not None:
                preset.check(world, str(path))
            for inner in preset.accelerations:
                if isinstance(inner, str) and inner.partition(":")[0] not in TECHNIQUES:
                    raise ZoetropeError(f"{path}: accelerations: unknown technique '{inner}'; known: {', '.join(TECHNIQUES)}")
            found += resolve(preset.accelerations, world, f"{path}: accelerations")
    return found


def find_preset(name: str, world: str | None, where: str = "accelerations") -> Path:
    """The file of a preset: that of the world, that for any, or a path. Raises ZoetropeError listing what there is."""
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    for folder in ([PRESETS / world] if world else []) + [PRESETS]:
        if (folder / f"{name}.yaml").exists():
            return folder / f"{name}.yaml"
    presets = ", ".join(preset_names(world)) or "none"
    raise ZoetropeError(f"{where}: unknown acceleration '{name}'; techniques: {', '.join(TECHNIQUES)}; presets: {presets}")


def preset_names(world: str | None) -> list[str]:
    """Names of the presets for any world, and for this one."""
    folders = [PRESETS, *([PRESETS / world] if world else [])]
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})


def parse(text: str) -> list[str]:
    """Names as they are written on a command line: 'steps,merging', 'fast'."""
    return [name.strip() for name in text.split(",") if name.strip()]


def describe(acceleration: Acceleration) -> dict[str, Any]:
    """A technique with its settings as a plain mapping; `resolve` reads it back."""
    return {"name": acceleration.name, **to_dict(acceleration)}


def _from_mapping(data: dict[str, Any], where: str) -> Acceleration:
    name = data.pop("name", None)
    if not isinstance(name, str):
        raise ZoetropeError(f"{where}: a mapping must say which technique it is for: its 'name' is missing")
    name, _, kind = name.partition(":")
    if name not in TECHNIQUES:
        raise ZoetropeError(f"{where}: unknown technique '{name}'; known: {', '.join(TECHNIQUES)}")
    if kind:
        data = TECHNIQUES[name].variant(kind) | data
    return from_dict(TECHNIQUES[name], data, f"{where}: {name}")

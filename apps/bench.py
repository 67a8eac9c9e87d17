"""`zoetrope bench`: which accelerations pay on this machine, for a chosen world, alone and stacked, and what they keep."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import ZoetropeError
from core.files import write_text

if TYPE_CHECKING:
    from core.episodes.episode import Episode
    from core.evaluation.accelerated import Bench, Row
    from core.streaming.world import World

RUNS = Path("runs")
KEPT_LESS = 1
"""Exit code where a preset keeps less quality than it states."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--accelerate", metavar="NAMES", help="measure this stack alone: techniques or presets, a,b,c")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="held-out recordings (default: the world's starts)")
    parser.add_argument("--check", action="store_true", help="measure the presets; fail where one keeps less than it states")
    parser.add_argument("--tune", type=float, metavar="QUALITY", help="write the fastest stack that keeps this as a preset")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where --tune writes (default: runs/WORLD/tuned.yaml)")


def run(args: Namespace) -> int:
    """Measure. Returns the exit code: 0, or 1 where `--check` found a preset that keeps less than it states."""
    from apps.report.accelerations import table, write_page
    from core.evaluation.accelerated import QUICK, Bench, BenchConfig, mark_best, report
    from core.evaluation.rollouts import Cases
    from core.heap import keep_freed_memory

    if args.tune is not None and not 0 < args.tune <= 1:
        raise ZoetropeError(f"--tune: a quality is above 0 and at most 1, found {args.tune:g}")
    name, load, recordings = _find(args.world, args.data)
    keep_freed_memory()
    config = QUICK if args.quick else BenchConfig()
    cases = Cases.cut(recordings, config.cases, config.context)
    bench = Bench(load, cases, config, lambda line: print(line, file=sys.stderr))
    if args.check:
        return _check(bench, name)
    if args.accelerate is not None:
        from core.acceleration.catalog import parse, resolve

        rows = bench.measure([resolve(parse(args.accelerate), load())])
    else:
        rows = bench.alone()
        rows += bench.stacked(rows)
    mark_best(rows)
    rows.sort(key=lambda row: (row.steps, -row.speedup_end_to_end))
    result = report(bench, rows, name)
    page = args.html or RUNS / name / "accelerations.html"
    beside = args.json or page.with_suffix(".json")
    write_text(beside, json.dumps(result, indent=1) + "\n")
    print(table(result))
    write_page(result, page)
    print(page, beside, sep="\n")
    if args.tune is not None:
        _tune(rows, load(), args.tune, args.out or RUNS / name / "tuned.yaml")
    return 0


def _find(world: str, data: Path | None) -> tuple[str, Callable[[], World], Sequence[Episode]]:
    """The name of a world, what loads it plain, and its held-out recordings."""
    from core.streaming.model import CONFIG, WEIGHTS, WorldConfig
    from core.streaming.world import World
    from driving import WEIGHTS as DRIVING
    from games import loading, registry, starts

    folder = DRIVING if world == "driving" else Path(world)
    if world in registry.GAMES or not (folder / WEIGHTS).exists():
        folder = loading.find(world)
    from core.config import load_yaml

    name = load_yaml(WorldConfig, folder / CONFIG).name
    if data is None:
        if not (folder / starts.FILE).exists():
            raise ZoetropeError(f"{folder}: comes without starts: name held-out recordings with --data")
        return name, lambda: World.load(folder, []), starts.load(folder)
    from core.episodes.store import EpisodeStore

    recordings = list(EpisodeStore(data))
    if not recordings:
        raise ZoetropeError(f"{data}: no recordings here")
    return name, lambda: World.load(folder, []), recordings


def _check(bench: Bench, world: str) -> int:
    """Measure every preset that states what it keeps."""
    from core.acceleration.catalog import Preset, find_preset, preset_names, resolve
    from core.config import load_yaml

    code = 0
    for name in preset_names(world):
        path = find_preset(name, world)
        preset = load_yaml(Preset, path)
        if preset.quality is None:
            continue
        found = bench.measure([resolve([name], bench.load())], preset.steps)
        if not found:
            print(f"{name}: cannot run here: {next(reversed(bench.left_out.values()))}")
            continue
        row = found[0]
        kept = row.quality >= preset.quality
        code = code if kept else KEPT_LESS
        print(f"{name}: keeps {_share(row)}, states {preset.quality:.3f}: {'yes' if kept else 'NO'}; {path}")
    return code


def _share(row: Row) -> str:
    bounds = row.quality_ci95
    return f"{row.quality:.3f}" + ("" if bounds is None else f" [{bounds[0]:.3f}, {bounds[1]:.3f}]")


def _tune(rows: Sequence[Row], world: World, quality: float, path: Path) -> None:
    """Write the fastest stack at the world's own steps that keeps `quality`."""
    import yaml

    from core.acceleration.catalog import describe

    config = world.config
    able = [r for r in rows if r.steps == config.steps and r.quality >= quality and r.pays]
    if not able:
        print(f"--tune: nothing that was measured keeps {quality:g} and is faster here; no preset written")
        return
    row = max(able, key=lambda r: r.speedup_end_to_end)
    preset: dict[str, Any] = {
        "accelerations": [describe(a) for a in row.accelerations],
        "world": config.name,
        "layers": config.backbone.layers,
        "width": config.backbone.width,
        "quality": quality,
        "steps": row.steps,
    }
    write_text(path, yaml.safe_dump(preset, sort_keys=False))
    names = "+".join(a.name for a in row.accelerations)
    print(
        f"{path}: {names}, {row.speedup_end_to_end:.2f}x, keeps {_share(row)}; zoetrope play {config.name} --accelerate {path}"
    )

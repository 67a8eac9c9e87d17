"""`zoetrope bench accelerations`: which of them pay on this machine, for a world, alone and stacked, and what they keep."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.bench.common import find, say
from core.errors import ZoetropeError
from core.files import write_text

if TYPE_CHECKING:
    from core.evaluation.accelerated import Bench, Row
    from core.streaming.world import World

RUNS = Path("runs")
KEPT_LESS = 1
"""Exit code where a preset keeps less quality than it states."""


def run(args: Namespace) -> int:
    """Measure. Returns the exit code: 0, or 1 where `--check` found a preset that keeps less than it states."""
    from apps.report.accelerations import table, write_page
    from core.evaluation.accelerated import QUICK, Bench, BenchConfig, mark_best, report
    from core.evaluation.rollouts import HORIZON, Cases
    from core.heap import keep_freed_memory

    if args.tune is not None and not 0 < args.tune <= 1:
        raise ZoetropeError(f"--tune: a quality is above 0 and at most 1, found {args.tune:g}")
    found = find(args.world, args.data)
    name, load = found.name, found.load
    keep_freed_memory()
    config = QUICK if args.quick else BenchConfig()
    recordings = found.recordings(config.cases, config.context + HORIZON)
    bench = Bench(load, Cases.cut(recordings, config.cases, config.context), config, say)
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

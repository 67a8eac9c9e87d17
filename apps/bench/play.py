"""`zoetrope bench play`: what a played frame costs."""

from __future__ import annotations

from argparse import Namespace


def run(args: Namespace) -> int:
    from apps.report.bench import write_page
    from apps.report.figures import of_bench, table
    from games import loading
    from games.bench import bench_play

    weights = loading.find(args.world)
    name = loading.game_of(weights).name
    figures = bench_play(name, weights=weights, frames=args.frames, json_path=args.json, quick=args.quick)
    print(table(of_bench(figures)))
    if args.html is not None:
        write_page(figures, args.html)
        print(args.html)
    return 0

"""The page of `zoetrope robot evaluate`: agreement beside what chance allows, policies in both worlds, both side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.report import page
from apps.report.evaluation import side_by_side
from apps.report.figures import Figure
from core.episodes.video import VideoWriter
from core.files import write_text
from robotics.evaluate import TRUE, WORLD, Plan, clip_path
from robotics.task import RATE

TARGETS: dict[str, tuple[float, int]] = {"pearson": (0.90, 1), "mmrv": (0.08, -1)}
"""Figures that should be at least (1) or at most (-1) so much."""
MOST_BIAS = 0.05
LABELS = {
    "pearson": "correlation of success rates, world and MuJoCo",
    "spearman": "rank correlation",
    "mmrv": "mean maximum rank violation",
}


def rows(figures: dict[str, Any]) -> list[Figure]:
    """Every figure beside what is wanted, and each agreement beside what a perfect world would score with the same sample."""
    out: list[Figure] = []
    for name, label in LABELS.items():
        target, side = TARGETS.get(name, (None, 1))
        out.append(_figure(label, figures[name], target, side))
        floor = figures["noise_floor"][name]
        if floor is not None:
            low, high = floor["band90"]
            inside = figures["within_noise_floor"][name]
            out.append(Figure("... of a perfect world, 90 % band", floor["mean"], "", low, high, "within", inside))
    bias = figures["bias"]
    wanted = f"-{MOST_BIAS:g} to {MOST_BIAS:g}"
    out.append(Figure("success in the world less success in MuJoCo", *_parts(bias), wanted, abs(bias["value"]) <= MOST_BIAS))
    out.append(_figure("... without its sign, over policies", figures["gap"]))
    for name, found in figures["judge"].items():
        if name != "error" and found is not None:
            out.append(_figure(f"verdicts that are the truth, {name.replace('_', ' ')}", found["agreement"]))
    saved = figures["rollouts_saved"]
    if saved is not None:
        out.append(Figure("true rollouts saved by generated ones", saved, "", None, None, ">= 0.5", saved >= 0.5))
    speed = figures["frames_per_second"]
    out.append(Figure(f"generated world, batch of {speed['batch']}", speed["world"], "frames/s"))
    out.append(Figure("MuJoCo with its pictures", speed["true"], "frames/s"))
    out.append(Figure("generated world over MuJoCo", speed["ratio"], "x", None, None, ">= 1", speed["ratio"] >= 1))
    out.append(Figure("independent training runs", float(figures["independent_training_runs"]), ""))
    return out


def policy_rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Success of every policy in both worlds, in words."""
    return [
        (name, f"MuJoCo {_rate(found['success_true'])}   world {_rate(found['success_world'])}")
        for name, found in figures["per_policy"].items()
    ]


def write_page(figures: dict[str, Any], plan: Plan, out: Path, path: Path) -> None:
    """The page, and its videos beside it in `<name>_files`."""
    about = (
        f"{figures['policies']} policies, {figures['episodes']} starts each, the same in both worlds; in the generated world "
        f"{'the predicted objects' if plan.judge == 'objects' else 'the predicted reward'} say whether the goal holds. "
        f"Intervals are 95 %. {figures['independent_training_runs']} independent training runs stand behind the policies."
    )
    videos = []
    for name in plan.policies:
        clip = clip_path(out, name)
        if clip.exists():
            target = path.with_name(f"{path.stem}_files") / f"{clip.stem}.mp4"
            _film(clip, target)
            videos.append(page.video(f"{target.parent.name}/{target.name}", f"{name}, first start{_parted(figures, name)}"))
    parts = [
        page.paragraph(about),
        page.section("Agreement", page.figure_table(rows(figures))),
        page.section("Policies", page.chart(lambda axes: _scatter(axes, figures), size=(5.4, 5.0)), _policies(figures)),
        page.section("Side by side", *videos) if videos else "",
        page.origin(figures | {"weights": figures["fingerprint"]}),
    ]
    write_text(path, page.page(f"{figures['task']}: policies in the generated world and in MuJoCo", *parts))


def _policies(figures: dict[str, Any]) -> str:
    table = []
    for name, found in figures["per_policy"].items():
        parting = figures["parted"][name]
        frame = parting["median_frame"]
        table.append(
            [
                name,
                _rate(found["success_true"]),
                _rate(found["success_world"]),
                _rate(found["success_powered"]),
                "" if frame is None else f"{parting['share']:.0%}, at frame {frame:.0f} in the middle",
            ]
        )
    head = ["policy", "success in MuJoCo", "in the world", "both together", "episodes that part"]
    return page.plain_table(head, table)


def _scatter(axes: Any, figures: dict[str, Any]) -> None:
    for name, found in figures["per_policy"].items():
        true, world = found["success_true"], found["success_world"]
        spread = [
            [[rate["value"] - rate["ci95"][0]], [rate["ci95"][1] - rate["value"]]] if rate["ci95"] else None
            for rate in (true, world)
        ]
        axes.errorbar(true["value"], world["value"], xerr=spread[0], yerr=spread[1], fmt="o", ms=4, lw=0.8, color="#3458d6")
        beside = {"xytext": (4, 4), "ha": "left"} if true["value"] < 0.8 else {"xytext": (-4, 4), "ha": "right"}
        axes.annotate(name, (true["value"], world["value"]), textcoords="offset points", fontsize=7, **beside)
    axes.plot([0, 1], [0, 1], color="#8a8a94", linewidth=0.8)
    title = "" if figures["pearson"] is None else f"r = {figures['pearson']['value']:.2f}"
    axes.set(xlabel="success in MuJoCo", ylabel="success in the generated world", title=title)
    axes.set_xlim(-0.05, 1.05)
    axes.set_ylim(-0.05, 1.05)


def _film(clip: Path, target: Path) -> None:
    from safetensors.numpy import load_file

    strips = load_file(clip)
    with VideoWriter(target, RATE) as film:
        for t in range(max(len(strip) for strip in strips.values())):
            film.add(side_by_side({n: strips[n][t] if t < len(strips[n]) else None for n in (TRUE, WORLD)}, strips))


def _parted(figures: dict[str, Any], name: str) -> str:
    frame = figures["parted"][name]["first_frame"]
    return "" if frame is None else f"; the worlds part at frame {frame}"


def _figure(label: str, found: dict[str, Any] | None, target: float | None = None, side: int = 1) -> Figure:
    value, unit, low, high = _parts(found)
    met = None if target is None or value is None else (value - target) * side >= 0
    wanted = "" if target is None else f"{'>=' if side > 0 else '<='} {target:g}"
    return Figure(label, value, unit, low, high, wanted, met)


def _parts(found: dict[str, Any] | None) -> tuple[float | None, str, float | None, float | None]:
    if found is None:
        return None, "", None, None
    low, high = found["ci95"] or (None, None)
    return found["value"], "", low, high


def _rate(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    bounds = found["ci95"]
    return f"{found['value']:.0%}" + (f" [{bounds[0]:.0%}, {bounds[1]:.0%}]" if bounds else "")

"""The page and the table of `zoetrope bench`: every technique and stack with its speed and the quality it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.report import page
from apps.report.figures import columns
from core.files import write_text

HEAD = ("steps", "stack", "denoise", "end to end", "ms a frame", "memory", "quality kept [95 %]", "")
ABOUT = (
    "Speed-ups and memory are those of the stack over the plain world at the same number of denoising steps (few-step stacks: "
    "over the plain world at that number). Quality kept is the share of the rollout score over 16 imagined frames: what frames "
    "are better than the last real one, in PSNR and in perceptual distance, whichever keeps less. 1 is the plain world."
)


def cells(result: dict[str, Any]) -> list[list[str]]:
    """One line a row."""
    return [
        [
            str(row["steps"]),
            " + ".join(row["stack"]),
            f"{row['speedup_denoise']:.2f}x",
            f"{row['speedup_end_to_end']:.2f}x",
            f"{row['frame_ms']:.1f}",
            f"{row['memory_ratio']:.2f}",
            f"{row['quality']:.3f}{_bounds(row['quality_ci95'])}",
            _verdict(row),
        ]
        for row in result["rows"]
    ]


def table(result: dict[str, Any]) -> str:
    """Plain text for the terminal."""
    return "\n".join(
        [columns([HEAD, *cells(result)]), *(f"left out: {name}: {why}" for name, why in result["left_out"].items())]
    )


def write_page(result: dict[str, Any], path: Path) -> None:
    """Write the page to `path`."""
    at_steps = result["baseline"]["at_steps"]
    plain = [
        [steps, f"{p['frame_ms']:.1f}", f"{p['denoise_ms']:.1f}", f"{p['bytes'] / 2**20:.1f}"]
        + [f"{p['psnr_over_repeat_db']:.2f}", f"{p['perceptual_under_repeat']:.3f}"]
        for steps, p in at_steps.items()
    ]
    head = ["steps", "ms a frame", "ms denoise", "MiB", "PSNR over repeat-last, dB", "perceptual under repeat-last"]
    about = f"{result['cases']} rollouts after {result['context']} real frames; {result['threads']} thread(s) a half of a step."
    charts = [page.chart(lambda axes, s=s: _pareto(axes, result["rows"], int(s)), (9.0, 4.2)) for s in at_steps]
    missing = [[name, why] for name, why in result["left_out"].items()]
    write_text(
        path,
        page.page(
            f"{result['world']}: what accelerations are worth here",
            page.paragraph(about),
            page.paragraph(ABOUT, quiet=True),
            page.section("The plain world", page.plain_table(head, plain)),
            page.section("Techniques and stacks", page.plain_table(HEAD, cells(result))),
            page.section("Speed against quality", *charts),
            page.section("Left out", page.plain_table(["stack", "why"], missing)) if missing else "",
            page.origin(result),
        ),
    )


def _pareto(axes: Any, rows: list[dict[str, Any]], steps: int) -> None:
    """Speed against quality; the front is drawn."""
    mine = [row for row in rows if row["steps"] == steps]
    front = sorted((row for row in mine if row["pareto"]), key=lambda row: row["speedup_end_to_end"])
    for row in mine:
        x, y, low_high = row["speedup_end_to_end"], row["quality"], row["quality_ci95"]
        colour = "#3458d6" if row["pareto"] else "#9a9aa6"
        if low_high is not None:
            axes.plot([x, x], low_high, color=colour, alpha=0.35, linewidth=1)
        axes.plot([x], [y], "o", color=colour, markersize=5)
        axes.annotate(" + ".join(row["stack"]), (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7)
    axes.plot([row["speedup_end_to_end"] for row in front], [row["quality"] for row in front], color="#3458d6", linewidth=1)
    axes.axhline(1, color="#9a9aa6", linewidth=0.6)
    axes.axvline(1, color="#9a9aa6", linewidth=0.6)
    title = f"Against {steps} denoising step{'s' if steps > 1 else ''} a frame"
    axes.set(xlabel="speed-up end to end", ylabel="quality kept", title=title)


def _bounds(bounds: list[float] | None) -> str:
    return "" if bounds is None else f" [{bounds[0]:.3f}, {bounds[1]:.3f}]"


def _verdict(row: dict[str, Any]) -> str:
    if not row["pays"]:
        return "does not pay here"
    return "best at its speed" if row["pareto"] else ""

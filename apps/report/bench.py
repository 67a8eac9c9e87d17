"""The page of `zoetrope bench play`: figures against targets, where a frame's time goes, and its cost against its number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.report import page
from apps.report.figures import of_bench
from core.files import write_text


def write_page(result: dict[str, Any], path: Path) -> None:
    """Write the page to `path`."""
    stages = result["stages_ms"]
    rows = [[name, f"{times['p50']:.2f}", f"{times['p95']:.2f}"] for name, times in stages.items()]
    points = result["by_frame_number"]

    def cost(axes: Any) -> None:
        axes.plot([p["frame"] for p in points], [p["ms"] for p in points], color="#3458d6")
        axes.set(xlabel="frame number", ylabel="ms a frame (median)", title="The cost of a frame against its number")
        axes.set_ylim(bottom=0)

    about = f"{result['frames']} frames on {result['threads']} threads of {result['cores']} cores."
    held = ", ".join(f"{value} {name}" for name, value in result["held"].items())
    write_text(
        path,
        page.page(
            f"{Path(str(result['world'])).name}: what a frame costs",
            page.paragraph(about),
            page.section("Figures", page.figure_table(of_bench(result))),
            page.section("Where the time goes", page.plain_table(["stage", "p50 ms", "p95 ms"], rows)),
            page.section("Against frame number", page.chart(cost), page.paragraph(f"Memory held at the end: {held}.")),
            page.origin(result),
        ),
    )

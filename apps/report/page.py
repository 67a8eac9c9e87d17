"""HTML pages in one file: no scripts, no network; curves are inline SVG, videos lie beside the page."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Sequence
from typing import Any

from apps.report.figures import Figure
from core.errors import ZoetropeError

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2rem auto; padding: 0 1rem; color: #1d1d24; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .22rem .8rem .22rem 0; border-bottom: 1px solid #e4e4ea; }
td.yes { color: #14713a; } td.no { color: #b3261e; font-weight: 600; } .quiet { color: #6b6b76; }
svg { max-width: 100%; height: auto; } figure { margin: .6rem 0; } img { width: 100%; image-rendering: pixelated; }
video { max-width: 100%; margin: .3rem 0 1rem; image-rendering: pixelated; }
@media (prefers-color-scheme: dark) { body { background: #16161a; color: #e6e6ea; } td, th { border-color: #33333b; }
  td.yes { color: #6fd08c; } td.no { color: #ff8a80; } svg { background: #fff; border-radius: 6px; } }
"""


def page(title: str, *parts: str) -> str:
    """A whole page."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>{html.escape(title)}</h1>{''.join(parts)}</body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    return f"<h2>{html.escape(title)}</h2>{''.join(parts)}"


def paragraph(text: str, quiet: bool = False) -> str:
    return f"<p{' class=quiet' if quiet else ''}>{html.escape(text)}</p>"


def figure_table(rows: Sequence[Figure]) -> str:
    """Measured beside wanted."""
    cells = ["<table><tr><th>figure</th><th>measured [95 % interval]</th><th>target</th><th>met</th></tr>"]
    for row in rows:
        verdict = {True: "<td class=yes>yes</td>", False: "<td class=no>no</td>", None: "<td></td>"}[row.met]
        cells.append(f"<tr><td>{_text(row.name)}</td><td>{_text(row.shown)}</td><td>{_text(row.target)}</td>{verdict}</tr>")
    return "".join(cells) + "</table>"


def plain_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{_text(cell)}</th>' for cell in head)}</tr>{body}</table>"


def video(source: str, caption: str) -> str:
    return (
        f'<div>{_text(caption)}<br><video src="{html.escape(source)}" controls loop muted autoplay playsinline></video></div>'
    )


def picture(source: str, caption: str) -> str:
    return f'<figure><img src="{html.escape(source)}" alt=""><figcaption class=quiet>{_text(caption)}</figcaption></figure>'


def chart(draw: Callable[[Any], None], size: tuple[float, float] = (9.0, 3.6)) -> str:
    """An inline SVG that `draw` fills, given Matplotlib axes."""
    try:
        import matplotlib
    except ImportError:
        raise ZoetropeError("the page's curves need Matplotlib; run: pip install 'zoetrope[report]'") from None
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context({"svg.hashsalt": "zoetrope", "svg.fonttype": "none", "font.family": "sans-serif"}):
        canvas = Canvas(figsize=size, layout="constrained")
        axes = canvas.subplots()
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        buffer = io.StringIO()
        canvas.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def origin(result: dict[str, Any]) -> str:
    """Where the figures come from, so that they can be had again."""
    return section("Where this comes from", *(paragraph(line, quiet=True) for line in origin_lines(result)))


def origin_lines(result: dict[str, Any]) -> list[str]:
    """The same for the terminal."""
    machine, versions = result.get("machine") or {}, result.get("versions") or {}
    weights = f"; weights {result['weights']}" if result.get("weights") else ""
    return [
        f"Command: {result.get('command')}",
        f"Commit: {result.get('commit')}; seed {result.get('seed', 0)}{weights}",
        f"Machine: {machine.get('cpu')}, {machine.get('cores')} cores, {machine.get('system')}",
        "Versions: " + ", ".join(f"{k} {v}" for k, v in versions.items() if v),
    ]


def _text(value: Any) -> str:
    return html.escape("" if value is None else str(value))

"""A measurement that is one table: in the terminal, as JSON, as a page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.report import page
from apps.report.figures import columns
from core.files import write_text


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What is shown of it."""

    title: str
    about: tuple[str, ...]
    """How it was measured, on how much."""
    head: tuple[str, ...]
    rows: list[list[str]]


def deliver(listing: Listing, result: dict[str, Any], json_path: Path | None, html_path: Path | None) -> None:
    """Print the table and where it comes from; write `result`, which has the provenance, and the page where asked for."""
    print(columns([listing.head, *listing.rows]), *listing.about, *page.origin_lines(result), sep="\n")
    if json_path is not None:
        write_text(json_path, json.dumps(result, indent=1) + "\n")
        print(json_path)
    if html_path is not None:
        parts = [page.paragraph(text) for text in listing.about]
        write_text(
            html_path, page.page(listing.title, *parts, page.plain_table(listing.head, listing.rows), page.origin(result))
        )
        print(html_path)

"""The model card of a world: what it was trained on and for how long, and every figure with the command that made it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import ZoetropeError
from core.files import write_text
from games.registry import Game
from games.worlds import GameConfig

SOURCES = {
    "maze": "ViZDoom (code MIT, ZDoom inside; decorations from Freedoom, BSD-3) on this project's own levels and textures",
    "crafter": "Crafter (MIT, textures included)",
    "minigrid": "MiniGrid (Apache-2.0 by its licence file) on this project's own room layouts",
}
_FIGURES = (
    ("psnr_db", "rollout PSNR, dB"),
    ("psnr_repeat_db", "... repeat last frame"),
    ("psnr_rendering_db", "... memory's rendering alone"),
    ("psnr_no_memory_db", "... no memory"),
    ("psnr_ceiling_db", "... tokenizer's reconstruction"),
    ("psnr_over_repeat_db", "... over repeat last frame"),
    ("ssim", "rollout SSIM"),
    ("perceptual", "rollout perceptual distance (lower is better)"),
    ("psnr_tour_db", "tour PSNR, dB"),
    ("psnr_tour_repeat_db", "... repeat last frame"),
    ("psnr_tour_ceiling_db", "... tokenizer's reconstruction"),
    ("sharpness_ratio", "gradient energy over real frames', rollout"),
    ("sharpness_tour_ratio", "gradient energy over real frames', tour"),
    ("right_place", "share of tour frames in the right place"),
    ("right_place_repeat", "... repeat last frame"),
    ("return_psnr_db", "return to a place, PSNR, dB"),
    ("return_psnr_no_memory_db", "... no memory"),
    ("return_memory_gain_db", "... gain by memory"),
    ("action_following", "actions read by the probe from imagined frames"),
    ("action_following_real", "... from real frames"),
    ("shuffled_action_loss_ratio", "one-step loss with shuffled actions over true ones"),
    ("tokenizer_psnr_db", "tokenizer PSNR, dB"),
    ("idle_psnr_db", "PSNR between frames while idle, dB"),
)
_SPEED = (
    ("fps_p50", "frames per second, p50, end to end"),
    ("frame_ms_p95", "milliseconds a frame, p95"),
    ("latency_ms_p50", "milliseconds from a key to its picture, p50"),
    ("memory_ms_p50", "... memory, p50"),
    ("denoise_ms_p50", "... denoise only, p50"),
    ("decode_ms_p50", "... decode, p50"),
    ("unet_ratio", "times faster than the pixel U-Net yardstick"),
    ("time_growth", "cost of the last frame over frame 200"),
    ("memory_growth", "memory held, likewise"),
    ("start_seconds", "seconds from start to first frame"),
)


def write_card(
    game: Game,
    config: GameConfig,
    summary: Path,
    evaluations: Sequence[Path],
    bench: Path | None,
    device: str,
    notes: Sequence[str],
    path: Path,
) -> None:
    """Write CARD.md from training's summary and the JSON of `zoetrope evaluate` and `zoetrope bench play`.

    `notes` say how these weights came to be other than the recipe says.
    """
    trained = _read(summary)
    record = config.record.train
    episodes = record.levels * len(record.policies)
    lines = [
        f"# World: {config.name}",
        "",
        f"{game.about}. Trained by `zoetrope train {config.name}` from `configs/{config.name}.yaml`; weights Apache-2.0.",
        "",
        "## Data",
        "",
        f"- Source: {SOURCES[config.name]}.",
        f"- {episodes} episodes of at most {record.frames} frames on {record.levels} levels; "
        f"policies {', '.join(record.policies)}.",
        "- Test levels are never trained on: each split draws its levels from a range of its own.",
        "",
        "## Training",
        "",
        f"- Device: {device}. Parameters: {trained['parameters'] / 1e6:.1f} M, stored in half precision.",
        "",
        "| stage | steps | batch | minutes |",
        "|---|---|---|---|",
        *(f"| {n} | {s['steps']} | {s['batch']} | {s['minutes']} |" for n, s in trained.items() if isinstance(s, dict)),
        "",
        *(f"- {note}" for note in notes),
        *([""] if notes else []),
    ]
    for evaluation in evaluations:
        figures = _read(evaluation)
        asked = ", ".join(f"{n} {name}s" for name, n in figures["episodes_by_protocol"].items() if n)
        lines += _section(f"Quality on held-out levels: {asked}", figures, _FIGURES)
    if bench is not None:
        lines += _section("Speed", _read(bench), _SPEED)
    write_text(path, "\n".join(lines))


def _section(title: str, figures: dict[str, Any], wanted: tuple[tuple[str, str], ...]) -> list[str]:
    """A table of figures with their 95 % intervals and where they come from."""
    bounds = figures.get("intervals") or {}
    machine = figures.get("machine") or {}
    about = [
        f"`{figures.get('command')}`",
        f"{machine.get('cpu')}, {machine.get('cores')} cores",
        f"commit {figures.get('commit')}",
    ]
    about += [f"seed {figures['seed']}"] if "seed" in figures else []
    horizons = sorted({int(h) for k, _ in wanted for h in (figures.get(k) if isinstance(figures.get(k), dict) else {}) or {}})
    out = [f"## {title}", "", "; ".join(about) + ".", ""]
    if horizons:
        out += ["| by frames imagined | " + " | ".join(map(str, horizons)) + " |", "|---" * (len(horizons) + 1) + "|"]
        for key, label in wanted:
            value = figures.get(key)
            if isinstance(value, dict):
                cells = [_cell(value.get(str(h)), (bounds.get(key) or {}).get(str(h))) for h in horizons]
                out.append(f"| {label} | " + " | ".join(cells) + " |")
        out.append("")
    out += ["| figure | value |", "|---|---|"]
    out += [
        f"| {label} | {_cell(figures[key], bounds.get(key))} |"
        for key, label in wanted
        if figures.get(key) is not None and not isinstance(figures[key], dict)
    ]
    return [*out, ""]


def _cell(value: float | None, bounds: Any) -> str:
    if value is None:
        return "-"
    interval = f" ({bounds[0]:.2f} to {bounds[1]:.2f})" if isinstance(bounds, (list, tuple)) and len(bounds) == 2 else ""
    return f"{value:.2f}{interval}"


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ZoetropeError(f"{path}: not readable as JSON ({error})") from None

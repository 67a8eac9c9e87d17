"""The page of `zoetrope evaluate`: figures against targets, curves with intervals, videos of dream and engine side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from apps.report import page
from apps.report.figures import of_evaluation
from core.episodes.video import GifWriter, VideoWriter
from core.errors import ZoetropeError
from core.files import write_text

SCALE, BAR, GAP = 2, 18, 4
"""How much frames are enlarged, height of the label above them and space between them, in pixels."""
_COLOURS = {"dream": "#3458d6", "repeat": "#8a8a94", "memory alone": "#2c9a5b", "no memory": "#d07a1f", "ceiling": "#1d1d24"}


def write_page(result: dict[str, Any], clips: Path, path: Path) -> None:
    """Write the page to `path`, and the videos of the clips in folder `clips` beside it, into `<name>_files`."""
    about = f"{result['episodes']} rollouts on levels never seen in training; intervals are 95 %, whole levels resampled."
    parts = [page.paragraph(about), page.section("Figures", page.figure_table(of_evaluation(result)))]
    parts.append(page.section("Frame by frame", *_charts(result)))
    parts.append(page.section("By horizon", _horizons(result)))
    videos = write_videos(clips, path.with_name(f"{path.stem}_files"))
    shown = [page.video(f"{video.parent.name}/{video.name}", _caption(video.stem)) for video in videos]
    parts.append(page.section("Side by side", *shown) if shown else "")
    parts.append(page.origin(result))
    write_text(path, page.page(f"{Path(str(result['world'])).name}: the dream against the engine", *parts))


def write_videos(clips: Path, folder: Path, rate: float = 25) -> list[Path]:
    """One MP4 for each clip: its strips side by side, each under its name. Those already there are kept."""
    from safetensors.numpy import load_file

    written = []
    for clip in sorted(clips.glob("*.safetensors")):
        target = folder / f"{clip.stem}.mp4"
        if not target.exists() or target.stat().st_mtime < clip.stat().st_mtime:
            strips = load_file(clip)
            order = [name for name in ("real", "dream", "no memory", "memory alone") if name in strips]
            with VideoWriter(target, rate) as video:
                for t in range(max(len(strips[name]) for name in order)):
                    video.add(
                        side_by_side({name: strips[name][t] if t < len(strips[name]) else None for name in order}, strips)
                    )
        written.append(target)
    return written


def write_gif(clips: Path, path: Path, rate: float = 12.5) -> None:
    """The first tour's real frames and its dream, side by side, as a GIF at half the speed of play."""
    from safetensors.numpy import load_file

    tours = sorted(clips.glob("tour-*.safetensors"))
    if not tours:
        raise ZoetropeError(f"{clips}: no tour here to draw; evaluate the protocol 'tour' first")
    strips = load_file(tours[0])
    with GifWriter(path, rate) as gif:
        for real, dream in zip(strips["real"], strips["dream"]):
            gif.add(side_by_side({"real": real, "dream": dream}, strips))


def side_by_side(frames: dict[str, np.ndarray | None], like: dict[str, np.ndarray]) -> np.ndarray:
    """Frames (V, H, W, 3) by name -> one labelled picture uint8; a strip that has ended is dark."""
    import cv2

    columns = []
    for name, frame in frames.items():
        cameras = np.zeros_like(like[name][0]) if frame is None else frame
        picture = np.concatenate(list(cameras), 1)
        picture = cv2.resize(picture, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_NEAREST)
        bar = np.full((BAR, picture.shape[1], 3), 24, np.uint8)
        cv2.putText(bar, name, (4, BAR - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (230, 230, 230), 1, cv2.LINE_AA)
        columns += [np.concatenate([bar, picture]), np.full((BAR + picture.shape[0], GAP, 3), 24, np.uint8)]
    return np.concatenate(columns[:-1], 1)


def _charts(result: dict[str, Any]) -> list[str]:
    titles = {"rollout": "Imagining what follows 32 real frames", "tour": "Imagining the second lap of a tour"}
    ceilings = {"rollout": "psnr_ceiling_db", "tour": "psnr_tour_ceiling_db"}
    drawn = []
    for name, title in titles.items():
        curves = result.get("curves", {}).get(name)
        if curves:
            ceiling = result.get(ceilings[name]) or {}
            drawn.append(page.chart(lambda axes, c=curves, k=ceiling, t=title: _draw(axes, c, k, t)))
    minutes = [seed["minutes"] for seed in result.get("stability") or []]
    if minutes:
        drawn.append(page.chart(lambda axes: _draw_minutes(axes, minutes), size=(9.0, 2.6)))
    return drawn


def _draw(axes: Any, curves: dict[str, Any], ceiling: dict[str, float], title: str) -> None:
    for label, curve in curves.items():
        value, low, high = (np.array(curve[k], float) for k in ("value", "low", "high"))
        frames = np.arange(1, len(value) + 1)
        axes.plot(frames, value, label=label, color=_COLOURS[label], linewidth=1.6)
        axes.fill_between(frames, low, high, color=_COLOURS[label], alpha=0.15, linewidth=0)
    if ceiling:
        axes.plot(
            [int(h) for h in ceiling], list(ceiling.values()), "o--", ms=3, lw=1, color=_COLOURS["ceiling"], label="tokenizer"
        )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda frame, _: f"{frame:g}")
    axes.set(xlabel="imagined frame", ylabel="PSNR, dB", title=title)
    axes.legend(frameon=False, ncols=3, fontsize=8)


def _draw_minutes(axes: Any, minutes: list[list[dict[str, Any]]]) -> None:
    for key, colour in (("motion_ratio", "#3458d6"), ("sharpness_ratio", "#d07a1f"), ("histogram_overlap", "#2c9a5b")):
        for number, seed in enumerate(minutes):
            values = [np.nan if minute[key] is None else minute[key] for minute in seed]
            axes.plot(
                np.arange(1, len(values) + 1),
                values,
                "o-",
                ms=3,
                color=colour,
                label=key.replace("_", " ") if not number else None,
            )
    axes.axhline(1.0, color="#8a8a94", linewidth=0.8)
    axes.set(xlabel="stretch of play", ylabel="of the real engine's", title="Ten minutes on its own")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, ncols=3, fontsize=8)


def _horizons(result: dict[str, Any]) -> str:
    """Every figure that is known by horizon, as one table."""
    found = {k: v for k, v in result.items() if isinstance(v, dict) and v and all(h.isdigit() for h in v)}
    horizons = sorted({int(h) for v in found.values() for h in v})
    rows = [[name.replace("_", " "), *(_cell(values.get(str(h))) for h in horizons)] for name, values in found.items()]
    return page.plain_table(["", *(f"frame {h}" for h in horizons)], rows)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{v:.1f} {k}" for k, v in value.items())
    return "" if value is None else f"{value:.3f}" if abs(value) < 2 else f"{value:.2f}"


def _caption(stem: str) -> str:
    protocol, _, number = stem.partition("-")
    return f"{protocol}, test episode {int(number)}" if number.isdigit() else stem

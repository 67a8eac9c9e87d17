"""The figures of a world beside what they are meant to be: rows for the page and for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    name: str
    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    target: str = ""
    met: bool | None = None
    """None where there is no target or no value."""

    @property
    def shown(self) -> str:
        if self.value is None:
            return "not measured"
        digits = 1 if self.unit in ("ms", "frames/s") else 2
        text = f"{self.value:.{digits}f}{' ' + self.unit if self.unit else ''}"
        return text if self.low is None else f"{text}  [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def of_evaluation(result: Result) -> list[Figure]:
    """What `zoetrope evaluate` found; targets are those of the default 3D world."""
    strict = str(result.get("world", "")).rstrip("/").endswith("maze")
    rows: list[Figure] = []

    def add(
        label: str, key: str, unit: str = "", horizon: int | None = None, least: float | None = None, most: float | None = None
    ):
        value, bounds = result.get(key), result.get("intervals", {}).get(key)
        if horizon is not None:
            value = (value or {}).get(str(horizon))
            bounds = (bounds or {}).get(str(horizon))
        low, high = bounds or (None, None)
        rows.append(_figure(label, value, unit, low, high, least if strict else None, most if strict else None))

    for horizon in result.get("settings", {}).get("protocol", {}).get("horizons", (1, 4, 16, 64, 256)):
        at = f"at frame {horizon}"
        add(f"PSNR of the rollout, {at}", "psnr_db", "dB", horizon)
        add(f"PSNR over repeat-last, {at}", "psnr_over_repeat_db", "dB", horizon, {4: 4.0, 16: 3.0}.get(horizon))
        add(f"SSIM, {at}", "ssim", "", horizon)
        add(f"perceptual distance, {at}", "perceptual", "", horizon)
        if horizon in (16, 64):
            add(f"sharpness over real, {at}", "sharpness_ratio", "", horizon, 0.7, 1.3)
    for horizon in (16, 64):
        at = f"at frame {horizon} of a tour"
        strictly = horizon == 64
        add(f"PSNR, {at}", "psnr_tour_db", "dB", horizon)
        add(f"PSNR over repeat-last, {at}", "psnr_tour_over_repeat_db", "dB", horizon, 4.0 if strictly else None)
        add(f"PSNR under the tokenizer, {at}", "psnr_tour_under_ceiling_db", "dB", horizon, None, 4.0 if strictly else None)
        add(f"right place, {at}", "right_place", "", horizon, 0.8 if strictly else None)
        add(f"right place of real frames, {at}", "right_place_real", "", horizon)
    add("return to a place, PSNR", "return_psnr_db", "dB")
    add("return to a place, without memory", "return_psnr_no_memory_db", "dB")
    add("return to a place, gained by memory", "return_memory_gain_db", "dB", None, 3.0)
    add("actions read, of those read on real frames", "action_following_ratio", "", None, 0.95)
    add("loss with shuffled actions over plain", "shuffled_action_loss_ratio")
    add("tokenizer PSNR", "tokenizer_psnr_db", "dB", None, 32.0)
    add("PSNR between idle frames", "idle_psnr_db", "dB")
    stable = result.get("stable")
    rows.append(
        Figure("ten minutes without freeze or collapse", None if stable is None else float(stable), "", None, None, "1", stable)
    )
    return rows


def of_bench(result: Result) -> list[Figure]:
    """What `zoetrope bench play` found."""
    get = result.get
    return [
        _figure("frames a second, p50", get("fps_p50"), "frames/s", least=25.0),
        _figure("frame, p50", get("frame_ms_p50"), "ms"),
        _figure("frame, p95", get("frame_ms_p95"), "ms", most=60.0),
        _figure("from a key to its picture, p50", get("latency_ms_p50"), "ms"),
        _figure("memory, p50", get("memory_ms_p50"), "ms"),
        _figure("denoise, p50", get("denoise_ms_p50"), "ms"),
        _figure("decode, p50", get("decode_ms_p50"), "ms", most=15.0),
        _figure("pixel U-Net yardstick, a frame", get("unet_frame_ms_p50"), "ms"),
        _figure("yardstick over ours", get("unet_ratio"), "x", least=10.0),
        _figure(f"time, frame {get('frames')} over frame 200", get("time_growth"), "", most=1.05),
        _figure(f"memory, frame {get('frames')} over frame 200", get("memory_growth"), "", most=1.0),
        _figure("first frame after start", get("start_seconds"), "s", most=5.0),
    ]


def table(rows: list[Figure]) -> str:
    """Plain text for the terminal."""
    verdict = {True: "yes", False: "NO", None: ""}
    lines = [("figure", "measured [95 %]", "target", "met")]
    return columns([*lines, *((row.name, row.shown, row.target, verdict[row.met]) for row in rows)])


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Lines of equally many parts, each column as wide as it must be."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(part.ljust(width) for part, width in zip(line, widths)).rstrip() for line in lines)


def _figure(
    name: str,
    value: float | None,
    unit: str,
    low: float | None = None,
    high: float | None = None,
    least: float | None = None,
    most: float | None = None,
) -> Figure:
    wanted = [f"{sign} {bound:g}" for sign, bound in ((">=", least), ("<=", most)) if bound is not None]
    met = None
    if value is not None and wanted:
        met = (least is None or value >= least) and (most is None or value <= most)
    return Figure(name, value, unit, low, high, " and ".join(wanted), met)

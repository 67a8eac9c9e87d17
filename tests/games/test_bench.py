"""The bench on a session whose cost is known."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from core.errors import ZoetropeError
from games import bench
from tests.games import strip


class SlowingSession(strip.StripSession):
    """Takes 1 ms a frame, and 1 ms more late on; and holds more."""

    late = 10_000

    @property
    def held(self) -> dict[str, int]:
        return {"tokens": 1, "keyframes": 1, "bytes": 1000 if self.number < self.late else 3000}

    @held.setter
    def held(self, value: dict[str, int]) -> None:
        pass

    def step(self, action: np.ndarray):
        time.sleep(1e-3 if self.number < self.late else 2e-3)
        return super().step(action)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    episode = strip.episode(7, "explore", 64)

    def open_session(weights: Path):
        return SlowingSession([episode.window(0, 16)], single=True), lambda number: episode.action[number % 64]

    monkeypatch.setattr(bench, "open_session", open_session)
    monkeypatch.setattr(bench, "measure_start", lambda weights: 1.5)
    monkeypatch.setattr(bench, "yardstick_step", lambda: lambda: time.sleep(0.02))


@pytest.mark.parametrize(("late", "growth"), [(10_000, 1.0), (400, 2.0)])
def test_bench(fast: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, late: int, growth: float) -> None:
    monkeypatch.setattr(SlowingSession, "late", late)
    result = bench.bench_play("strip", weights=Path(), quick=True, json_path=tmp_path / "b.json", progress=False)
    assert json.loads((tmp_path / "b.json").read_text()) == result
    assert result["frames"] == 600 and result["start_seconds"] == 1.5
    assert result["time_growth"] == pytest.approx(growth, rel=0.25)
    assert result["memory_growth"] == (1.0 if late == 10_000 else 3.0)
    assert 1 < result["frame_ms_p95"] < 50 and result["fps_p50"] < 1000
    assert result["unet_ratio"] > 2 and result["denoise_ms_p50"] == 0.2 and result["decode_ms_p50"] == 0.1


def test_too_few_frames(fast: None) -> None:
    with pytest.raises(ZoetropeError, match="--frames"):
        bench.bench_play("strip", weights=Path(), frames=100)


def test_page(fast: None, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from apps.report import figures
    from apps.report.bench import write_page

    result = bench.bench_play("strip", weights=Path(), quick=True, progress=False)
    write_page(result, tmp_path / "bench.html")
    assert "<svg" in (tmp_path / "bench.html").read_text()
    assert "first frame after start" in figures.table(figures.of_bench(result))

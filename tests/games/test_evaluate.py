"""A whole evaluation of a world whose figures are known in direction: keys, values, resuming, complaints, the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import ZoetropeError
from games import evaluate as module
from tests.games import strip

REQUIRED = {
    *("psnr_db", "psnr_repeat_db", "psnr_ceiling_db", "psnr_tour_db", "psnr_tour_repeat_db", "tokenizer_psnr_db"),
    *("action_following", "action_following_real", "sharpness_ratio", "right_place", "camera_error"),
    *("return_psnr_db", "return_psnr_no_memory_db", "episodes", "seed", "commit"),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny work on many threads is slower than on one, much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strip")
    strip.record(folder)
    return folder


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> strip.StripWorld:
    world = strip.StripWorld()
    monkeypatch.setattr(module, "load_world", lambda folder: world)
    return world


def run(data: Path, out: Path, **options) -> dict:
    options = {"episodes": 3, "quick": True, "processes": 1, "progress": False, "batch": 2} | options
    return module.evaluate("strip", data=data, weights=Path("weights"), out=out, **options)


def test_figures_of_a_world_with_memory(data: Path, world: strip.StripWorld, tmp_path: Path) -> None:
    result = run(data, tmp_path / "out", json_path=tmp_path / "figures.json")
    assert json.loads((tmp_path / "figures.json").read_text()) == result
    assert set(result) >= REQUIRED
    assert result["episodes"] == 3 and result["episodes_by_protocol"]["return"] == 3
    # a lap that was seen once is known by heart: exact, sharp, the right place, where it should be
    assert min(result["psnr_tour_db"].values()) > 50 and result["right_place"]["64"] == 1.0
    assert result["right_place_real"]["64"] == 1.0
    assert result["psnr_tour_db"]["16"] > result["psnr_tour_repeat_db"]["16"] + 10
    assert result["sharpness_tour_ratio"]["16"] == pytest.approx(1.0)
    assert result["camera_error"]["16"]["distance"] == 0.0
    # memory brings the home view back; without it there is only the last frame
    assert result["return_away_frames"] >= 150
    assert result["return_psnr_db"] > result["return_psnr_no_memory_db"] + 10
    assert result["return_memory_gain_db"] == pytest.approx(result["return_psnr_db"] - result["return_psnr_no_memory_db"])
    assert result["action_following_real"] > 0.6 and 0.7 < result["action_following_ratio"] < 1.2
    assert result["shuffled_action_loss_ratio"] == 2.0
    assert result["tokenizer_psnr_db"] == pytest.approx(48.1, abs=0.3)
    assert result["idle_psnr_db"] > 50 and result["stability"][0]["frames"] == 600
    low, high = result["intervals"]["psnr_db"]["16"]
    assert low <= result["psnr_db"]["16"] <= high


def test_a_second_run_only_reads_the_ledger(data: Path, world: strip.StripWorld, tmp_path: Path) -> None:
    first = run(data, tmp_path)
    opened = world.opened
    ledger = next(tmp_path.glob("*.jsonl"))
    again = run(data, tmp_path)
    assert world.opened == opened
    different = {k for k in first if first[k] != again[k]} - {"seconds"}
    assert not different
    # cut off while writing: the last line is half, that episode is asked again, nothing else is
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    third = run(data, tmp_path)
    assert world.opened == opened + 1
    assert not {k for k in first if first[k] != third[k]} - {"seconds"}


def test_another_seed_is_another_ledger(data: Path, world: strip.StripWorld, tmp_path: Path) -> None:
    run(data, tmp_path, episodes=1)
    run(data, tmp_path, episodes=1, seed=1)
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_processes_agree_with_one(data: Path, world: strip.StripWorld, tmp_path: Path) -> None:
    one = run(data, tmp_path / "a", batch=1)
    batched = run(data, tmp_path / "b", batch=3)
    for key in ("psnr_db", "action_following", "return_psnr_db"):
        assert one[key] == batched[key]


def test_without_test_recordings(world: strip.StripWorld, tmp_path: Path) -> None:
    with pytest.raises(ZoetropeError, match="zoetrope record"):
        run(tmp_path / "nothing", tmp_path)


def test_page(data: Path, world: strip.StripWorld, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("av")
    from apps.report import figures
    from apps.report.evaluation import write_page

    result = run(data, tmp_path / "out")
    write_page(result, tmp_path / "out" / "clips", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "<svg" in text and "tour-" in text
    assert len(list((tmp_path / "page_files").glob("*.mp4"))) == 3
    assert "return to a place" in figures.table(figures.of_evaluation(result))


def test_nothing_measured_is_null() -> None:
    figures, bounds = module.summarize({name: [] for name in module.PROTOCOLS}, (1, 4), 0)
    assert figures["psnr_db"] is None and figures["action_following"] is None and figures["return_psnr_db"] is None
    assert figures["episodes"] == 0 and bounds["psnr_db"] is None
    assert module._finite({"a": [np.nan, 1.0]}) == {"a": [None, 1.0]}

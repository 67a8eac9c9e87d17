"""`zoetrope bench` on a tiny world: the table, the page, the JSON, presets checked and tuned."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from apps.cli import main
from core.acceleration import catalog
from core.episodes.store import EpisodeStore
from core.evaluation import accelerated
from core.evaluation.accelerated import Row, mark_best
from core.evaluation.rollouts import Cases, quality_kept
from tests.core.worlds import episode, world, world_config

RUN = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> RUN:
    """Runs `zoetrope bench` on the tiny world, with two techniques."""
    world().model.save(tmp_path / "tiny")
    for seed in range(3):
        EpisodeStore(tmp_path / "test").write(seed, episode(world_config(), 24, seed))
    monkeypatch.setattr(accelerated, "QUICK", replace(accelerated.QUICK, cases=3, context=3, rounds=2, turn=4))
    monkeypatch.setattr(accelerated, "WARM_UP", 3)
    scores = accelerated.rollout_scores  # of random weights, which are no better than a still
    monkeypatch.setattr(accelerated, "rollout_scores", lambda *of: np.abs(scores(*of)))
    monkeypatch.setattr(catalog, "PRESETS", tmp_path / "presets")
    kept = {name: catalog.TECHNIQUES[name] for name in ("merging", "temporal_pairs")}
    monkeypatch.setattr(accelerated, "TECHNIQUES", kept)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str]:
        code = main(["bench", "tiny", "--data", "test", "--quick", *arguments])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return call


def test_bench_writes_table_page_and_json(run: RUN, tmp_path: Path) -> None:
    code, said = run("--json", "b.json", "--html", "b.html")
    assert code == 0 and "merging" in said and "quality kept" in said
    result = json.loads((tmp_path / "b.json").read_text())
    assert set(result) >= {"machine", "baseline", "rows"} and result["baseline"]["steps"] == 1
    for row in result["rows"]:
        assert set(row) >= {"stack", "speedup_denoise", "speedup_end_to_end", "memory_ratio", "quality", "quality_ci95"}
        assert row["speedup_end_to_end"] > 0 and row["memory_ratio"] == pytest.approx(1, abs=0.01)
    assert "<svg" in (tmp_path / "b.html").read_text()


def test_a_world_that_is_no_better_than_a_still(run: RUN, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerated, "rollout_scores", lambda *_: np.array([[-1.0, 0.1]]))
    code, said = run("--accelerate", "merging")
    assert code == 2 and "no quality to keep" in said


def test_one_stack_alone_and_what_cannot_run(run: RUN) -> None:
    code, said = run("--accelerate", "merging,temporal_pairs")
    assert code == 0 and "merging + temporal_pairs" in said
    code, said = run("--accelerate", "speed")
    assert code == 2 and "unknown acceleration 'speed'" in said and said.count("\n") == 1


def test_check_fails_where_a_preset_keeps_less_than_it_states(run: RUN, tmp_path: Path) -> None:
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "same.yaml").write_text("accelerations: [{name: merging, ratio: 0.0}]\nquality: 0.99\n")
    code, said = run("--check")
    assert code == 0 and "same: keeps 1.000" in said
    (folder / "more.yaml").write_text("accelerations: [merging]\nquality: 50.0\n")
    code, said = run("--check")
    assert code == 1 and "NO" in said


def test_tuning_writes_a_preset_that_is_read_back(run: RUN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerated, "PAYS", 0.0)
    code, said = run("--tune", "0.0001", "--out", "t.yaml")
    assert code == 0 and ("no preset written" in said or catalog.resolve(["t.yaml"], world()))


def test_quality_is_what_the_weaker_measure_keeps() -> None:
    plain = np.tile([[4.0, 0.2]], (6, 1))
    assert quality_kept(plain, plain, range(6)).value == pytest.approx(1)
    blurred = plain * [1.1, 0.5]
    assert quality_kept(blurred, plain, range(6)).value == pytest.approx(0.5)


def test_windows_are_spread_over_recordings() -> None:
    cases = Cases.cut([episode(world_config(), 40, seed) for seed in range(2)], 4, 4)
    assert cases.groups == (0, 1, 0, 1) and all(len(e) == 20 for e in cases.episodes)
    assert not np.array_equal(cases.episodes[0].frames, cases.episodes[2].frames)


def test_the_front_is_of_rows_with_the_same_steps() -> None:
    rows = [
        Row((), steps, speedup_end_to_end=speed, quality=quality)
        for steps, speed, quality in ((1, 2.0, 0.9), (1, 1.5, 0.8), (1, 1.2, 0.99), (4, 1.1, 0.5), (4, 0.9, 1.0))
    ]
    mark_best(rows)
    assert [row.best for row in rows] == [True, False, True, True, False]

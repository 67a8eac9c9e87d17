"""`zoetrope bench attention`, `parallel` and `positions`: the table, the JSON, the page, and what they complain of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.bench import attention, positions
from apps.cli import main
from core.acceleration import parallel_bench
from core.acceleration.attention_bench import MIXERS
from core.acceleration.parallel import StepsInPipeline, Ulysses
from core.episodes.store import EpisodeStore
from core.evaluation.extrapolation import MULTIPLES
from tests.core.worlds import episode, world, world_config

RUN = Callable[..., tuple[int, str, str]]
WINDOW, CONTEXT = 1, 4


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> RUN:
    """Runs `zoetrope bench` where a tiny world is in `tiny` and its recordings are in `test`."""
    world().model.save(tmp_path / "tiny")
    for seed in range(2):
        EpisodeStore(tmp_path / "test").write(seed, episode(world_config(), 20, seed))
    monkeypatch.setattr(positions, "CONTEXT", CONTEXT)
    monkeypatch.setattr(positions, "QUICK_CASES", 2)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["bench", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_attention(run: RUN, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(attention, "QUICK_REPEATS", 1)
    code, out, err = run("attention", "--quick", "--tokens", "2048", "--json", "a.json", "--html", "a.html", "--device", "cpu")
    assert code == 0 and "speed-up" in out and "2048 keys" in out and "window" in err
    result = json.loads((tmp_path / "a.json").read_text())
    assert result["seed"] == 0 and result["machine"] and len(result["rows"]) == len(MIXERS)
    assert all(row["tokens"] == 2048 and row["ms"] > 0 and row["error"] >= 0 for row in result["rows"])
    assert "window" in (tmp_path / "a.html").read_text()


def test_parallel(run: RUN, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(parallel_bench, "techniques", lambda: [Ulysses(), StepsInPipeline()])
    code, out, _ = run("parallel", "tiny", "--data", "test", "--quick", "--steps", "1", "--json", "p.json")
    assert code == 0 and "ulysses" in out and "KiB" in out
    exact, refused = json.loads((tmp_path / "p.json").read_text())["rows"]
    assert exact["difference"] < 1e-3 and exact["bytes"] > 0 and exact["milliseconds"] > 0 and exact["processes"] == 2
    assert "camera" in refused["note"] and refused["milliseconds"] is None


def test_positions(run: RUN, tmp_path: Path) -> None:
    asked = ("positions", "tiny", "--data", "test", "--quick", "--window", str(WINDOW), "--seed", "3")
    code, out, err = run(*asked, "--json", "b.json", "--html", "b.html")
    assert code == 0 and "2 rollouts from 2 recording(s)" in out and "seed 3" in out and "plain" in err
    result = json.loads((tmp_path / "b.json").read_text())
    assert [len(row["stack"]) for row in result["rows"]] == [0, 1, 2, 2, 2, 4]
    assert set(result["rows"][0]["horizons"]) == {str(WINDOW * multiple) for multiple in MULTIPLES}
    assert "holds" in (tmp_path / "b.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("attention", "maze"), "takes no world"),
        (("attention", "--tokens", "0"), "--tokens must be at least 1"),
        (("parallel", "tiny", "--data", "test", "--processes", "1"), "at least 2 processes"),
        (("parallel", "tiny", "--steps", "0"), "--steps must be at least 1"),
        (("positions", "tiny", "--window", "2"), "comes without starts"),
        (("positions", "tiny", "--data", "test"), "--window"),
        (("positions", "tiny", "--data", "test", "--window", "3"), "at least 28 frames, the longest has 20"),
        (("speed", "maze"), "expected one of accelerations, play, attention, parallel, positions"),
    ],
)
def test_complaints_are_one_line(run: RUN, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = run(*arguments)
    assert code == 2 and said in err and err.count("\n") == 1

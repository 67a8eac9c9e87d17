"""`zoetrope robot`: one line a complaint, figures and a page from a tiny world."""

from __future__ import annotations

import json

import pytest

from apps import cli
from robotics.scene.challenges import Push
from tests.robotics import tiny

pytest.importorskip("mujoco")


def complaint(capsys, *arguments: str) -> str:
    code = cli.main(["robot", "evaluate", *arguments])
    lines = [line for line in capsys.readouterr().err.splitlines() if line and "episode" not in line]
    assert code == 2 and len(lines) == 1 and lines[0].startswith("zoetrope: "), lines
    return lines[0]


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(Push, "horizon", 12)
    monkeypatch.chdir(tmp_path)
    tiny.world().model.save(tmp_path / "world")
    return "world"


def test_complaints_are_one_line(capsys, world, tmp_path):
    assert "name at least one policy" in complaint(capsys)
    assert "train one with: zoetrope train push" in complaint(capsys, "--policy", "expert", "--world", "nowhere")
    assert "imagines the task 'push', not 'pick'" in complaint(capsys, "--policy", "expert", "--task", "pick", "--world", world)
    assert "unknown policy 'clever'" in complaint(capsys, "--policy", "clever", "--world", world)
    (tmp_path / "mine.py").write_text("def nan(task):\n    return lambda seen: [float('nan')] * 2\n")
    pytest.MonkeyPatch().syspath_prepend(tmp_path)
    said = complaint(capsys, "--policy", "mine:nan", "--world", world, "--episodes", "1")
    assert "policy 'mine:nan': action: expected finite numbers" in said


def test_figures_and_a_page(capsys, world, tmp_path):
    pytest.importorskip("matplotlib")
    policies = [part for name in ("expert", "random", "delay:3") for part in ("--policy", name)]
    files = ["--json", "a.json", "--html", "a.html"]
    code = cli.main(["robot", "evaluate", "--world", world, *policies, "--episodes", "2", "--batch", "2", "--replay", *files])
    said = capsys.readouterr().out
    assert code == 0 and "expert" in said and "independent training runs" in said
    figures = json.loads((tmp_path / "a.json").read_text())
    wanted = {"pearson", "spearman", "mmrv", "noise_floor", "bias", "per_policy", "policies", "episodes", "judge"}
    assert wanted | {"independent_training_runs", "rollouts_saved"} <= set(figures)
    shown = (tmp_path / "a.html").read_text()
    assert "<svg" in shown and "a_files/delay_3.mp4" in shown
    assert len(list((tmp_path / "a_files").glob("*.mp4"))) == 3


def test_robot_worlds_are_listed(capsys):
    cli.main(["worlds"])
    assert "push" in capsys.readouterr().out

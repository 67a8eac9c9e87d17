"""`zoetrope robot generate`: one line a complaint; a dataset, figures and a page from a tiny world and two demonstrations."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from apps import cli
from core.episodes.store import EpisodeStore
from core.training.trainer import TrainConfig
from robotics import policies
from robotics.engine import readers
from robotics.lerobot.read import Dataset
from robotics.record import SUCCESS, record_episode
from robotics.scene.challenges import Push
from tests.robotics import tiny

pytest.importorskip("mujoco")
pytest.importorskip("pyarrow")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a tiny world and two demonstrations; readers learn for a moment."""
    monkeypatch.setattr(Push, "horizon", 14)
    monkeypatch.setattr(readers, "TRAIN", TrainConfig(steps=3, batch=32))
    monkeypatch.chdir(tmp_path)
    tiny.world().model.save(tmp_path / "world")
    task = tiny.config().record.make_task()
    expert = policies.make("expert", task)
    for index in range(2):
        episode = record_episode(task, expert, index, policy_seed=index)
        told = replace(episode, metadata=episode.metadata | {SUCCESS: "true"})
        EpisodeStore(tmp_path / "few").write(index, told)
    return tmp_path


def generate(*arguments: str) -> int:
    return cli.main(["robot", "generate", *arguments])


def test_complaints_are_one_line(capsys, place):
    def complaint(*arguments: str) -> str:
        code = generate(*arguments)
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("zoetrope: ")]
        assert code == 2 and len(lines) == 1, lines
        return lines[0]

    assert "neither recorded episodes nor a LeRobot dataset" in complaint("--data", "nowhere", "--way", "relook")
    assert "no robot world here" in complaint("--data", "few", "--world", "nowhere")
    assert "unknown 'dream'" in complaint("--data", "few", "--way", "dream")
    assert "distractors: expected 0 to 6, found 9" in complaint("--data", "few", "--distractors", "9")
    assert "no successful episode of policy 'random'" in complaint("--data", "few", "--way", "relook", "--by", "random")


def test_other_looks_need_no_world(capsys, place):
    assert generate("--data", "few", "--way", "relook", "--attempts", "4", "--json", "a.json", "--html", "a.html") == 0
    assert "4 episodes in" in capsys.readouterr().out
    dataset = Dataset(place / "runs" / "push" / "generated" / "dataset")
    assert len(dataset) == 4 and dataset.read(3).source == "simulated"
    figures = json.loads((place / "a.json").read_text())
    assert figures["ways"]["relook"]["kept"] == 4 and figures["world"] is None
    shown = (place / "a.html").read_text()
    assert "relook-00003, kept" in shown and len(list((place / "a_files").glob("*.png"))) == 4


def test_what_is_imagined_is_judged_and_shown(capsys, place):
    arguments = ("--data", "few", "--world", "world", "--attempts", "2", "--include", "--html", "a.html", "--out", "made")
    assert generate(*arguments) == 0
    said = capsys.readouterr().out
    assert "the goal was not reached" in said and "4 episodes in" in said, "two in other looks, two demonstrations"
    shown = (place / "a.html").read_text()
    assert "rejected: the goal was not reached" in shown and "scene-00001" in shown
    before = (place / "made" / "dataset" / "meta" / "info.json").read_bytes()
    assert generate(*arguments) == 0, "what is there is not made again"
    assert (place / "made" / "dataset" / "meta" / "info.json").read_bytes() == before

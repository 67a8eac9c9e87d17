"""`zoetrope robot plan` and `zoetrope evaluate robotics`: figures, a page, resumption, and complaints in one line."""

from __future__ import annotations

import json

import pytest
import yaml

from apps import cli, commands
from core.config import to_dict
from core.episodes.store import EpisodeStore
from core.training.trainer import TrainConfig
from robotics import policies, tasks, worlds
from robotics.latent.evaluate import ProtocolConfig
from robotics.latent.inverse import InverseConfig, InverseDynamics
from robotics.latent.model import LeWorldModel, ModelConfig
from robotics.latent.planners import CEMConfig, ICEMConfig, PlannerConfig
from robotics.latent.shipped import Latent
from robotics.latent.train import RECIPE, LatentConfig
from robotics.record import record_episode, reset_seed

pytest.importorskip("mujoco")

MODEL = ModelConfig(cameras=2, action=2, stride=5, history=2, embedding=8, channels=(8, 8), hidden=8, predictor=8, layers=1,
                    heads=1, directions=4, read=11)  # fmt: skip
FEW = CEMConfig(horizon=2, samples=4, elites=2, iterations=1)
FEWER = ICEMConfig(horizon=2, samples=4, elites=2, iterations=1)
BRIEF = TrainConfig(steps=2, batch=4, warmup=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Random weights, and recordings of the expert at the size that they read."""
    base = tmp_path_factory.mktemp("plan")
    inverse = InverseConfig(embedding=8, action=2, width=8, layers=1)
    config = LatentConfig(
        name="push_latent", world="push", model=MODEL, train=BRIEF, inverse=inverse, train_inverse=BRIEF,
        planner=PlannerConfig(kind="icem", cost="state", cem=FEW, icem=FEWER),
        protocol=ProtocolConfig(offset=12, budget=12, random=1),
    )  # fmt: skip
    LeWorldModel(MODEL).save(base / "model")
    InverseDynamics(inverse).save(base / "model")
    (base / "model" / RECIPE).write_text(yaml.safe_dump(to_dict(config)))
    task = tasks.make("push")
    for split in ("train", "test"):
        store = EpisodeStore(base / "data" / split)
        for index in range(3):
            store.write(index, record_episode(task, policies.make("expert", task), reset_seed(split, index), index))
    return base


def plan(folder, out, *more: str) -> int:
    own = ["--model", str(folder / "model"), "--data", str(folder / "data"), "--out", str(out), "--episodes", "2"]
    return cli.main(["robot", "plan", *own, *more])


def complaint(capsys, folder, out, *more: str) -> str:
    code = plan(folder, out, *more)
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert code == 2 and len(lines) == 1 and lines[0].startswith("zoetrope: "), lines
    return lines[0]


def test_figures_a_page_and_the_same_again_from_what_was_kept(folder, tmp_path, capsys):
    pytest.importorskip("av")
    files = ["--json", str(tmp_path / "a.json"), "--html", str(tmp_path / "a.html")]
    assert plan(folder, tmp_path / "out", "--planner", "icem", "--planner", "amortized", *files) == 0
    assert "icem: goals reached" in capsys.readouterr().out
    figures = json.loads((tmp_path / "a.json").read_text())
    assert set(figures["policies"]) == {"icem", "amortized", "random", "still"} and figures["pairs"] == 2
    assert {"p50", "p95"} <= set(figures["policies"]["icem"]["plan_seconds"])
    shown = (tmp_path / "a.html").read_text()
    assert "a_files/goal-1.mp4" in shown and len(list((tmp_path / "a_files").glob("*.mp4"))) == 2
    kept = next((tmp_path / "out").glob("*.jsonl")).read_bytes()
    again = ["--json", str(tmp_path / "b.json")]
    assert plan(folder, tmp_path / "out", "--planner", "icem", "--planner", "amortized", *again) == 0
    assert next((tmp_path / "out").glob("*.jsonl")).read_bytes() == kept
    assert json.loads((tmp_path / "b.json").read_text())["policies"] == figures["policies"]


def test_complaints_are_one_line(folder, tmp_path, capsys):
    assert "unknown planner 'clever'" in complaint(capsys, folder, tmp_path, "--planner", "clever")
    assert "train one with: zoetrope train push_latent" in complaint(capsys, folder, tmp_path, "--model", "nowhere")
    assert "--episodes must be at least 1" in complaint(capsys, folder, tmp_path, "--episodes", "0")


def test_the_rest_of_the_table(folder, tmp_path, capsys, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("robotics.figures.run.PARTS", ("planning", "export"))
    monkeypatch.setattr(commands, "LATENT", "push_latent")
    monkeypatch.setattr("apps.robot.figures.Latent.open", lambda name, open=Latent.open: open(str(folder / "model")))
    asked = ["--data", str(folder / "data"), "--episodes", "2", "--out", str(tmp_path), "--json", str(tmp_path / "a.json")]
    assert cli.main(["evaluate", "robotics", *asked, "--protocols", "planning", "export"]) == 0
    figures = json.loads((tmp_path / "a.json").read_text())
    assert figures["export_exact"]["value"] == 1 and figures["planner"] == "icem"
    assert figures["amortized_cost_ratio"] > 0 and "LeRobot episodes read back exactly" in capsys.readouterr().out


def test_what_is_trained_is_what_is_shipped():
    config = commands.read_config("push_latent")
    assert Latent.open("push_latent").config == config
    assert isinstance(config, LatentConfig) and commands._recorded(config) == worlds.load("push")

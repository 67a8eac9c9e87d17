"""The doors of the driving product: complaints of one line, datasets that resume, loops, plans and films without a display."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from apps import cli
from core.backbone.action import ActionConfig
from core.backbone.motion import MotionConfig
from core.backbone.transformer import BackboneConfig
from core.episodes.video import read_video
from core.latents.autoencoder import TokenizerConfig
from core.memory.context import ContextConfig
from core.memory.spatial import SpatialConfig
from core.streaming.model import WorldConfig, WorldModel
from driving.facts import FACTS_SIZE
from driving.nuscenes.read import Dataset
from tests.apps.test_cli import complaint, run

QUIET = """
text: somebody drives along an empty road
road: {kind: straight, length: 500, speed_limit: 10}
actors:
  - {category: car, ahead: 18, drive: {speed: 6}}
traffic: {vehicles: 0, parked: 0, pedestrians: 0, cyclists: 0}
"""
SEEN = """rig:
  width: 32
  height: 24
  cameras:
    - {name: CAM_FRONT, position: [1.7, 0.0, 1.5], yaw: 0, focal: 0.8}
    - {name: CAM_BACK, position: [0.0, 0.0, 1.5], yaw: 180, focal: 0.5}
"""


@pytest.fixture
def scenario(tmp_path) -> str:
    path = tmp_path / "quiet.yaml"
    path.write_text(QUIET + SEEN)
    return str(path)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> str:
    """A folder with a tiny driving world of two cameras and random weights."""
    torch.manual_seed(0)
    narrow = (8, 8, 8)
    config = WorldConfig(
        name="tiny",
        cameras=2,
        tokenizer=TokenizerConfig(
            height=24, width=32, channels=8, depth=True, near=2.0, encoder_widths=narrow, decoder_widths=narrow, blocks=1
        ),
        backbone=BackboneConfig(width=48, layers=1, heads=2, expansion=2, context=ContextConfig(recent=2, sinks=0, packed=())),
        action=ActionConfig(kind="continuous", size=2),
        motion=MotionConfig(hidden=16, scan=False, look=False),
        spatial=SpatialConfig(capacity=8, near=0.5),
        sketch=True,
        facts=FACTS_SIZE,
        rays=True,
    )
    folder = tmp_path_factory.mktemp("world")
    WorldModel(config).save(folder)
    return str(folder)


def synthesize(capsys, out: Path, scenario: str, *more: str) -> tuple[int, str, str]:
    fixed = ("--scenes", "1", "--frames", "10", "--world", "source", "--ungated")
    return run(capsys, "drive", "synthesize", "--scenario", scenario, "--out", str(out), *fixed, *more)


def test_every_command_explains_itself(capsys):
    for command in ("synthesize", "edit", "loop", "plan", "play", "view"):
        code, out, _ = run(capsys, "drive", command, "--help")
        assert code == 0 and "usage: zoetrope drive" in out.replace("\n", " ").replace(Path(sys.argv[0]).name, "zoetrope")
    assert run(capsys, "drive", "--help")[0] == 0
    assert "driving" in run(capsys, "worlds")[1]


def test_help_needs_no_optional_package():
    code = "import sys; from apps import cli\ntry: cli.main(['drive', 'loop', '--help'])\nexcept SystemExit: pass\n"
    code += "bad = {'torch', 'panda3d', 'matplotlib', 'shapely', 'accelerate'} & set(sys.modules); assert not bad, bad"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=Path(cli.__file__).parent.parent)


def test_complaints_are_one_line_and_leave_nothing(capsys, tmp_path, scenario):
    out = tmp_path / "out"
    to = ("--out", str(out))
    wrong = {
        "scenario 'nope': unknown; known: ambulance": ("synthesize", "--scenario", "nope", *to),
        "expected --scenario or --text": ("synthesize", *to),
        "'hail' is unknown; known: clear": ("synthesize", "--scenario", "cut_in", "--weather", "hail", *to),
        "names no scenario": ("synthesize", "--text", "xyzzy", *to),
        "--scenes must be at least 1": ("synthesize", "--scenario", "cut_in", "--scenes", "0", *to),
        "no driving world here": ("synthesize", "--scenario", "cut_in", "--world", str(tmp_path), *to),
        "two of the scenarios are named 'cut_in'": (
            *("synthesize", "--scenario", "cut_in", "--text", "a car cuts in", "--world", "source", "--ungated"),
            *to,
        ),
        "planner 'nope': unknown; known: idm": ("loop", "--planner", "nope", "--scenario", "cut_in"),
        "no_such_module cannot be imported": ("loop", "--planner", "no_such_module:load", "--scenario", "cut_in"),
        "expected one version of nuScenes tables": ("view", str(tmp_path)),
        "no such file": ("edit", "--from", str(tmp_path), "--scene", "a", "--edit", str(tmp_path / "none.yaml"), *to),
        "invalid choice": ("play", "--first", "mine"),
    }
    for expected, arguments in wrong.items():
        assert expected.lower() in complaint(capsys, "drive", *arguments).lower()
    assert not out.exists()
    (tmp_path / "file").write_text("")
    code, _, err = synthesize(capsys, tmp_path / "file" / "below", scenario)
    assert code == 2 and "cannot be written" in err and "Traceback" not in err


def test_datasets_resume_and_refuse_to_mix(capsys, tmp_path, scenario):
    out = tmp_path / "data"
    code, said, err = synthesize(capsys, out, scenario)
    assert code == 0, err
    assert "1 scenes accepted, 0 rejected" in said and str(out / "quality.json") in said
    assert json.loads((out / "quality.json").read_text())["accepted"] == ["quiet-000000"]
    assert (out / "pictures" / "quiet-000000.mp4").exists() and (out / "pictures" / "quiet-000000.png").exists()
    picture = next((out / "samples" / "CAM_FRONT").iterdir())
    made = picture.stat().st_mtime_ns
    code, said, _ = synthesize(capsys, out, scenario, "--scenes", "2")
    assert code == 0 and "2 scenes accepted" in said and picture.stat().st_mtime_ns == made
    assert Dataset(out).names() == ["quiet-000000", "quiet-000001"]
    code, _, err = synthesize(capsys, out, scenario, "--weather", "rain")
    assert code == 2 and "made with another weather" in err

    code, said, _ = run(capsys, "drive", "view", str(out), "--out", str(tmp_path / "scene.mp4"))
    assert code == 0 and len(read_video(tmp_path / "scene.mp4")[0]) > 1
    assert "no scene 'nope'" in complaint(capsys, "drive", "view", str(out), "--scene", "nope")

    arguments = ("--from", str(out), "--scene", "quiet-000000", "--weather", "snow", "--out", str(tmp_path / "edited"))
    code, said, err = run(capsys, "drive", "edit", *arguments, "--world", "source", "--ungated")
    assert code == 0 and "1 scenes accepted" in said, err
    changed = Dataset(tmp_path / "edited").read("quiet-000000-edited")
    assert changed.scene.ambience.snow > 0 and len(changed.scene) == len(Dataset(out).read("quiet-000000").scene)
    assert "already" in complaint(capsys, "drive", "edit", *arguments, "--world", "source", "--ungated")


def test_a_recorded_scene_is_imagined_again_from_its_own_pictures(capsys, tmp_path, scenario, world):
    assert synthesize(capsys, tmp_path / "data", scenario)[0] == 0
    arguments = ("--from", str(tmp_path / "data"), "--scene", "quiet-000000", "--out", str(tmp_path / "again"))
    code, said, err = run(capsys, "drive", "edit", *arguments, "--world", world, "--ungated")
    assert code == 0 and "do not show" not in said, err
    old = Dataset(tmp_path / "data").read("quiet-000000").episode.frames
    new = Dataset(tmp_path / "again").read("quiet-000000-edited").episode.frames
    assert abs(old[0].astype(int) - new[0]).mean() < 6 < abs(old[-1].astype(int) - new[-1]).mean()


def test_a_planner_drives_in_both_worlds(capsys, tmp_path, scenario, world):
    arguments = ("--planner", "idm", "--scenario", scenario, "--frames", "5", "--world", world, "--first", "none")
    told = ("--out", str(tmp_path / "loop"), "--json", str(tmp_path / "loop.json"))
    code, said, err = run(capsys, "drive", "loop", *arguments, *told)
    assert code == 0 and "generated" in said and "source" in said, err
    figures = json.loads((tmp_path / "loop.json").read_text())
    assert set(figures["worlds"]) == {"generated", "source"}
    assert figures["worlds"]["source"]["frames"] == 5 and 0 <= figures["worlds"]["generated"]["driving_score"] <= 1
    page = (tmp_path / "loop" / "report.html").read_text()
    assert "generated.mp4" in page and "<svg" in page
    assert len(read_video(tmp_path / "loop" / "source.mp4")[0]) == 5


def test_futures_are_scored(capsys, tmp_path, scenario, world, monkeypatch):
    from apps.drive import plan
    from driving.planning import candidates

    monkeypatch.setattr(candidates, "PLACES", candidates.PLACES[:1])
    monkeypatch.setattr(plan, "CALM", 2)
    arguments = ("--scenario", scenario, "--world", world, "--out", str(tmp_path))
    code, said, err = run(capsys, "drive", "plan", *arguments)
    assert code == 0 and "best: " in said, err
    rewards = [future["reward"] for future in json.loads((tmp_path / "futures.json").read_text())]
    assert len(rewards) == 4 and rewards == sorted(rewards, reverse=True) and (tmp_path / "futures.png").stat().st_size > 1000


def test_without_a_display_it_drives_itself(capsys, tmp_path, scenario, world):
    out = str(tmp_path / "drive.mp4")
    code, said, err = run(capsys, "drive", "play", "--scenario", scenario, "--world", world, "--frames", "3", "--out", out)
    assert code == 0 and said.splitlines() == [said.splitlines()[0], out] and "no display" in said, err
    assert len(read_video(out)[0]) == 3


def test_keys_drive_the_car(scenario, world):
    from apps.drive import cockpit
    from apps.drive.ride import Ride
    from apps.drive.worlds import Shown
    from apps.play.controls import Keys

    ride = Ride(Shown.open(world), scenario, seed=0, first="none")
    try:
        start = ride._simulation.moment.ego
        view = [ride.tick(Keys(held=("w", "a"))) for _ in range(4)][-1]
        now = ride._simulation.moment.ego
        assert now.speed > start.speed and now.yaw > start.yaw and view.moved and view.source is None
        small = cockpit.compose(view).get_size()
        view = ride.tick(Keys(struck=("g", "h", "p")))
        assert view.source is not None and view.label == "paused" and view.help and not view.moved and ride.resting
        assert cockpit.compose(view).get_height() >= small[1]
        before = ride._simulation.moment
        assert ride.tick(Keys(struck=("p", "r"))).moved and ride._simulation.moment.ego != before.ego
        ride.tick(Keys(struck=("escape",)))
        assert ride.leaving
    finally:
        ride.close()


def test_driving_is_recorded_and_trained_by_its_name(capsys, tmp_path):
    assert "no such config file" in complaint(capsys, "record", str(tmp_path / "driving_large.yaml"))
    (tmp_path / "driving_bad.yaml").write_text("record: {train: 3}")
    assert "driving_bad.yaml" in complaint(capsys, "train", str(tmp_path / "driving_bad.yaml"))
    assert "no recordings here" in complaint(capsys, "train", "driving", "--data", str(tmp_path))

"""The command: exit codes, one line a complaint, tours and replays without a display."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from apps import cli, commands
from core.episodes.video import read_video
from games import loading, registry


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    try:
        code = cli.main(arguments)
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def complaint(capsys, *arguments: str) -> str:
    code, _, err = run(capsys, *arguments)
    lines = [line for line in err.splitlines() if line]
    assert code == 2 and len(lines) == 1 and lines[0].startswith("zoetrope: "), (code, err)
    return lines[0]


def test_help_and_worlds(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0 and all(word in out for word in ("play", "record", "train", "evaluate", "bench", "worlds"))
    for command in ("play", "record", "train", "evaluate", "bench"):
        assert run(capsys, command, "--help")[0] == 0
    assert "maze" in run(capsys, "worlds")[1]


def test_complaints_are_one_line(capsys, tmp_path):
    assert "unknown world 'nope'; known worlds: maze" in complaint(capsys, "play", "nope", "--headless")
    assert "unknown world" in complaint(capsys, "record", "nope")
    assert "invalid choice" in complaint(capsys, "dance")
    assert "invalid int" in complaint(capsys, "play", "--seed", "x")
    assert "--frames" in complaint(capsys, "play", "--headless", "--frames", "0")
    assert "no such key log" in complaint(capsys, "play", "--replay", str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    assert loading.WEIGHTS_FILE in complaint(capsys, "play", str(tmp_path / "empty"), "--headless")
    (tmp_path / "bad.yaml").write_text("record: {train: 3}")
    assert "bad.yaml" in complaint(capsys, "record", str(tmp_path / "bad.yaml"))


def test_missing_weights_say_how_to_make_them(monkeypatch, tmp_path):
    monkeypatch.undo()  # the real loader
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    with pytest.raises(loading.ZoetropeError, match="no weights of 'maze' here; make them with: zoetrope train maze"):
        loading.load("maze")


def test_interruption_has_no_traceback(capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "load", interrupt)
    assert run(capsys, "play", "--headless")[0] == 130


def test_tour_is_filmed_logged_and_replays(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "play", "maze", "--frames", "30", "--log", "a.jsonl", "--steps", "1")
    assert code == 0 and "no display" in out
    path = Path(out.splitlines()[1])
    assert path == (tmp_path / "zoetrope-maze-tour.mp4") and len(read_video(path)[0]) == 30

    code, out, _ = run(capsys, "play", "--replay", "a.jsonl", "--headless", "--out", "b.mp4")
    assert code == 0 and "replay: 30 frames, identical" in out
    assert len(read_video("b.mp4")[0]) == 30
    assert "identical" in run(capsys, "play", "--replay", "a.jsonl", "--headless", "--frames", "10")[1]

    lines = Path("a.jsonl").read_text().splitlines()
    step = json.loads(lines[9])
    step["action"][1] = 1.0
    Path("c.jsonl").write_text("\n".join([*lines[:9], json.dumps(step), *lines[10:]]) + "\n")
    code, out, _ = run(capsys, "play", "--replay", "c.jsonl", "--headless")
    assert code == 1 and "differs from frame" in out

    Path("d.jsonl").write_text("\n".join([lines[0].replace("f" * 64, "e" * 64), *lines[1:]]) + "\n")
    assert "other weights" in complaint(capsys, "play", "--replay", "d.jsonl", "--headless")
    assert "was played in 'maze'" in complaint(capsys, "play", "crafter", "--replay", "a.jsonl")
    assert not list(tmp_path.glob(".*")), "nothing half-written"


def test_a_tour_goes_on_after_the_end_of_an_episode(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry.Game, "tour", (("d+right", 40),), raising=False)
    code, out, _ = run(capsys, "play", "maze", "--frames", "60", "--log", "a.jsonl")
    assert code == 0 and '"do": "new"' in Path("a.jsonl").read_text()


def test_help_is_quick_and_brings_no_heavy_library():
    code = "import sys; from apps import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\n"
    code += "bad = {'torch', 'pygame', 'av', 'gymnasium', 'vizdoom'} & set(sys.modules); assert not bad, bad"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=Path(cli.__file__).parent.parent)


def test_no_option_hides_which_command_was_asked():
    """`--run FOLDER` once took the place of the command's own function, and training never began."""
    from apps import cli, commands

    parser = cli._parser()
    assert parser.parse_args(["train", "maze"]).door is commands.train
    args = parser.parse_args(["train", "maze", "--run", "folder"])
    assert args.door is commands.train and str(args.run) == "folder"
    assert parser.parse_args(["train", "maze"]).run is None


def test_a_missing_package_is_named_with_what_brings_it(monkeypatch, capsys):
    def door(_):
        raise ModuleNotFoundError("No module named 'shapely'", name="shapely.geometry")

    monkeypatch.setattr(commands, "worlds", door)
    assert cli.main(["worlds"]) == cli.USER_ERROR
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "needs 'shapely.geometry'" in said and 'pip install "zoetrope[driving]"' in said

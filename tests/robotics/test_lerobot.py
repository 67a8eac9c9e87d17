"""LeRobot v3.0 datasets: what is written is what is read, by another reader; whole or absent; nothing twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.episodes.episode import Episode
from core.errors import ZoetropeError
from robotics.lerobot import layout as layouts
from robotics.lerobot import stats
from robotics.lerobot.demonstration import GENERATED, SIMULATED, Demonstration
from robotics.lerobot.layout import Layout
from robotics.lerobot.read import Dataset
from robotics.lerobot.write import PARTS, DatasetWriter

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

LAYOUT = Layout(rate=20, robot="planar", cameras=("top", "wrist"), height=6, width=5, state=("x", "y"), action=("dx", "dy"))


def demonstration(seed: int, steps: int = 4, layout: Layout = LAYOUT, text: str = "push it") -> Demonstration:
    rng = np.random.default_rng(seed)
    numbers = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
    pseudo = rng.random(steps) < 0.5
    episode = Episode(
        frames=rng.integers(0, 256, (steps, len(layout.cameras), layout.height, layout.width, 3), np.uint8),
        action=numbers(steps, len(layout.action)),
        reward=numbers(steps) if layout.rewards else None,
        terminated=np.arange(steps) == steps - 1 if layout.rewards else None,
        text=text,
        metadata={"policy": "expert", "seed": str(seed)},
    )
    return Demonstration(
        episode=episode,
        state=numbers(steps, len(layout.state)),
        environment_state=numbers(steps, len(layout.environment_state)) if layout.environment_state else None,
        source=GENERATED if seed % 2 else SIMULATED,
        action_is_pseudo=pseudo,
        confidence=np.where(pseudo, rng.random(steps), 1).astype(np.float32),
    )


def write(folder: Path, count: int = 3, layout: Layout = LAYOUT) -> Path:
    writer = DatasetWriter(folder, layout)
    for k in range(count):
        writer.add(f"e{k}", demonstration(k, 3 + k, layout, text=("push it", "reach it")[k % 2]))
    writer.finish()
    return folder


def same(a: Demonstration, b: Demonstration) -> None:
    for name in ("state", "environment_state", "action_is_pseudo", "confidence"):
        equal(getattr(a, name), getattr(b, name))
    for name in ("frames", "action", "reward", "terminated"):
        equal(getattr(a.episode, name), getattr(b.episode, name))
    assert (a.source, a.episode.text, a.episode.metadata) == (b.source, b.episode.text, b.episode.metadata)


def equal(a: np.ndarray | None, b: np.ndarray | None) -> None:
    if a is None or b is None:
        assert a is b
    else:
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# --- round trip ---


layouts_drawn = st.builds(
    Layout,
    rate=st.integers(1, 60),
    robot=st.sampled_from(["", "arm"]),
    cameras=st.sampled_from([("front",), ("front", "wrist"), ("a", "b", "c.d")]),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    state=st.sampled_from([("x",), ("x", "y", "z")]),
    action=st.sampled_from([("u",), ("u", "v")]),
    environment_state=st.sampled_from([(), ("box x",), ("box x", "box y")]),
    rewards=st.booleans(),
)


@settings(max_examples=15, deadline=None)
@given(layouts_drawn, st.lists(st.tuples(st.integers(1, 5), st.text(max_size=8)), min_size=1, max_size=3), st.integers(0, 999))
def test_what_is_written_is_what_is_read(tmp_path_factory, layout, episodes, seed):
    folder = tmp_path_factory.mktemp("a=b")  # a name that looks like a partition
    writer = DatasetWriter(folder, layout)
    made = [demonstration(seed + k, steps, layout, text) for k, (steps, text) in enumerate(episodes)]
    for k, one in enumerate(made):
        writer.add(f"e{k}", one)
    assert writer.finish() == len(made)
    dataset = Dataset(folder)
    assert len(dataset) == len(made) and dataset.rate == layout.rate and dataset.info["robot_type"] == layout.robot
    assert dataset.names == tuple(f"e{k}" for k in range(len(made))) and set(dataset.tasks) == {text for _, text in episodes}
    for k, one in enumerate(made):
        same(dataset.read(k), one)
    every = np.concatenate([one.episode.action for one in made])
    found = dataset.stats()["action"]
    np.testing.assert_allclose(found["mean"], every.mean(0), atol=1e-6)
    np.testing.assert_allclose(found["std"], every.astype(float).std(0), atol=1e-6)
    assert found["count"] == [len(every)]


def test_pixels_are_stored_as_png_files_of_exactly_them(tmp_path):
    import cv2

    write(tmp_path / "set")
    table = pq.read_table(tmp_path / "set/data/chunk-000/file-000.parquet")
    cell = table.column("observation.images.wrist")[0].as_py()
    assert cell["bytes"].startswith(b"\x89PNG") and cell["path"] is None
    shown = cv2.imdecode(np.frombuffer(cell["bytes"], np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    np.testing.assert_array_equal(shown[..., ::-1], demonstration(0, 3).episode.frames[0, 1])


def test_the_tables_are_those_of_the_format(tmp_path):
    folder = write(tmp_path / "set")
    info = json.loads((folder / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0" and (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (
        3,
        12,
        2,
    )
    assert info["features"]["observation.images.top"] == {
        "dtype": "image",
        "shape": [6, 5, 3],
        "names": ["height", "width", "channels"],
    }
    assert info["splits"] == {"train": "0:3"} and info["video_path"] is None
    data = pq.read_table(folder / info["data_path"].format(chunk_index=0, file_index=0))
    assert list(info["features"]) == data.column_names and data.schema.field("action").type == pa.list_(pa.float32(), 2)
    assert data.column("index").to_pylist() == list(range(12))
    assert data.column("episode_index").to_pylist() == [0] * 3 + [1] * 4 + [2] * 5
    assert data.column("task_index").to_pylist() == [0] * 3 + [1] * 4 + [0] * 5
    assert data.column("timestamp").to_pylist()[3:5] == pytest.approx([0, 0.05])
    assert set(data.column("source").to_pylist()) == {SIMULATED, GENERATED}
    assert pq.ParquetFile(folder / "data/chunk-000/file-000.parquet").num_row_groups == 3
    tasks = pq.read_table(folder / "meta/tasks.parquet")
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["__index_level_0__"]
    episodes = pq.read_table(folder / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [(e["dataset_from_index"], e["dataset_to_index"], e["tasks"]) for e in episodes][1] == (3, 7, ["reach it"])
    assert np.shape(episodes[0]["stats/observation.images.top/mean"]) == (3, 1, 1) and episodes[1]["stats/index/min"] == [3]
    found = json.loads((folder / "meta/stats.json").read_text())
    assert set(found) == set(info["features"]) - {"source"} and found["index"]["max"] == [11]
    assert not (folder / PARTS).exists()


def test_image_statistics_are_those_of_the_pixels():
    frames = np.random.default_rng(0).integers(0, 256, (7, 5, 4, 3), np.uint8)
    whole = stats.of_images(frames)
    for name, expected in {"min": frames.min, "max": frames.max, "mean": frames.mean, "std": frames.std}.items():
        np.testing.assert_allclose(np.ravel(whole[name]), expected((0, 1, 2)) / 255, atol=1e-12)
    parts = [{"a": stats.of_images(part)} for part in (frames[:2], frames[2:])]
    for name, value in stats.together(parts)["a"].items():
        np.testing.assert_allclose(value, whole[name], atol=1e-12)


def test_large_datasets_are_cut_into_files(tmp_path, monkeypatch):
    monkeypatch.setattr(layouts, "DATA_FILE_MB", 0)
    monkeypatch.setattr(layouts, "CHUNK_FILES", 2)
    folder = write(tmp_path / "set", 5)
    paths = [str(p.relative_to(folder / "data")) for p in sorted(folder.glob("data/*/*"))]
    assert paths == [f"chunk-00{k // 2}/file-00{k % 2}.parquet" for k in range(5)]
    dataset = Dataset(folder)
    for k in range(5):
        same(dataset.read(k), demonstration(k, 3 + k, text=("push it", "reach it")[k % 2]))


# --- whole or absent, nothing twice ---


def test_a_dataset_grows_and_keeps_what_it_holds(tmp_path):
    folder = write(tmp_path / "set", 2)
    before = (folder / "data/chunk-000/file-000.parquet").read_bytes()
    writer = DatasetWriter(folder, LAYOUT)
    assert writer.has("e1") and not writer.has("e2") and writer.names() == ["e0", "e1"]
    writer.add("e1", demonstration(77))  # is there
    writer.add("a-new-one", demonstration(9, text="lift it"))
    assert writer.finish() == 3 == writer.finish()
    assert (folder / "data/chunk-000/file-000.parquet").read_bytes() == before
    dataset = Dataset(folder)
    assert dataset.names == ("e0", "e1", "a-new-one") and dataset.tasks == ("push it", "reach it", "lift it")
    same(dataset.read(1), demonstration(1, 4, text="reach it"))
    same(dataset.read(2), demonstration(9, text="lift it"))


class Cut(BaseException):
    """As `kill -9` would, but in the same process."""


def test_cut_off_anywhere_it_is_whole_or_absent_and_resumes_to_the_same_bytes(tmp_path, monkeypatch):
    """The cut comes before each of the renames and removals that there are, one after another."""
    monkeypatch.setattr(layouts, "DATA_FILE_MB", 0)
    expected = files(write(tmp_path / "expected", 2))
    steps = 0
    while True:
        folder, left = tmp_path / f"cut{steps}", steps

        def guard(function):
            def run(*values, **options):
                nonlocal left
                left -= 1
                if left < 0:
                    raise Cut
                return function(*values, **options)

            return run

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", guard(os.replace))
            patch.setattr(Path, "replace", guard(Path.replace))
            patch.setattr(Path, "unlink", guard(Path.unlink))
            patch.setattr(shutil, "rmtree", guard(shutil.rmtree))
            try:
                write(folder, 2)
                cut = False
            except Cut:
                cut = True
        try:
            seen = len(Dataset(folder))
        except ZoetropeError as error:
            assert "half-written" in str(error) or "no LeRobot dataset" in str(error)
        else:
            assert seen == 2
        assert files(write(folder, 2)) == expected
        if not cut:
            break
        steps += 1
    assert steps > 15


def test_killed_while_recording_every_finished_episode_is_kept(tmp_path):
    folder = tmp_path / "set"
    root = Path(__file__).parents[2]
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r})\n"
        "from tests.robotics.test_lerobot import LAYOUT, DatasetWriter, demonstration\n"
        f"writer = DatasetWriter({str(folder)!r}, LAYOUT)\n"
        "for k in range(10**6): writer.add(f'e{k}', demonstration(k, 3))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        deadline = time.monotonic() + 60
        while len(list((folder / PARTS).glob("e*.parquet"))) < 3:
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    with pytest.raises(ZoetropeError, match="half-written"):
        Dataset(folder)
    writer = DatasetWriter(folder, LAYOUT)
    kept = writer.names()
    for k in range(len(kept) + 2):
        writer.add(f"e{k}", demonstration(k, 3))
    assert writer.finish() == len(kept) + 2
    dataset = Dataset(folder)
    for k, name in enumerate(dataset.names):
        same(dataset.read(k), demonstration(int(name[1:]), 3))


# --- bad input ---


@pytest.mark.parametrize("name", ["meta/info.json", "meta/tasks.parquet", "meta/episodes", "meta/stats.json", "data"])
@pytest.mark.parametrize("how", ["gone", "cut"])
def test_missing_and_truncated_files_are_named_in_one_line(tmp_path, name, how):
    folder = write(tmp_path / "set")
    found = [folder / name] if (folder / name).is_file() else sorted((folder / name).rglob("*.parquet"))
    for path in found:
        path.unlink() if how == "gone" else path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ZoetropeError) as caught:
        Dataset(folder).read(0)
        Dataset(folder).stats()
    said = str(caught.value)
    assert "\n" not in said and str(folder) in said
    assert name in said or name == "meta/info.json"


@pytest.fixture(scope="module")
def one_episode(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("damage") / "set", 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8))
def test_damage_is_an_error_or_harms_nothing(one_episode, place, noise):
    path = one_episode / "data/chunk-000/file-000.parquet"
    whole = path.read_bytes()
    at = place % len(whole)
    path.write_bytes((whole[:at] + noise + whole[at + len(noise) :])[: len(whole)])
    try:
        same(Dataset(one_episode).read(0), demonstration(0, 3))
    except ZoetropeError as error:
        assert "\n" not in str(error)
    finally:
        path.write_bytes(whole)


def test_other_formats_are_told_apart(tmp_path):
    folder = write(tmp_path / "set")
    info = folder / "meta/info.json"
    good = json.loads(info.read_text())

    def said(**changed) -> str:
        info.write_text(json.dumps(good | changed))
        with pytest.raises(ZoetropeError) as caught:
            Dataset(folder)
        return str(caught.value)

    assert "LeRobot format v2.1, only v3.0 is read" in said(codebase_version="v2.1")
    assert "image mode" in said(features=good["features"] | {"observation.images.top": {"dtype": "video", "shape": [6, 5, 3]}})
    assert "tells of 4 of 12" in said(total_episodes=4)
    assert "features: action is missing" in said(features={k: v for k, v in good["features"].items() if k != "action"})
    with pytest.raises(ZoetropeError, match="no LeRobot dataset"):
        Dataset(tmp_path / "nowhere")
    info.write_text(json.dumps(good))
    with pytest.raises(ZoetropeError, match="no episode 3; there are 3"):
        Dataset(folder).read(3)


def test_a_dataset_without_provenance_or_names_is_read(tmp_path):
    """As LeRobot itself writes one: no columns of ours, the tasks' column called otherwise."""
    folder = write(tmp_path / "set", 1)
    ours = ["source", "action_is_pseudo", "confidence"]
    path = folder / "data/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(path).drop_columns(ours).replace_schema_metadata(), path)
    table = pq.read_table(folder / "meta/tasks.parquet").rename_columns(["task_index", "task"])
    pq.write_table(table, folder / "meta/tasks.parquet")
    path = folder / "meta/episodes/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["name", "source", "metadata"]), path)
    info = json.loads((folder / "meta/info.json").read_text())
    for name in ours:
        del info["features"][name]
    (folder / "meta/info.json").write_text(json.dumps(info))
    dataset, made = Dataset(folder), demonstration(0, 3)
    found = dataset.read(0)
    assert dataset.names == ("0",) and found.source == "" and not found.action_is_pseudo.any() and (found.confidence == 1).all()
    equal(found.episode.frames, made.episode.frames)
    with pytest.raises(ZoetropeError, match="not written by this program"):
        DatasetWriter(folder, LAYOUT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": np.zeros((4, 3), np.float32)}, r"episode 'e': observation.state: expected float \(4, 2\), found float32"),
        ({"state": np.full((4, 2), np.nan, np.float32)}, "observation.state: holds numbers that are not finite"),
        ({"environment_state": np.zeros((4, 2), np.float32)}, "observation.environment_state: expected"),
        ({"episode": demonstration(0, 4, replace(LAYOUT, height=9)).episode}, "frames: expected"),
        ({"episode": demonstration(0, 4, replace(LAYOUT, rewards=False)).episode}, "next.reward: expected float"),
        ({"episode": replace(demonstration(0).episode, action=np.zeros(4, np.int64))}, "action: expected float"),
    ],
)
def test_episodes_that_do_not_fit_are_named_and_leave_nothing(tmp_path, change, message):
    writer = DatasetWriter(tmp_path / "set", LAYOUT)
    with pytest.raises(ZoetropeError, match=message):
        writer.add("e", replace(demonstration(0), **change))
    assert writer.names() == []
    with pytest.raises(ZoetropeError, match="no episodes"):
        writer.finish()


def test_demonstrations_are_checked():
    with pytest.raises(ZoetropeError, match="confidence: expected numbers between 0 and 1"):
        replace(demonstration(0), confidence=np.full(4, 2, np.float32))
    with pytest.raises(ZoetropeError, match=r"action_is_pseudo: expected shape \(4,\)"):
        replace(demonstration(0), action_is_pseudo=np.zeros(3, bool))


def test_another_layout_and_bad_names_are_refused(tmp_path):
    folder = write(tmp_path / "set", 1)
    with pytest.raises(ZoetropeError, match="rate is 20 there and 30 here"):
        DatasetWriter(folder, replace(LAYOUT, rate=30))
    with pytest.raises(ZoetropeError, match="no file name"):
        DatasetWriter(folder, LAYOUT).add("../e", demonstration(0))
    with pytest.raises(ZoetropeError, match="'a/b' is no name"):
        replace(LAYOUT, cameras=("a/b",))


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ZoetropeError, match=r"pip install 'zoetrope\[lerobot\]'"):
        DatasetWriter(tmp_path, LAYOUT)

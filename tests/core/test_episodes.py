"""Episodes: the contract's checks, and what is written is what is read, whole or a window at a time."""

import tempfile
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError

words = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)


@st.composite
def episodes(draw) -> Episode:
    steps, cameras, height, width = (draw(st.integers(1, n)) for n in (6, 3, 5, 5))
    array = lambda dtype, *shape: draw(hnp.arrays(dtype, shape))  # noqa: E731
    optional = lambda dtype, *shape: draw(st.none() | hnp.arrays(dtype, shape))  # noqa: E731
    names = draw(st.lists(st.from_regex(r"[a-z_]{1,6}", fullmatch=True), max_size=2, unique=True))
    kinds = st.sampled_from([np.float32, np.int64, np.uint8, np.bool_, np.float16])
    return Episode(
        frames=array(np.uint8, steps, cameras, height, width, 3),
        action=array(np.int64, steps) if draw(st.booleans()) else array(np.float32, steps, draw(st.integers(1, 4))),
        pose=optional(np.float32, steps, cameras, 4, 4),
        intrinsics=optional(np.float32, cameras, 3, 3),
        depth=optional(np.float16, steps, cameras, height, width),
        reward=optional(np.float32, steps),
        terminated=optional(np.bool_, steps),
        conditions={n: array(draw(kinds), steps, *draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=3))) for n in names},
        text=draw(words),
        metadata=draw(st.dictionaries(words, words, max_size=2)),
    )


def assert_same(a: Episode, b: Episode) -> None:
    for field in fields(Episode):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if field.name == "conditions":
            assert left.keys() == right.keys()
            pairs = [(left[n], right[n]) for n in left]
        else:
            pairs = [(left, right)]
        for x, y in pairs:
            if isinstance(x, np.ndarray):
                assert x.dtype == y.dtype and x.shape == y.shape
                assert x.tobytes() == y.tobytes()  # bit for bit, also where not a number
            else:
                assert x == y


@settings(max_examples=25, deadline=None)
@given(episodes(), st.data())
def test_round_trip_and_windows(episode, data):
    with tempfile.TemporaryDirectory() as folder:
        store = EpisodeStore(folder)
        store.write(3, episode)
        assert store.indices() == [3] and store.length(3) == len(episode)
        assert_same(store.read(3), episode)
        start = data.draw(st.integers(0, len(episode) - 1))
        length = data.draw(st.integers(1, len(episode) - start))
        assert_same(store.read(3, start, length), episode.window(start, length))
        assert_same(store.read(3, start), episode.window(start, len(episode)))


def tiny(steps: int = 4) -> Episode:
    return Episode(frames=np.zeros((steps, 1, 2, 2, 3), np.uint8), action=np.arange(steps))


def test_window_past_the_end_is_cut_like_a_slice(tmp_path):
    store = EpisodeStore(tmp_path)
    store.write(0, tiny(4))
    assert len(store.read(0, 2, 10)) == len(tiny(4).window(2, 10)) == 2


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"frames": np.zeros((4, 2, 2, 3), np.uint8)}, "frames"),
        ({"frames": np.zeros((4, 1, 2, 2, 3), np.float32)}, "frames"),
        ({"action": np.zeros(3)}, "action"),
        ({"pose": np.zeros((4, 4, 4))}, "pose"),
        ({"depth": np.zeros((4, 1, 2, 3))}, "depth"),
        ({"reward": np.zeros(5)}, "reward"),
        ({"conditions": {"boxes": np.zeros((1, 7))}}, "boxes"),
    ],
)
def test_wrong_shapes_are_refused(change, name):
    good = {"frames": np.zeros((4, 1, 2, 2, 3), np.uint8), "action": np.arange(4)}
    with pytest.raises(ZoetropeError, match=name):
        Episode(**(good | change))


def test_iterates_in_order_and_skips_what_is_missing(tmp_path):
    store = EpisodeStore(tmp_path)
    for index in (10, 2):
        store.write(index, tiny(index))
    assert store.indices() == [2, 10] and [len(e) for e in store] == [2, 10]
    assert store.has(2) and not store.has(3)
    assert EpisodeStore(tmp_path / "none").indices() == []
    with pytest.raises(ZoetropeError, match="000003"):
        store.read(3)


@pytest.mark.parametrize("keep", [0, 5, 60, -1])
def test_truncated_file_is_named_as_damaged(tmp_path, keep):
    store = EpisodeStore(tmp_path)
    store.write(0, tiny())
    data = store.path(0).read_bytes()
    store.path(0).write_bytes(data[:keep])
    with pytest.raises(ZoetropeError, match="000000.*damaged"):
        store.read(0)


def test_file_of_another_kind_is_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"frames": np.zeros(3)}, tmp_path / "000000.safetensors")
    with pytest.raises(ZoetropeError, match="not a zoetrope-episode"):
        EpisodeStore(tmp_path).read(0)

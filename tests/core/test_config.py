"""Typed configuration: what fits comes through, what does not is refused with file, key and expectation."""

from dataclasses import dataclass, field
from typing import Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from core.config import from_dict, load_yaml, to_dict
from core.errors import ZoetropeError


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    rate: float = 0.5
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    steps: int
    inner: Inner = field(default_factory=Inner)
    kind: Literal["dense", "linear"] = "dense"
    size: tuple[int, int] = (96, 128)
    limit: float | None = None
    fast: bool = False


def test_reads_nested_yaml_with_defaults(tmp_path):
    path = tmp_path / "world.yaml"
    path.write_text("steps: 3\ninner: {rate: 1, names: [a, b]}\nlimit: 2.5\nsize: [64, 64]\n")
    config = load_yaml(Outer, path)
    assert config == Outer(steps=3, inner=Inner(rate=1.0, names=("a", "b")), limit=2.5, size=(64, 64))
    assert type(config.inner.rate) is float


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps: 1\nspeed: 2", ["unknown key 'speed'", "steps"]),
        ("kind: dense", ["missing key 'steps'"]),
        ("steps: many", ["steps", "int", "'many'"]),
        ("steps: 1.5", ["steps", "int", "1.5"]),
        ("steps: true", ["steps", "int", "True"]),
        ("steps: 1\nfast: 1", ["fast", "bool"]),
        ("steps: 1\nkind: sparse", ["kind", "dense, linear", "'sparse'"]),
        ("steps: 1\nsize: [1, 2, 3]", ["size", "2 values", "3"]),
        ("steps: 1\nsize: 64", ["size", "list"]),
        ("steps: 1\ninner: {rat: 1}", ["inner", "unknown key 'rat'"]),
        ("steps: 1\ninner: {names: [a, 7]}", ["inner", "names[1]", "str"]),
        ("steps: 1\ninner: 4", ["inner", "mapping"]),
        ("- 1\n- 2", ["mapping"]),
        ("steps: [1", ["YAML"]),
        ("", ["missing key 'steps'"]),
    ],
)
def test_refuses_with_file_and_key(tmp_path, text, words):
    path = tmp_path / "world.yaml"
    path.write_text(text)
    with pytest.raises(ZoetropeError) as error:
        load_yaml(Outer, path)
    message = str(error.value)
    assert message.startswith(str(path)) and "\n" not in message
    for word in words:
        assert word in message


def test_no_such_file(tmp_path):
    with pytest.raises(ZoetropeError, match="no such config"):
        load_yaml(Outer, tmp_path / "none.yaml")
    with pytest.raises(ZoetropeError, match="not readable"):
        load_yaml(Outer, tmp_path)


configs = st.builds(
    Outer,
    steps=st.integers(),
    inner=st.builds(Inner, rate=st.floats(allow_nan=False), names=st.lists(st.text()).map(tuple)),
    kind=st.sampled_from(["dense", "linear"]),
    size=st.tuples(st.integers(), st.integers()),
    limit=st.none() | st.floats(allow_nan=False),
    fast=st.booleans(),
)


@given(configs)
def test_round_trip_through_yaml(config):
    assert from_dict(Outer, yaml.safe_load(yaml.safe_dump(to_dict(config)))) == config


@given(
    st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=3))
)
def test_nothing_but_a_zoetrope_error_comes_out(data):
    try:
        assert isinstance(from_dict(Outer, data), Outer)
    except ZoetropeError as error:
        assert str(error).startswith("config")

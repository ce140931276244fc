"""YAML from anywhere is bounded: whatever a file holds, the answer is its content or one line that names it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from batchlab.results.store.yaml_file import BYTES, DEPTH, VALUES, parse_yaml, read_yaml

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
"""Ten lines that stand for 9^10 values."""

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(plain)
def test_what_was_written_is_read(value: Any) -> None:
    assert parse_yaml(yaml.safe_dump(value), "x") == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, f"line 1: is nested deeper than {DEPTH}"),
        ("{a: " * 100_000, f"nested deeper than {DEPTH}"),
        ("- " * 5_000, f"nested deeper than {DEPTH}"),
        (BOMB, f"line 6: stands for more than {VALUES:,} values"),
        ("a: &a [*a]", r"\*a stands within &a itself"),
        ("lr: 1\nseed: 2\nlr: 3\n", "line 3: the key 'lr' stands there twice"),
        ("a: *nowhere", "line 1: not YAML"),
        ("a: [1", "not YAML"),
        ("\x00", "not YAML"),
        ("!!int ''", "not YAML"),
        ("!!python/object/apply:os.system [ls]", "not YAML"),
        ("2001-99-99", "not YAML"),
        ("? [a]\n: b", "not YAML"),
        ("x" * (BYTES + 1), "more than 8 MiB"),
    ],
)
def test_what_is_beyond_the_bounds_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        read_yaml(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_depth_and_aliases_within_the_bounds_are_allowed() -> None:
    deep = "[" * DEPTH + "]" * DEPTH
    assert repr(parse_yaml(deep, "x")).count("[") == DEPTH
    assert parse_yaml("a: &a {x: 1}\nb: *a\nc:\n  <<: *a\n  y: 2\n  x: 3\n", "x")["c"] == {"x": 3, "y": 2}
    assert parse_yaml("- {a: 1}\n- {a: 2}\n- [a, a, a]\n- {b: a, a: a}", "x")[2] == ["a"] * 3
    assert parse_yaml("a: b\nb: a", "x") == {"a": "b", "b": "a"}


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab01:-[]{}&*!?|>'\"#%,\n \t<\x00\ufeff~", max_size=60) | st.binary(max_size=40))
def test_any_content_is_read_or_refused(content: str | bytes) -> None:
    try:
        parse_yaml(content, "a.yaml")
    except ValueError as error:
        assert re.match(r"a\.yaml", str(error)), error  # noqa: PT017

"""Numbers are written in one way for people, and what is written says the same to Hydra as what it stands for."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hydra.errors import HydraException
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from batchlab.results.compare.apart import settings as overrides_of
from batchlab.results.compare.frame import RunRow
from batchlab.results.report.commands import written as composable
from batchlab.results.store.run import State
from batchlab.results.words import as_typed, caption, exact, parted, respelled, told, written
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.grid.functions import parser
from batchlab.runner.plan.identity import run_id

FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs")), max_size=12)
SCALARS = st.one_of(FINITE, st.integers(), st.booleans(), st.none(), TEXTS)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4), max_leaves=8)
NUMBERS = st.one_of(
    FINITE.map(repr),
    FINITE.map("{:e}".format),
    st.from_regex(r"[+-]?[0-9][0-9_]{0,3}\.?[0-9_]{0,3}([eE][+-]?[0-9]{1,2})?", fullmatch=True),
)
WORDS = st.one_of(
    NUMBERS, NUMBERS.map("'{}'".format), NUMBERS.map('"[{},1.0]"'.format), st.from_regex(r"[a-z.:/ $\\-]{0,4}")
)
TYPED = st.recursive(
    st.lists(WORDS, min_size=1, max_size=3).map("".join),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        inner.map("{{a:{0},b:[{0}]}}".format),
        inner.map("str({})".format),
    ),
    max_leaves=4,
)
LONG = re.compile(r"\d\.0\b|e[+-]?0|e\+|000000\.0")
"""What nobody writes: 1.0, 1e-05, 1e+06."""


def identity(value: Any) -> str:
    """Of a run that has this value somewhere."""
    return run_id({"model": {"note": value}})


def read(text: str) -> Any:
    """What Hydra makes of an override."""
    return parser(None).parse_override(text).value()


@given(FINITE)
@example(1e6)
@example(1e-9)
@example(0.1 + 0.2)
@example(5e-324)
@example(-0.0)
def test_a_number_is_short_and_reads_back_to_the_last_bit(value: float) -> None:
    assert float(exact(value)) == value
    assert not LONG.search(exact(value))
    assert len(exact(value)) <= len(repr(value))
    assert exact(value) == written(value) or float(written(value)) != value, "both ways are one, but for a sum's noise"


@given(TYPED)
@example("[0.90, 1e-08]")
@example("x 1.0")
@example("'1.0'")
@example("{a:1.0}")
@example("1.0:2.0")
@example("[x 1.0,'a,1.0',1.0]")
@example("007.50")
@example("1_0.5_0")
@settings(max_examples=300, deadline=None)
def test_an_override_in_peoples_numbers_gives_the_same_run(value: str) -> None:
    text = f"model.note={value}"
    try:
        said = read(text)
    except HydraException:
        assume(False)
    assert identity(read(told(text))) == identity(said)
    assert told(told(text)) == told(text)


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_a_copied_command_gives_the_same_run(value: Any) -> None:
    assert identity(read(f"model.note={composable(value)}")) == identity(value)


@given(st.one_of(FINITE, st.integers(), st.booleans(), st.none(), st.lists(st.one_of(FINITE, st.integers()))))
def test_what_sets_a_run_apart_says_its_value_and_a_condition_finds_it(value: Any) -> None:
    run = RunRow("a", State.DONE, None, {}, {"model": {"note": value}}, {}, {})
    (told,) = overrides_of(run, ["model.note"])
    assert identity(read(told)) == identity(value)
    assert run.matches({"model.note": parted(as_typed(run.value("model.note")))})


@pytest.mark.parametrize(
    ("text", "short"), [("1000000.0", "1e6"), ("1e-05", "1e-5"), ("0.10", "0.1"), ("1E+3", "1000")]
)
def test_runs_are_called_by_such_numbers_whatever_was_typed(text: str, short: str) -> None:
    (one,), (other,) = (compose([f"optimizer.lr={value}", "dataset=digits"]) for value in (text, short))
    assert one.run_id == other.run_id
    assert caption({}, one.overrides) == caption({}, other.overrides) == f"optimizer.lr={short} dataset=digits"
    assert respelled(text) == written(float(text)) == as_typed(float(text)) == composable(float(text)) == short

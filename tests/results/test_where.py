"""Which runs a condition means: tuples, alternatives, lists; and what is given twice."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchlab.results.compare.load import load
from batchlab.results.compare.table import load_table
from batchlab.results.compare.where import Where, conditions
from batchlab.results.words import quoted

RUNS = [("shb", 0.1), ("shb", 0.03), ("adamw", 0.1), ("adamw", 0.03)]


@pytest.fixture
def store(lab, curve):
    for i, (name, lr) in enumerate(RUNS):
        lab.run(f"r{i}", curve([0.1]), optimizer=name, lr=lr, key=[8, 8] if i % 2 else [16])
    return lab.store


def found(store, *where, others=()):
    return [(r.value("optimizer"), r.value("optimizer.lr")) for r in load(store, where=Where.parse(where, others)).runs]


def test_a_comma_joins_conditions_and_or_begins_another(store):
    tuples = ("optimizer=adamw,optimizer.lr=0.03", "optimizer=shb,optimizer.lr=1e-1")
    assert found(store, tuples[0]) == [("adamw", 0.03)]
    assert found(store, tuples[0], others=[tuples[1]]) == [("shb", 0.1), ("adamw", 0.03)]
    assert found(store, others=tuples) == [("shb", 0.1), ("adamw", 0.03)], "--or alone"
    assert found(store, "optimizer=adamw", "optimizer.lr=0.03,5") == [("adamw", 0.03)], "all --where must hold"


def test_an_alternative_that_no_run_meets_is_said(store):
    with pytest.raises(ValueError, match=r"no run has optimizer=foo; optimizer is one of adamw, shb"):
        found(store, "optimizer=shb", others=["optimizer=adamw", "optimizer=foo,optimizer.lr=0.1"])


def test_lists_are_values_as_before(store):
    key = "optimizer.key"
    assert found(store, f"{key}=[8,8],optimizer=shb") == [("shb", 0.03)]
    assert found(store, f"optimizer=shb,{key}=[8,8],[16]") == [("shb", 0.1), ("shb", 0.03)]


def test_an_axis_that_there_is_not_is_named_wherever_it_stands(store):
    with pytest.raises(ValueError, match=r"no run has the axis optimiser; did you mean optimizer"):
        found(store, "seed=0", others=["seed=1,optimiser=shb"])


@pytest.mark.parametrize(
    ("where", "others", "says"),
    [
        (["optimizer=shb", "optimizer=adamw"], [], "--where optimizer=shb,adamw"),
        (["optimizer=shb,optimizer=adamw"], [], "optimizer is given twice: give it once"),
        ([], ["a=1,b"], None),
        ([], ["=1"], "--or takes AXIS=VALUE"),
        ([], ["a=1,b="], "--or takes AXIS=VALUE"),
        (["optimizer="], [], "--where takes AXIS=VALUE"),
    ],
)
def test_what_cannot_be_read(where, others, says):
    if says is None:
        assert Where.parse(where, others).alternatives == ({"a": ["1", "b"]},)
        return
    with pytest.raises(ValueError, match=re.escape(says)):
        Where.parse(where, others)


def test_a_baseline_is_one_value_of_each_axis(store):
    rows = {"rows": ["optimizer"], "cols": ["optimizer.lr"]}
    made = load_table(store, **rows, baseline="optimizer=shb,optimizer.lr=0.03")
    assert made.baseline == {"optimizer": "shb", "optimizer.lr": 0.03}
    for twice in ("optimizer=shb,optimizer=adamw", "optimizer=shb,adamw"):
        with pytest.raises(ValueError, match=r"given twice|one value of optimizer, not 2"):
            load_table(store, **rows, baseline=twice)


WORD = st.text(st.sampled_from("ab1 ,='[]"), max_size=5).filter(lambda word: not ("'" in word and '"' in word))


@given(st.dictionaries(st.sampled_from(["a", "b.c", "d_e"]), st.lists(WORD, min_size=1, max_size=3), min_size=1))
def test_what_is_quoted_comes_back(wanted):
    text = ",".join(f"{key}={','.join(map(quoted, values))}" for key, values in wanted.items())
    assert conditions(text, "--where") == wanted


def test_null_is_also_a_key_that_a_run_lacks(lab, curve):
    lab.run("a", curve([0.1]), fold=5)
    lab.run("b", curve([0.1]))
    lab.run("c", curve([0.1]), fold=None)
    chosen = [run.run_id for run in load(lab.store, where=["optimizer.fold=null"]).runs]
    assert chosen == ["b", "c"]
    assert [run.run_id for run in load(lab.store, where=["optimizer.fold=5,null"]).runs] == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"no run has the axis optimizer\.folt"):
        load(lab.store, where=["optimizer.folt=null"])

"""The override grammar on plain trees: what it spreads out, changes, adds, deletes and refuses."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchlab.runner.plan.grid.parsing import parse
from batchlab.runner.plan.overrides import apply, dotted, suggest
from batchlab.runner.plan.schema import ConfigError

TREE: dict[str, Any] = {
    "optimizer": {"name": "shb", "_target_": "t", "lr": 0.1, "betas": [0.9, 0.99], "eps": None, "file": "???"},
    "train": {"epochs": 10.0, "micro_batch": 512, "compile": False, "loss": "cross_entropy"},
    "seed": 0,
    "link": "${seed}",
}


def applied(*overrides: str) -> dict[str, Any]:
    """TREE with single-valued overrides."""
    return apply(TREE, [s.settings[0] for s in parse(overrides)])


def test_a_value_that_is_wanted_is_offered_for_a_key_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match=r"did you mean optimizer\.file, which has no value yet\?"):
        applied("optimizer.path=x.csv")


def spread(text: str) -> list[Any]:
    """The values of one override."""
    (sweep,) = parse([text])
    return [s.value for s in sweep.settings]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("seed=1,2,3", [1, 2, 3]),
        ("seed=range(0,3)", [0, 1, 2]),
        ("seed=range(1,10,step=4)", [1, 5, 9]),
        ("optimizer.lr=choice(0.1,1e-2)", [0.1, 0.01]),
        ("optimizer.lr=range(0.5,2,step=0.5)", [0.5, 1.0, 1.5]),
        ("a='x,y','z'", ["x,y", "z"]),
        ("a=[1,2],[3]", [[1, 2], [3]]),
        ("a=sort(3,1,2)", [1, 2, 3]),
        ("a='1,2'", ["1,2"]),
        ("a=null,true,word", [None, True, "word"]),
        ("a={x:1}", [{"x": 1}]),
        ("a=", [""]),
    ],
)
def test_values(text: str, values: list[Any]) -> None:
    assert spread(text) == values


def test_change_add_force_delete() -> None:
    tree = applied("optimizer.lr=1", "+optimizer.new=3", "++optimizer.other=x", "~optimizer.eps", "+note.deep=hi")
    assert tree["optimizer"]["lr"] == 1.0
    assert isinstance(tree["optimizer"]["lr"], float)
    assert tree["optimizer"]["new"] == 3
    assert tree["optimizer"]["other"] == "x"
    assert "eps" not in tree["optimizer"]
    assert tree["note"] == {"deep": "hi"}
    assert TREE["optimizer"]["lr"] == 0.1, "the tree given is left alone"


def test_types_follow_the_default() -> None:
    tree = applied(
        "train.micro_batch=1e2", "optimizer.eps=anything", "optimizer.file=7", "link=5", "seed=${train.epochs}"
    )
    assert tree["train"]["micro_batch"] == 100
    assert isinstance(tree["train"]["micro_batch"], int)
    assert (tree["optimizer"]["eps"], tree["optimizer"]["file"], tree["link"]) == ("anything", 7, 5)
    assert tree["seed"] == "${train.epochs}"


def test_the_keys_of_an_axis_take_null_and_the_others_do_not() -> None:
    assert applied("optimizer.lr=null")["optimizer"]["lr"] is None
    with pytest.raises(ConfigError, match="must be a whole number"):
        applied("train.micro_batch=null")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("optimizer.lrr=1", "did you mean optimizer.lr?"),
        ("lr=1", "did you mean optimizer.lr?"),
        ("optimizr=adam", "did you mean optimizer?"),
        ("train.epoch=1", "did you mean train.epochs?"),
        ("zzzz=1", "there is no key zzzz"),
        ("optimizer.lr=fast", "must be a number"),
        ("optimizer.lr=true", "must be a number"),
        ("train.micro_batch=1.5", "must be a whole number"),
        ("train.compile=1", "must be true or false"),
        ("train.loss=3", "must be a word"),
        ("optimizer.betas=0.9", "must be a list"),
        ("train=3", "block of keys"),
        ("++train.compile=maybe", "must be true or false"),
        ("+optimizer.lr=1", "exists; write it without the +"),
        ("~optimizer.nothing", "there is no key"),
        ("~seed", "cannot be left out"),
        ("~train.epochs", "cannot be left out"),
        ("~optimizer._target_", "cannot be left out"),
        ("optimizer.lr=[", "not an override"),
        ("=3", "not an override"),
        ("optimizer.lr", "not an override"),
    ],
)
def test_refusals_are_one_line_that_names_the_override(override: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        applied(override)
    message = str(caught.value)
    assert says in message
    assert message.startswith(override)
    assert "\n" not in message


def test_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="given twice"):
        parse(["seed=1", "optimizer.lr=2", "seed=3"])


def test_suggest_lists_the_choices_when_none_is_near() -> None:
    assert suggest("qqq", ["adam", "sgd"]) == "there are: adam, sgd"
    assert suggest("adm", ["adam", "sgd"]) == "did you mean adam?"


VALUES = st.one_of(
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.lists(st.integers(-9, 9), max_size=3),
)


def written(value: Any) -> str:
    """A value in the override grammar."""
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


@settings(max_examples=40)
@given(st.lists(VALUES, min_size=1, max_size=4))
def test_round_trip_of_values(values: list[Any]) -> None:
    got = spread("+a=" + ",".join(map(written, values)))
    assert got == values
    assert [type(v) for v in got] == [type(v) for v in values]


@settings(max_examples=40)
@given(
    st.lists(
        st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs")), max_size=6), min_size=1, max_size=3
    )
)
def test_round_trip_of_quoted_words(words: list[str]) -> None:
    def quoted(word: str) -> str:
        stem = word.rstrip("\\")  # a backslash counts double only before a quote
        return "'" + stem.replace("\\'", "\\\\'").replace("'", "\\'") + "\\\\" * (len(word) - len(stem)) + "'"

    plain = [w for w in words if "\\" not in w and "$" not in w]
    if plain:
        assert spread("a=" + ",".join(map(quoted, plain))) == plain


@settings(max_examples=40)
@given(st.permutations(["optimizer.lr=2", "seed=5", "+x.y=1", "train.loss=mse"]))
def test_order_does_not_matter(overrides: list[str]) -> None:
    assert applied(*overrides) == applied(*sorted(overrides))


@settings(max_examples=40)
@given(st.sampled_from([k for k, _ in dotted(TREE)]))
def test_setting_the_default_changes_nothing(key: str) -> None:
    before = copy.deepcopy(TREE)
    value = dict(dotted(TREE))[key]
    if isinstance(value, str):
        return
    assert applied(f"{key}={written(value)}") == before

"""Overrides that are none: the message names them, and what it says to type instead is taken."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from omegaconf import OmegaConf

from batchlab.runner.plan.grid.parsing import parse
from batchlab.runner.plan.schema import ConfigError


def refused(text: str) -> str:
    """What is said of an override, after its own text."""
    with pytest.raises(ConfigError) as caught:
        parse([text])
    said = str(caught.value)
    assert said.startswith(f"{text}: not an override: ")
    return said.removeprefix(f"{text}: not an override: ")


def taken(advice: str) -> list[Any]:
    """The values of what a message says to type, as a shell splits it."""
    shown = re.search(r"(?:in a shell as|write|part of one value, as) (.*?)(?:, (?:with|or if).*)?$", advice, re.DOTALL)
    assert shown, advice
    (word,) = shlex.split(shown[1])
    (sweep,) = parse([word])
    return [setting.value for setting in sweep.settings]


@pytest.mark.parametrize(
    "value",
    [
        "a=b",
        "a=",
        "été",
        "日本",
        "a;b",
        "a&b",
        "<x>",
        "#1",
        "!",
        "~/x",
        'a"b',
        "it's",
        "(a",
        "{a",
        "[",
        "é\\",
        "${}",
    ],
)
def test_a_value_that_needs_quotes_is_shown_in_them(value: str) -> None:
    advice = refused(f"+note={value}")
    assert "quote this value" in advice
    if "$" not in value:  # an interpolation stays one within quotes
        assert taken(advice) == [value]


@pytest.mark.parametrize(
    ("value", "meant"),
    [("a,é", ["a", "é"]), ("[é,b]", [["é", "b"]]), ("été,ñ", ["été", "ñ"]), ("[a=b,3]", [["a=b", 3]])],
)
def test_of_several_words_those_that_need_it_are_quoted(value: str, meant: list[Any]) -> None:
    assert taken(refused(f"+note={value}")) == meant


@pytest.mark.parametrize(
    "text",
    ["lr = 0.1", "lr =0.1", " lr=0.1", "--lr=0.1", "-lr=0.1", "--lr = 0.1", "lr==0.1", "lr:0.1", "lr: 0.1"],
)
def test_spaces_dashes_and_other_signs_around_a_number(text: str) -> None:
    assert taken(refused(text)) == [0.1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lr", "write lr=VALUE, without spaces around the ="),
        ("=", "a key is words of the letters a to z"),
        ("été=1", "a key is words of the letters a to z"),
        ("optimizer lr=1", "a key is words"),
        ("optimizer..lr=1", "a key is words"),
        (".lr=1", "a key is words"),
        ("betas[0]=0.1", "write the whole list, betas=[...]"),
        ("optimizer.lr@=0.1", "the choice that it is for, one at a time: optimizer.lr@CHOICE=0.1"),
        ("optimizer.lr@shb@sgd=0.1", "one at a time: optimizer.lr@CHOICE=0.1"),
        ("-x", "an option of batchlab comes before the overrides"),
        ("--optimizer", "key=value without dashes"),
        ("", "write key=value"),
        ("seed=[0,1", "close its brackets and quotes"),
        ("seed=range(0,5", "close its brackets and quotes"),
        ("seed=0,1,", "a comma stands between two values: write seed=0,1"),
        ("seed=,0,,1", "a comma stands between two values: write seed=0,1"),
        ("note='a", "close its brackets and quotes"),
        ("note=${x", "close its brackets and quotes"),
    ],
)
def test_what_cannot_be_quoted_away(text: str, says: str) -> None:
    assert says in refused(text)


def test_brackets_with_partners_need_no_closing() -> None:
    assert not refused("note=[é]").startswith("close")


def test_a_comma_that_belongs_to_a_value() -> None:
    advice = refused("dataset.file=a,b=c.npz").split(", or if its commas are ")
    assert [taken(part) for part in advice] == [["a", "b=c.npz"], ["a,b=c.npz"]]


def test_an_interpolation_that_never_ends_is_quoted_as_text() -> None:
    (advised,) = taken(refused("note=${optimizer"))
    assert OmegaConf.create({"note": advised}).note == "${optimizer"


def test_what_is_no_function_may_be_a_text() -> None:
    with pytest.raises(ConfigError, match="Unknown function 'f'") as caught:
        parse(["+note=f(x)"])
    assert taken(str(caught.value)) == ["f(x)"]


def test_a_run_has_one_name_in_every_encoding() -> None:
    (sweep,) = parse(["+note='\udcc3\udca9'"])  # the bytes of an accented letter, where only ASCII is known
    assert sweep.settings[0].value == "\xe9"
    with pytest.raises(ConfigError, match=r"caf\\xe9.*not UTF-8"):
        parse(["+note='caf\udce9'"])

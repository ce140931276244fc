"""YAML files of the user's that are none, and interpolations that lead nowhere: the file is named, or the override."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from runs import refused

from batchlab.runner.plan.config import compose

GOOD = b"_target_: torch.optim.SGD\nlr: 0.1\n"
FAULTS = {
    "latin": (GOOD + b"# \xe9t\xe9\n", "byte 0xe9 is not UTF-8: save the file as UTF-8"),
    "latin far below": (GOOD + b"# " + 20_000 * b"x" + b"\xe9\n", "byte 0xe9 is not UTF-8"),
    "utf-16": (GOOD.decode().encode("utf-16"), "is not UTF-8"),
    "tabs": (b"a:\n\tb: 1\n", "not YAML (found character"),
    "zeros": (b"a: \x00\n", "not YAML (unacceptable character #x0000"),
    "a list": (b"- a\n- b\n", "holds a list where lines of `key: value` must stand"),
    "a number": (b"3\n", "holds a single value where"),
    "a text": (b"just text\n", "holds a single value where"),
    "two documents": (GOOD + b"---\n" + GOOD, "not YAML"),
    "a header of too many words": (b"# @package _global_ x\n" + GOOD, "is no header: write # @package _global_"),
    "a mark before the header": (b"\xef\xbb\xbf# @package _global_\n" + GOOD, "begins with a byte order mark"),
    "half an interpolation": (GOOD + b"x: {y: [1, '${']}\n", "'${' is no interpolation"),
}
PLACES = {
    "optimizer/mine": ["optimizer=mine"],
    "lr_schedule/mine": ["lr_schedule=mine"],
    "dataset/mine": ["dataset=mine"],
    "executor/mine": ["executor=mine"],
    "experiment/mine": ["experiment=mine"],
    "measure/mine": ["+measure=mine"],
    "model/resnet8": [],  # in the packaged one's place, chosen by nobody
    "config": [],
}


@pytest.fixture(autouse=True)
def _beside_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(place: str, content: bytes) -> None:
    """A file of the user's own."""
    path = Path("conf") / f"{place}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("place", ["optimizer/mine", "experiment/mine"])
def test_each_fault_names_the_file(kind: str, place: str) -> None:
    content, says = FAULTS[kind]
    put(place, content)
    said = refused(*PLACES[place])
    assert said.startswith(f"conf/{place}.yaml") or f"/conf/{place}.yaml, line" in said
    assert says in said


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["latin", "a list", "zeros", "a number"])
def test_whatever_file_it_is(place: str, kind: str) -> None:
    put(place, FAULTS[kind][0])
    assert refused(*PLACES[place]).startswith(f"conf/{place}.yaml")


def test_a_file_that_another_one_names() -> None:
    put("optimizer/mine", b"defaults: [inner, _self_]\n" + GOOD)
    put("optimizer/inner", FAULTS["latin"][0])
    assert refused("optimizer=mine").startswith("conf/optimizer/inner.yaml, line 3: byte 0xe9")


def test_the_one_that_was_chosen_is_named_before_others() -> None:
    put("optimizer/a", FAULTS["latin"][0])
    put("optimizer/mine", FAULTS["latin"][0])
    assert refused("optimizer=mine").startswith("conf/optimizer/mine.yaml")
    assert compose(["optimizer=adam"])


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file(make: object) -> None:
    Path("conf/optimizer").mkdir(parents=True)
    make(Path("conf/optimizer/mine.yaml"))  # type: ignore[operator]
    assert "conf/optimizer/mine.yaml: cannot be read" in refused("optimizer=mine")


def test_a_mark_that_hides_nothing_is_no_fault() -> None:
    put("optimizer/mine", b"\xef\xbb\xbf" + GOOD)
    assert compose(["optimizer=mine"])[0].tree["optimizer"]["lr"] == 0.1


INTERPOLATIONS = {
    "${nope}": "${nope} leads nowhere: there is no key nope; ",
    "${train.epoch}": "did you mean train.epochs?",
    "${a.b.c}": "there is no key a.b.c",
    "${oc.env:NOT_SET_HERE}": "NOT_SET_HERE is not set: set it, or write ${oc.env:NOT_SET_HERE,DEFAULT}",
    "${foo:1}": "there is no resolver foo",
    "${note}": "leads back to itself",
}


@pytest.mark.parametrize("value", INTERPOLATIONS)
@pytest.mark.parametrize("form", ["+note={}", "+note=[1,{}]", "++note={}", "+note.deep={}"])
def test_an_override_that_leads_nowhere_is_named(value: str, form: str) -> None:
    text = form.format(value)
    said = refused("seed=1", text)
    assert said.startswith(f"{text}: ")
    assert INTERPOLATIONS[value] in said


def test_a_circle_names_one_of_its_overrides() -> None:
    assert refused("+a=${b}", "+b=${a}").startswith(("+a=${b}: the inter", "+b=${a}: the inter"))


def test_who_only_follows_is_not_blamed() -> None:
    assert refused("optimizer.lr=${note}", "+note=${nope}").startswith("+note=${nope}: ${nope} leads nowhere")


@pytest.mark.parametrize("place", ["optimizer/mine", "measure/mine", "experiment/mine"])
def test_a_file_that_leads_nowhere_is_named_with_its_key(place: str) -> None:
    put(place, b"# @package _global_\nfoo: ${nope}\n" if place.startswith("exp") else GOOD + b"foo: ${nope}\n")
    key = {"optimizer/mine": "optimizer.foo", "measure/mine": "measure.mine.foo"}.get(place, "foo")
    assert refused(*PLACES[place]).startswith(f"conf/{place}.yaml, {key}=${{nope}}: ${{nope}} leads nowhere")


@pytest.mark.parametrize("text", ["+note=${nope}", '+note="a ${nope}"', "+note=[1,${nope}]", "++note.deep=${nope}"])
def test_the_advice_for_a_plain_text_holds(text: str) -> None:
    said = refused(text)
    advice = said.partition(" (for a text with ${ in it, write ")[2].removesuffix(")")
    (override,) = shlex.split(advice)
    assert "${nope}" in str(compose([override])[0].tree["note"])

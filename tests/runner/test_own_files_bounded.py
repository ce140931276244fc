"""A file of the user's own is read within bounds, whatever stands in it, and every error names it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs import TINY, refused
from shell import in_one_line

from batchlab.runner.line import offered
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.expansion import beyond

SGD = "_target_: torch.optim.SGD\nlr: 0.1\n"
LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
)
LINKS = "x0: xxxxxxxxxx\n" + "".join(f"x{i}: '{f'${{optimizer.x{i - 1}}}' * 10}'\n" for i in range(1, 10))
CHAIN = "x0: 1\n" + "".join(f"x{i}: ${{.x{i - 1}}}\n" for i in range(1, 100))
BAD = {
    "an alias bomb": (SGD + LAUGHS, "stands for more than 200,000 values"),
    "an alias of itself": (SGD + "x: &r [*r]\n", "*r stands within &r itself"),
    "brackets": (SGD + "x: " + "[" * 3000 + "]" * 3000, "is nested deeper than 64 blocks"),
    "open brackets": (SGD + "x: " + "[" * 100_000, "is nested deeper than 64 blocks"),
    "blocks": (SGD + "x: " + "{a: " * 800 + "1" + "}" * 800, "is nested deeper than 64 blocks"),
    "too large": (SGD + "# x\n" * 2_200_000, "has more than 8 MiB"),
    "an interpolation bomb": (SGD + LINKS, "its interpolations stand for more than 1,000,000 letters"),
    "a chain of interpolations": (SGD + CHAIN, "its interpolations lead through more than 32 others"),
    "Python's objects": (SGD + "x: !!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
    "no number": (SGD + "x: !!int abc\n", "not YAML (invalid literal for int()"),
    "a set": (SGD + "x: !!set {a, b}\n", "x is of type set: write a number"),
    "bytes": (SGD + "x: !!binary aGVsbG8=\n", "x is of type bytes"),
    "a number as key": (SGD + "1: 3\n", "the key 1 must be a word"),
    "null as key": (SGD + "null: 3\n", "the key None must be a word"),
    "keys of two kinds": (SGD + "x: {a: 1, 2: 3}\n", "the key 2 must be a word as the others of x are"),
    "a list as key": (SGD + "? [1]\n: 3\n", "unhashable key"),
    "a key twice": (SGD + "lr: 0.2\n", "the key 'lr' stands there twice"),
    "it builds on itself": ("defaults: [mine]\n" + SGD, "lead back to it (optimizer/mine -> optimizer/mine)"),
    "defaults that are no list": ("defaults: 3\n" + SGD, "`defaults` must be a list"),
    "defaults of lists": ("defaults: [[a]]\n" + SGD, "`defaults` must be a list"),
    "defaults of no file": ("defaults: [/no/file]\n" + SGD, "Could not load 'no/file'"),
}


@pytest.fixture(autouse=True)
def _beside_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(place: str, content: str) -> None:
    path = Path("conf") / f"{place}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


@pytest.mark.parametrize("kind", BAD)
def test_the_file_is_named(kind: str) -> None:
    content, says = BAD[kind]
    put("optimizer/mine", content)
    said = refused(*TINY, "optimizer=mine")
    assert said.startswith("conf/optimizer/mine.yaml")
    assert says in said


@pytest.mark.parametrize("kind", ["an alias bomb", "brackets", "it builds on itself"])
def test_also_one_that_another_names_or_that_stands_in_a_packaged_ones_place(kind: str) -> None:
    content, says = BAD[kind]
    put("optimizer/mine", content)
    put("optimizer/outer", "defaults: [mine, _self_]\n")
    assert says in refused(*TINY, "optimizer=outer")
    put("experiment/all", "# @package _global_\ndefaults:\n  - override /optimizer: mine\n")
    assert says in refused(*TINY, "experiment=all")
    assert compose([*TINY, "experiment=all", "optimizer=adam"])  # and what is not read is no matter
    put("optimizer/shb", content.replace("[mine]", "[shb]"))
    assert refused(*TINY).startswith("conf/optimizer/shb.yaml")
    assert compose([*TINY, "optimizer=adam"])


def test_two_files_that_build_on_each_other() -> None:
    put("optimizer/one", "defaults: [other, _self_]\n" + SGD)
    put("optimizer/other", "defaults: [one, _self_]\n")
    said = refused(*TINY, "optimizer=one")
    assert "(optimizer/one -> optimizer/other -> optimizer/one): take one of them out" in said


def test_a_pipe_is_not_waited_for() -> None:
    put("optimizer/other", SGD)
    os.mkfifo("conf/optimizer/mine.yaml")
    assert "cannot be read (it is no file)" in refused(*TINY, "optimizer=mine")


def test_anchors_that_stand_for_little_are_yaml() -> None:
    put("optimizer/mine", "_target_: torch.optim.SGD\nlr: &rate 0.1\nweight_decay: *rate\n")
    assert compose([*TINY, "optimizer=mine"])[0].tree["optimizer"]["weight_decay"] == 0.1


def test_completion_reads_the_same_files_within_the_same_bounds() -> None:
    put("config", BAD["open brackets"][0])  # the C library would end the process
    assert offered.keys() == {}


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("[]{}&*!:,-?|>'\"# \n\tab01~<%@`$\\", max_size=60))
def test_whatever_is_written_is_a_choice_or_is_refused_with_its_file(text: str) -> None:
    put("optimizer/mine", SGD + text)
    said = ""
    try:
        compose([*TINY, "optimizer=mine"])
    except ConfigError as error:
        said = str(error)
    assert "\n" not in said
    assert not said or "mine" in said


def test_interpolations_of_some_size_are_counted_for_what_they_are() -> None:
    assert beyond([("a", "x" * 400_000), ("b", "${a}${a}")]) == ("", "")
    assert beyond([("a", "x" * 400_000), ("b", "${a}${a}${a}")])[0] == "b"
    assert beyond([("m.a", "x" * 600_000), ("m.b", "${.a}"), ("m.c", "${..m.b} ${ m.a }")])[0] == "m.c"
    assert beyond([("m.a", "x" * 600_000), ("b", ["${m}"]), ("c", "${m}${m}")])[0] == "c"
    assert beyond([("a", "${b}"), ("b", "${a}")]) == ("", "")


MODULES = {
    "raises": ("raise RuntimeError('no')", "RuntimeError: no, in {here}/mine.py:1"),
    "syntax": ("\ndef f(:\n", "mine.py, line 2"),
    "exits": ("import sys\nsys.exit(0)", "{here}/mine.py:2 ends the program (sys.exit(0))"),
    "no end": ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded, in {here}/mine.py:1"),
    "a base exception": ("class E(BaseException): ...\nraise E('x')", "E: x, in {here}/mine.py:2"),
    "bytes": ("\0", "null bytes"),
    "an import": ("import no_such_module", "No module named 'no_such_module', in {here}/mine.py:1"),
    "its import": ("from os import nothing", "cannot import name 'nothing' from 'os'"),
    "made, it raises": ("def make(*a, **k): raise RuntimeError('no')", "RuntimeError: no (it was given: "),
    "made, it exits": ("import sys\ndef make(*a, **k): sys.exit(0)", "{here}/mine.py:2 ends the program (sys.exit(0))"),
    "made, it divides": ("def make(*a, **k):\n    return 1 / 0", "in {here}/mine.py:2"),
}
AXES = ("optimizer", "lr_schedule", "batch_schedule", "model", "dataset", "measure", "callback", "executor")


@pytest.mark.parametrize(
    ("axis", "kind"), [("optimizer", kind) for kind in MODULES] + [(axis, "made, it exits") for axis in AXES[1:]]
)
def test_a_module_that_fails_is_named_with_its_line(
    axis: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    content, says = MODULES[kind]
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "mine", None)  # so that it is taken away again
    monkeypatch.delitem(sys.modules, "mine")
    Path("mine.py").write_text(content)
    put(f"{axis}/own", f"_target_: mine.make\n{'lr: 0.1' if axis == 'optimizer' else ''}\n")
    choice = f"{axis}=[own]" if axis in ("measure", "callback") else f"{axis}=own"
    kept = [text for text in TINY if text.split("=")[0] != axis and not text.startswith(f"{axis}.")]
    code, said = in_one_line("sweep", "--dry-run", *kept, choice, monkeypatch=monkeypatch, capfd=capfd)
    assert code == 2
    assert said.startswith(f"batchlab: {axis}=own: ")
    assert says.replace("{here}", str(tmp_path)) in said
    assert kind == "bytes" or "mine.py" in said

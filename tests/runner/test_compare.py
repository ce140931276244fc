"""`batchlab compare`: who the contenders are and what is refused; then real processes, cut off and going on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest
import yaml
from runs import HANGS, PATIENT, TINY, wait_until
from shell import in_process
from typer.testing import CliRunner

from batchlab.results.compare.contest import LABEL, result_of
from batchlab.results.compare.quantities import Quantity
from batchlab.results.compare.smallest import Smallest
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner import cli
from batchlab.runner import compare as module
from batchlab.runner.compare import compare
from batchlab.runner.contenders import TUNING_SEEDS, Compared, planned
from batchlab.runner.options import Deciding, GridOptions, SweepOptions
from batchlab.runner.plan.measured import declared
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.plan.seeds import tunes

TWO = "optimizer=shb,adam"
RATES = "optimizer.lr=0.01,0.1,0.3"


def composed(*overrides: str, tune: tuple[str, ...] = (), metric: str = "test_accuracy") -> Compared:
    keys = {text.partition("=")[0] for text in overrides}
    return planned([*(text for text in TINY if text.partition("=")[0] not in keys), *overrides], tune, metric)


def test_every_combination_is_a_contender() -> None:
    made = composed(TWO, "model.hidden=[8],[16]")
    assert made.contest.contenders == (
        "shb · hidden [8]",
        "shb · hidden [16]",
        "adam · hidden [8]",
        "adam · hidden [16]",
    )
    assert [p.labels[LABEL] for p in made.plans] == list(made.contest.contenders)
    assert [(p.tree["seed"], tunes(p)) for p in made.plans] == [(0, False)] * 4
    assert [str(p.tree["model"]["hidden"]) for p in made.plans] == ["[8]", "[16]"] * 2
    assert (made.contest.keys, made.contest.chooser) == ((), "")
    assert all(not p.tree["dataset"].get("validation") for p in made.plans), (
        "nothing is set apart where nothing is chosen"
    )


def test_all_are_tuned_alike() -> None:
    """Each at every value on the same seeds, of the same configuration as what is judged."""
    made = composed(TWO, tune=(RATES, "optimizer.weight_decay=0,0.1"))
    tuning = [p for p in made.plans if tunes(p)]
    assert made.plans[: len(tuning)] == tuning, "they come first"
    for name in made.contest.contenders:
        own = [p for p in tuning if p.labels[LABEL] == name]
        tried = {(p.tree["optimizer"]["lr"], p.tree["optimizer"]["weight_decay"], p.tree["seed"]) for p in own}
        assert len(own) == len(tried) == 3 * 2 * 2
        assert {seed for *_, seed in tried} == set(TUNING_SEEDS)
        judged = [p for p in made.plans if p.labels[LABEL] == name and not tunes(p)]
        assert [p.tree["seed"] for p in judged] == [0] * 6
        bare = [{key: str(p.tree[key]) for key in p.tree if key != "seed"} for p in (*own, *judged)]
        assert all(bare.count(one) == 3 for one in bare), "two seeds choose, one is judged, nothing else differs"
    assert made.contest.keys == ("optimizer.lr", "optimizer.weight_decay")
    assert made.contest.chooser == "validation_accuracy"


def test_each_contender_has_values_of_its_own_to_choose_from() -> None:
    own = ("optimizer.lr@shb=0.1,0.3", "optimizer.lr@adam=1e-3,3e-3")
    made = composed(TWO, tune=own)
    of = {
        (name, tuning): sorted(
            {p.tree["optimizer"]["lr"] for p in made.plans if (p.labels[LABEL], tunes(p)) == (name, tuning)}
        )
        for name in made.contest.contenders
        for tuning in (True, False)
    }
    assert of == {
        (name, t): rates for name, rates in (("shb", [0.1, 0.3]), ("adam", [1e-3, 3e-3])) for t in (True, False)
    }
    assert made.contest.keys == ("optimizer.lr",)
    assert {p.overrides for p in made.plans if not tunes(p)} == {
        (f"optimizer.lr={lr}",) for lr in (0.1, 0.3, 0.001, 0.003)
    }


def test_drawn_values_are_as_many_for_each() -> None:
    own = ("optimizer.lr@shb=interval(0.1,1)", "optimizer.lr@adam=interval(0.001,0.01)")
    made = planned([TWO, *TINY], own, "test_accuracy", GridOptions(draws=3))
    assert Counter((p.labels[LABEL], tunes(p)) for p in made.plans) == {
        ("shb", True): 6, ("adam", True): 6, ("shb", False): 3, ("adam", False): 3
    }  # fmt: skip


def test_contenders_can_be_zipped_and_left_out() -> None:
    overrides = [TWO, "lr_schedule=cosine,constant", *TINY]
    made = planned(overrides, (), "test_accuracy", GridOptions(zip=["optimizer,lr_schedule"]))
    assert made.contest.contenders == ("shb · cosine", "adam · constant")
    made = planned(overrides, (), "test_accuracy", GridOptions(skip=["optimizer=shb,lr_schedule=cosine"]))
    assert made.contest.contenders == ("shb · constant", "adam · cosine", "adam · constant")


def test_the_request_of_old_has_the_name_that_it_had() -> None:
    """The same command goes on, also from version to version."""
    assert composed(TWO, tune=(RATES,)).digest[:6] == "eca995"
    assert composed(TWO, "model.hidden=[8],[16]").digest[:6] == "c22817"


@pytest.mark.parametrize(("given", "settled"), [((), 0.1), (("dataset.validation=0.2",), 0.2)])
def test_a_validation_split_is_set_apart_once(given: tuple[str, ...], settled: float) -> None:
    made = composed(TWO, *given, tune=(RATES,))
    assert {p.tree["dataset"]["validation"] for p in made.plans} == {settled}


@pytest.mark.parametrize(
    ("metric", "chooser"),
    [
        ("test_accuracy", "validation_accuracy"),
        ("test_loss", "validation_loss"),
        ("train_loss", "train_loss"),
        ("steps_to:test_accuracy>=0.9", "steps_to:validation_accuracy>=0.9"),
    ],
)
def test_what_is_judged_is_not_what_chooses(metric: str, chooser: str) -> None:
    assert composed(TWO, tune=(RATES,), metric=metric).contest.chooser == chooser


OWN = """
from batchlab.runner.measures import Measure, Quantity
class Both(Measure):
    quantities = {name: Quantity("up") for name in ("test_kappa", "validation_kappa", "gain", "validation_gain")}
    def measure(self, probe): ...
class One(Measure):
    quantities = {"kappa": Quantity("up"), "train_kappa": Quantity("up")}
    def measure(self, probe): ...
"""


@pytest.mark.parametrize(
    ("measure", "metric", "chooser"),
    [
        ("Both", "test_kappa", "validation_kappa"),
        ("Both", "gain", "validation_gain"),
        ("Both", "steps_to:gain>=0.5", "steps_to:validation_gain>=0.5"),
        ("One", "kappa", "validation_loss"),
        ("One", "train_kappa", "train_kappa"),
    ],
)
def test_a_measure_of_ones_own_does_not_choose_by_the_test_split(
    measure: str, metric: str, chooser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_kappa.py").write_text(OWN)
    (tmp_path / "conf/measure").mkdir(parents=True)
    (tmp_path / "conf/measure/own.yaml").write_text(f"name: own\n_target_: own_kappa.{measure}\n")
    assert composed(TWO, "+measure=own", tune=(RATES,), metric=metric).contest.chooser == chooser


@pytest.mark.parametrize(
    ("metric", "more", "says"),
    [
        ("test_auc", (), r"nothing measures test_auc: add \+measure=auc$"),
        ("gain", (), r"nothing measures gain: add \+measure=own$"),
        ("full_gradient_norm", (), r"add \+measure=full_gradient_norm$"),
        ("test_acuracy", (), r"nothing measures test_acuracy; did you mean test_accuracy"),
        ("test_f1", (), r"nothing measures test_f1; "),
        ("test_auc", ("+measure=own",), r"add \+measure=auc$"),
        ("test_f1", ("+measure=own",), ""),
        ("min:full_gradient_norm", ("+measure=full_gradient_norm",), ""),
        ("validation_loss", (), ""),
        ("train_loss", ("measure=[]",), ""),
        ("test_loss", ("measure=[]",), r"add \+measure=scores$"),
    ],
)
def test_what_nothing_measures_is_not_judged(
    metric: str, more: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the user's own may give more than it declares."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_kappa.py").write_text(OWN)
    (tmp_path / "conf/measure").mkdir(parents=True)
    (tmp_path / "conf/measure/own.yaml").write_text("name: own\n_target_: own_kappa.Both\n")
    (tmp_path / "conf/measure/broken.yaml").write_text("name: broken\n_target_: own_kappa.Nothing\n")
    if says:
        with pytest.raises(ConfigError, match=says):
            composed(TWO, *more, metric=metric)
    else:
        assert composed(TWO, *more, metric=metric).contest.metric == metric


def test_the_usual_smallest_effects() -> None:
    assert composed(TWO).usual == Smallest(0.5)
    assert composed(TWO, metric="test_loss").usual == Smallest(), "of a loss in its own unit only the user knows"
    assert composed(TWO, metric="train_loss").usual == Smallest(share=0.05)


REFUSED = {
    "one contender": (["optimizer=shb"], "one contender: give an axis several values"),
    "none at all": ([], "one contender"),
    "a seed": ([TWO, "seed=3"], "seeds come in looks here"),
    "seeds": ([TWO, "seed=1,2"], "seeds come in looks here"),
    "tuned and compared": ([TWO, "optimizer.lr=0.1,0.2", "--tune", RATES], "--tune optimizer.lr: give it once"),
    "tuned and set": ([TWO, "+optimizer.lr=0.1", "--tune", RATES], "--tune optimizer.lr: give it once"),
    "tuned twice": ([TWO, "--tune", RATES, "--tune", RATES], "--tune optimizer.lr: give it once"),
    "unequal budgets": (
        [TWO, "--tune", "optimizer.lr@shb=0.1,0.3", "--tune", "optimizer.lr@adam=1e-3,3e-3,1e-2"],
        "a fair choice is from as many values for each contender: shb 2, adam 3",
    ),
    "an untuned contender": ([TWO, "--tune", "optimizer.lr@shb=0.1,0.3"], "shb 2, adam 1"),
    "tuned twice for one": (
        [TWO, "--tune", "optimizer.lr@shb=0.1,0.3", "--tune", "optimizer.lr@shb=1,2"],
        "--tune optimizer.lr: give it once",
    ),
    "an interval": ([TWO, "--tune", "optimizer.lr=interval(0.1,1)"], "--draws N, of sweep and compare"),
    "a choice": (["model=mlp,linear", "--tune", TWO], "--tune optimizer: give it once"),
    "tuned seeds": ([TWO, "--tune", "seed=1,2"], "--tune seed: give it once"),
    "one value": ([TWO, "--tune", "optimizer.lr=0.1"], "it takes KEY=VALUE,VALUE"),
    "no key": ([TWO, "--tune", "=0.1,0.2"], "it takes KEY=VALUE,VALUE"),
    "no direction": ([TWO, "--metric", "batch_size"], "nothing says whether more of it is better or less"),
    "no metric": ([TWO, "--metric", "most:test_accuracy"], "metric"),
    "unknown choice": (["optimizer=shb,adm"], "did you mean adam"),
    "unknown key": ([TWO, "--tune", "optimizer.rate=1,2"], "optimizer.rate"),
    "no effect": ([TWO, "--smallest", "little"], "a smallest effect of little"),
    "no name": ([TWO, "--name", "a/b"], "a sweep's name is"),
    "what cannot work": ([TWO, "batch_schedule.size=100000"], "larger than the training set"),
}


@pytest.mark.parametrize(("arguments", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_in_one_line(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("batchlab.runner.launch.executors.local.LocalExecutor.warm_up", lambda self, *_: None)
    runs = tmp_path / "runs"
    tiny = [text for text in TINY if not ("model=" in text and "model=mlp,linear" in arguments)]
    tiny = [text for text in tiny if "model.hidden" not in text]
    code, _, said = in_process("compare", *tiny, *arguments, "--runs", str(runs), monkeypatch=monkeypatch, capfd=capfd)
    assert code == 2
    assert says in said
    *before, last = said.splitlines()
    assert last.startswith("batchlab: ")
    assert before in ([], ["checking 2 runs ..."]), said
    assert not list(runs.glob("*/run.json")), "nothing was started"
    assert not list(runs.glob(".plans/*")), "and nothing declared, so that the mended request can have the name"


@pytest.mark.parametrize("flag", [["--max-seeds", "9"], ["--max-minutes", "1"], ["--smallest", "0.5"]])
def test_flags_that_go_with_until_decided(
    flag: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = in_process("reproduce", "vrgd", *flag, monkeypatch=monkeypatch, capfd=capfd)
    said = out + err
    assert (code, said.count("\n")) == (2, 1)
    assert "go with --until-decided" in said


def test_fewer_than_three_seeds_are_no_look() -> None:
    for command in (["compare", TWO], ["reproduce", "vrgd", "--until-decided"]):
        assert CliRunner().invoke(cli.app, [*command, "--max-seeds", "2"]).exit_code == 2


def sweep_of(
    made: Compared, name: str | None, monkeypatch: pytest.MonkeyPatch, runs: Path
) -> tuple[str, dict[str, object]]:
    """The name that the engine is given, and what is kept beside the plan."""
    asked: list[object] = []

    class Enough(Exception):
        """Nothing after the question is of interest."""

    def decided(question: object, *_: object) -> int:
        asked.append(question)
        raise Enough

    monkeypatch.setattr(module, "decided", decided)
    with pytest.raises(Enough):
        compare(made, runs, SweepOptions(), Deciding(), name)
    (question,) = asked
    return question.sweep, question.record  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_same_request_is_the_same_sweep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever is another question has another name; under one given name it is told by its record."""

    def name(
        *overrides: str, metric: str = "test_accuracy", tune: tuple[str, ...] = (RATES,), given: str | None = None
    ):  # type: ignore[no-untyped-def]
        return sweep_of(composed(*overrides, tune=tune, metric=metric), given, monkeypatch, tmp_path)

    first, record = name(TWO)
    assert re.fullmatch(r"compare-[0-9a-f]{6}", first)
    assert name(TWO) == (first, record)
    assert name(TWO, "train.device=auto", given="mine") == ("mine", record)
    others = [name(TWO, "train.epochs=2"), name(TWO, metric="test_loss"), name(TWO, tune=("optimizer.lr=0.01,0.1",))]
    assert len({first, *(sweep for sweep, _ in others)}) == 4
    assert all(other != record for _, other in others)


def test_contenders_keep_the_names_that_they_were_declared_with() -> None:
    """Numbers in them were once written otherwise: the comparison goes on."""
    made = composed("optimizer.lr=1e-5,1000000.0", tune=("optimizer.weight_decay=0,0.1",))
    assert made.contest.contenders == ("lr 1e-5", "lr 1e6")
    declared = made.question("mine").record
    assert made.called(None) is made
    assert made.called(declared | {"asked": "something else"}) is made
    old = {"1e-5": "1e-05", "1e6": "1000000.0"}
    declared["contest"] |= {"contenders": [f"lr {text}" for text in old.values()]}
    called = made.called(declared)
    assert called.contest.contenders == ("lr 1e-05", "lr 1000000.0")
    assert [p.labels[LABEL] for p in called.plans] == [
        f"lr {old[str(p.labels[LABEL]).removeprefix('lr ')]}" for p in made.plans
    ]
    assert (called.digest, called.contest.chooser) == (made.digest, made.contest.chooser)


def test_dry_run_counts_and_starts_nothing(tmp_path: Path) -> None:
    arguments = [
        "compare",
        *TINY,
        TWO,
        "--tune",
        RATES,
        "--max-seeds",
        "10",
        "--dry-run",
        "--runs",
        str(tmp_path / "runs"),
    ]
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[:2] == ["shb", "adam"]
    counts = "looks at 3, 5, 8, 10 seeds, smallest effect 0.5: 18 to 32 runs, of which 12 choose optimizer.lr"
    assert lines[2] == counts
    assert re.match(r"about \d.* to \d.*, .* at a time: from 20 steps of 1 model, just tried", lines[3])
    assert lines[-1] == "all valid; nothing was started"
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_dry_run_says_what_is_done_already(tmp_path: Path) -> None:
    def dry() -> str:
        done = CliRunner().invoke(
            cli.app, ["compare", *TINY, TWO, "--max-seeds", "3", "--dry-run", "--runs", str(tmp_path)]
        )
        assert done.exit_code == 0, done.output
        return done.output

    store = RunStore(tmp_path).prepare()
    ids = [one.run_id for one in composed(TWO).question("x").at((0, 1, 2))]
    for run_id in ids[:4]:
        store.run(run_id).create().write_state(state="done", sealed={})
    said = dry()
    assert "6 runs" in said
    assert said.splitlines()[-1] == "all valid: 4 done already, 2 to go; nothing was started"
    for run_id in ids:
        store.run(run_id).create().write_state(state="done", sealed={})
    said = dry()
    assert said.splitlines()[-1] == "all valid: 6 done already, 0 to go; nothing was started"
    assert "about" not in said, "no time for nothing"


SMALL = ("dataset=breast_cancer", "model=mlp", "model.hidden=[8]", "train.epochs=20", "train.device=cpu")
ASKED = (*SMALL, TWO, "--tune", "optimizer.lr=0.0001,0.01", "--max-seeds", "5")


def command(runs: Path) -> list[str]:
    start = [sys.executable, "-c", "from batchlab.runner.cli import main; main()"]
    return [*start, "compare", *ASKED, "--fuse", "off", "--runs", str(runs)]


def page(runs: Path) -> list[str]:
    """What a comparison that goes to its end prints below its progress, without what depends on the clock."""
    done = subprocess.run(command(runs), capture_output=True, text=True, timeout=HANGS)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = []
    for line in done.stdout[done.stdout.index("2 contenders by") :].splitlines():
        words = re.sub(r"(\d+ (h|min|s) )+more", "", line).split()
        if words and words[0].lstrip("*") in ("shb", "adam") and "against" not in words and "has" not in words:
            words = words[:-1]  # seconds
        if "seconds" not in words and "─" not in line:
            lines.append(" ".join(words))
    assert any(line.lstrip("*").startswith("shb") for line in lines)
    return lines


def judged_states(store: RunStore) -> list[State]:
    """Of the runs that judge: those that tune are of later seeds."""
    runs = [run for run in store.runs() if run.config.exists()]
    seeds = {run.run_id: yaml.safe_load(run.config.read_text())["seed"] for run in runs}
    return [run.read_state().state for run in runs if seeds[run.run_id] < min(TUNING_SEEDS)]


@pytest.mark.slow
def test_ctrl_c_and_the_same_command_again_end_in_the_same_page(tmp_path: Path) -> None:
    """SIGINT while seeds are judged: 130 and a page of what is there; then it goes on as if nothing had been."""
    (tmp_path / "patient").mkdir()
    (tmp_path / "patient" / "sitecustomize.py").write_text(PATIENT)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "patient")}
    whole, cut = RunStore(tmp_path / "whole"), RunStore(tmp_path / "cut")
    undisturbed = page(whole.root)
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(command(cut.root), stdout=said, start_new_session=True, env=environment)
        wait_until(lambda: process.poll() is not None or {State.DONE, State.RUNNING} <= set(judged_states(cut)))
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(HANGS) == 130, (tmp_path / "said").read_text()
    assert "2 contenders by" in (tmp_path / "said").read_text()
    (sweep,) = cut.sweeps()
    declared = cut.plan(sweep)
    assert set(judged_states(cut)) - {State.DONE}, "it was in the middle"
    assert page(cut.root) == undisturbed
    assert cut.plan(sweep) == declared, "declared once, before the first look"
    assert whole.sweeps() == [sweep]
    found = [result_of(store, sweep) for store in (cut, whole)]
    told = [[repr((j.verdict, j.p_holm, j.level, j.comparisons)) for j in r.judged] for r in found if r]
    assert told[0] == told[1]
    assert [e.run_id for e in cut.sweep(sweep).entries] == [e.run_id for e in whole.sweep(sweep).entries]
    assert set(judged_states(cut)) == {State.DONE}
    dry = subprocess.run([*command(cut.root), "--dry-run"], capture_output=True, text=True, timeout=HANGS).stdout
    assert re.search(r"all valid: \d+ done already, 0 to go; nothing was started", dry), dry
    assert "declared " in dry


class Confident:
    """A measure of one's own, as far as its declaration goes."""

    quantities: ClassVar = {"confidence": Quantity("up", "mean confidence", "%", 100)}


def test_a_metric_that_a_measure_of_ones_own_declares() -> None:
    node = {"name": "mine", "_target_": f"{__name__}.Confident"}
    assert declared([{"measure": {"mine": node}}])["confidence"].better == "up"

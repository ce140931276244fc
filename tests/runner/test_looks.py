"""The engine that buys seeds: which runs it asks for, when it ends, and that a plan once declared stands.

Nothing is trained: runs are written by the real recorder with what a table says of them, and judged by the real rule.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from batchlab.results.compare.claims import Claim, Judged, Ruled, Side, Verdict
from batchlab.results.compare.decide import Plan, decide
from batchlab.results.compare.frame import Frame
from batchlab.results.compare.judge import judge
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.smallest import Smallest
from batchlab.results.compare.tuning import judged as judged_runs
from batchlab.results.compare.tuning import tuned
from batchlab.results.store.record import Recorder
from batchlab.results.store.run import FINISHED, State
from batchlab.results.store.runs import UNASKED, Asked, RunStore
from batchlab.runner.looks import Question, declare, describe, missing, until_decided
from batchlab.runner.options import Deciding, SweepOptions
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.identity import run_id
from batchlab.runner.plan.seeds import tunes
from batchlab.runner.scheduler import Report
from batchlab.runner.sweep import freeze

Bought = list[tuple[str, int]]
NOISE = [0.0011, -0.0007, 0.0002, -0.0013, 0.0009, 0.0004, -0.0012, 0.0006]
LEVELS = {"good": 0.9, "same": 0.9, "poor": 0.8, "wild": 0.9}
SPREAD = {"good": 1.0, "same": 0.8, "poor": -1.0, "wild": 40.0}


def run(method: str, seed: int, rate: float | None = None, *, tuning: bool = False) -> Planned:
    optimizer = {"name": method} | ({} if rate is None else {"lr": rate})
    tree: dict[str, Any] = {"optimizer": optimizer, "seed": seed, "nproc": 1}
    return Planned(run_id(tree), tree, (f"optimizer={method}",), {"tuning": True} if tuning else {})


def accuracy(planned: Planned) -> float:
    name, seed = planned.tree["optimizer"]["name"], planned.tree["seed"]
    return LEVELS[name] + SPREAD[name] * NOISE[seed % 8]


class Trained:
    """In place of `Training`: a run is over at once, in the state that `ends` says, and every batch is remembered."""

    def __init__(self, root: Path, ends: Callable[[Planned], str] = lambda _: "done", *, retry: bool = False) -> None:
        self.store = RunStore(root).prepare()
        self.options = SweepOptions(retry=retry)
        self.ends = ends
        self.batches: list[Bought] = []
        self.deadlines: list[float] = []
        self.value = accuracy
        self.halts = False

    @property
    def bought(self) -> Counter[tuple[str, int]]:
        return Counter(item for batch in self.batches for item in batch)

    def left(self, plans: Sequence[Planned]) -> list[Planned]:
        return [p for p in plans if self.store.run(p.run_id).read_state().state not in FINISHED]

    def train(
        self,
        plans: Sequence[Planned],
        name: str,
        among: Sequence[Planned] = (),
        deadline: float = math.inf,
        *,
        notes: Sequence[str] = (),
        asked: Asked = UNASKED,
    ) -> Report:
        freeze(self.store, name, plans, among, notes=notes, asked=asked)
        self.deadlines.append(deadline)
        self.batches.append([])
        report = Report()
        for planned in self.left(plans):
            if self.store.run(planned.run_id).read_state().state is State.FAILED and not self.options.retry:
                continue
            self.batches[-1].append((planned.tree["optimizer"]["name"], planned.tree["seed"]))
            ended = self.write(planned)
            report.states[ended] += 1
            if ended is State.INTERRUPTED:
                report.interrupted = report.halted = True
                break
        report.halted |= self.halts
        return report

    def write(self, planned: Planned) -> State:
        run, state = self.store.run(planned.run_id), self.ends(planned)
        run.write_config(yaml.safe_dump(planned.tree))
        run.write_state(state="running")  # nobody holds it: whoever stops here has crashed
        if state == "done":
            axes = {"optimizer": planned.tree["optimizer"]["name"], "seed": planned.tree["seed"], "run_id": run.run_id}
            with Recorder(run) as recorder:
                value = self.value(planned)
                recorder.write("metrics", {"epoch": 1.0, "test_accuracy": value, "validation_accuracy": value})
                recorder.seal(axes, planned.tree)
        if state != "crashed":
            run.write_state(state=state)
        return run.read_state().state


def claims(*pairs: tuple[str, str]) -> list[Claim]:
    metric = Metric("test_accuracy")
    return [
        Claim(f"{a} beats {b}", "", "ours", Side(a, {"optimizer": a}), (Side(b, {"optimizer": b}),), metric)
        for a, b in pairs
    ]


def question(*pairs: tuple[str, str], plans: Sequence[Planned] = (), **record: Any) -> Question:
    methods = dict.fromkeys(name for pair in pairs for name in pair)
    plans = list(plans) or [run(name, 0) for name in methods]
    return Question("s", plans, lambda frame: judge(judged_runs(frame), claims(*pairs)), record)


HALF = Smallest(difference=0.5)
EIGHT = Deciding(8, None, ["0.5"])


def go(training: Trained, asked: Question, deadline: float = math.inf) -> tuple[list[Judged], Report, list[Any]]:
    """Declare and go on as the command does; what was shown is kept."""
    plan, _ = declare(training.store, asked, EIGHT, Smallest())
    shown: list[Any] = []
    judged, report = until_decided(training, asked, plan, shown.append, deadline)  # type: ignore[arg-type]
    return judged, report, shown


def seeds_of(training: Trained, method: str) -> list[int]:
    return sorted(seed for name, seed in training.bought if name == method)


def test_only_open_claims_get_more_seeds(tmp_path: Path) -> None:
    """Three pairs apart at the first look, two not: what is only in decided ones stays at 3 seeds."""
    training, asked = Trained(tmp_path), question(("good", "poor"), ("good", "wild"), ("good", "same"))
    judged, report, shown = go(training, asked)
    assert [item.verdict for item in judged] == [Verdict.HOLDS, Verdict.UNDECIDED, Verdict.NO_DIFFERENCE]
    assert [item.ruling.look for item in judged if item.ruling] == [0, 2, 0]
    assert seeds_of(training, "poor") == seeds_of(training, "same") == [0, 1, 2]
    assert seeds_of(training, "good") == seeds_of(training, "wild") == list(range(8))
    assert [len(batch) for batch in training.batches] == [12, 4, 6], "look by look; no runs tune"
    assert max(training.bought.values()) == 1
    assert [len(one) for one in shown] == [3] * 4, "before the first look and after each"
    assert report.exit_code == 0
    assert not missing(judged)


def test_the_earliest_look_comes_first() -> None:
    """Open claims of one family go from look to look together, or a later one would be ruled without the others."""
    (claim,) = claims(("good", "poor"))

    def needs(look: int | None, *names: str) -> Judged:
        ruling = Ruled(look, (3, 5, 8), missing=frozenset(names))
        return Judged(claim, [], math.nan, math.nan, Verdict.UNDECIDED, "", ruling=ruling)

    behind = [needs(1, "a"), needs(None, "b"), needs(0, "c"), needs(None, "d"), needs(2)]
    assert missing(behind) == {"b", "d"}
    assert missing(behind[::2]) == {"c"}
    assert missing([needs(2), Judged(claim, [], math.nan, math.nan, Verdict.UNDECIDED, "")]) == frozenset()


def test_it_ends_where_all_is_decided(tmp_path: Path) -> None:
    training = Trained(tmp_path)
    judged, _, _ = go(training, question(("good", "poor")))
    assert judged[0].verdict is Verdict.HOLDS
    assert len(training.bought) == 6
    go(training, question(("good", "poor")))
    assert sum(training.bought.values()) == 6, "the same command again trains nothing"


class Edited(Trained):
    """`stale` runs are over, and have to be trained anew."""

    stale: frozenset[str] = frozenset()

    def left(self, plans: Sequence[Planned]) -> list[Planned]:
        return [p for p in plans if p.run_id in self.stale or p in super(Edited, self).left([p])]

    def write(self, planned: Planned) -> State:
        self.stale -= {planned.run_id}
        return super().write(planned)


def test_no_verdict_is_made_of_stale_runs(tmp_path: Path) -> None:
    """Runs that are judged are trained anew too where their code changed, before anything is shown."""
    training, asked = Edited(tmp_path), question(("good", "poor"))
    go(training, asked)
    poor = [run("poor", seed).run_id for seed in range(3)]
    training.stale, training.value = frozenset(poor), lambda planned: 0.99
    judged, _, _ = go(training, asked)
    assert not training.stale
    assert sorted(training.bought.values()) == [1, 1, 1, 2, 2, 2]
    assert judged[0].verdict is not Verdict.HOLDS


def test_the_standing_is_what_the_store_says(tmp_path: Path) -> None:
    """At the end and after every stop: the runs and the plan alone give the same verdicts."""
    training, asked = Trained(tmp_path), question(("good", "wild"), ("good", "poor"))
    plan, _ = declare(training.store, asked, EIGHT, Smallest())
    stages: list[list[Judged]] = []

    def show(judged: list[Judged]) -> None:
        again = decide(load(training.store, "s"), asked.measure, Plan.of(training.store.plan("s") or {}))
        if training.bought:
            told = [[(j.verdict, j.p_holm, j.ruling and j.ruling.look) for j in items] for items in (judged, again)]
            assert repr(told[0]) == repr(told[1])
        stages.append(again)

    until_decided(training, asked, plan, show)  # type: ignore[arg-type]
    assert len(stages) == 4
    assert {entry.run_id for entry in training.store.sweep("s").entries} == {r.run_id for r in training.store.runs()}


def test_what_another_sweep_trained_is_used(tmp_path: Path) -> None:
    training, asked = Trained(tmp_path), question(("good", "poor"))
    for seed in range(3):
        training.write(run("good", seed))
    plan, said = declare(training.store, asked, EIGHT, Smallest())
    assert plan.seen == 3
    assert said.endswith("3 of its runs were done already")
    judged, _, _ = go(training, asked)
    assert judged[0].verdict is Verdict.HOLDS
    assert seeds_of(training, "good") == []
    assert len(training.store.sweep("s").entries) == 6, "and is in the sweep"


def test_an_interrupted_run_ends_it_and_the_same_command_goes_on(tmp_path: Path) -> None:
    cut = [("wild", 4)]
    training = Trained(tmp_path, lambda p: "interrupted" if (name_of(p), p.tree["seed"]) in cut else "done")
    asked = question(("good", "wild"))
    judged, report, _ = go(training, asked)
    assert report.exit_code == 130
    assert (judged[0].verdict, judged[0].seeds) == (Verdict.UNDECIDED, 3), "half a look is not looked at"
    assert judged[0].ruling
    assert judged[0].ruling.missing == {run("wild", 4).run_id}
    cut.clear()
    after, report, _ = go(training, asked)
    whole = Trained(tmp_path / "whole")
    undisturbed, _, _ = go(whole, asked)
    assert report.exit_code == 0
    assert training.bought - whole.bought == Counter({("wild", 4): 1}), "only what was cut off is begun again"
    assert [repr((j.verdict, j.p, j.ruling)) for j in after] == [repr((j.verdict, j.p, j.ruling)) for j in undisturbed]


def name_of(planned: Planned) -> str:
    return str(planned.tree["optimizer"]["name"])


def test_a_run_that_always_crashes_does_not_loop(tmp_path: Path) -> None:
    """It is tried once more in a command at most, and the page says that its look has not come."""
    training = Trained(tmp_path, lambda p: "crashed" if (name_of(p), p.tree["seed"]) == ("good", 1) else "done")
    judged, report, _ = go(training, question(("good", "poor")))
    assert training.bought["good", 1] == 2
    assert report.exit_code == 1
    assert judged[0].ruling
    assert (judged[0].verdict, judged[0].ruling.look, judged[0].ruling.open) == (Verdict.UNDECIDED, None, True)
    go(training, question(("good", "poor")))
    assert training.bought["good", 1] == 3
    assert training.bought["poor", 1] == 1


def test_failed_runs_are_outcomes_until_they_are_asked_for_again(tmp_path: Path) -> None:
    broken = {("good", seed) for seed in range(8)}
    ends = lambda p: "failed" if (name_of(p), p.tree["seed"]) in broken else "done"  # noqa: E731
    training, asked = Trained(tmp_path, ends), question(("good", "poor"))
    judged, _, _ = go(training, asked)
    assert judged[0].verdict is Verdict.DOES_NOT_HOLD, "eight of eight lost"
    assert sum(training.bought.values()) == 16
    broken.clear()
    go(training, asked)
    assert sum(training.bought.values()) == 16, "not without --retry"
    again = Trained(tmp_path, ends, retry=True)
    judged, _, _ = go(again, asked)
    assert again.bought == Counter({("good", seed): 1 for seed in range(8)})
    assert judged[0].verdict is Verdict.HOLDS


def test_a_deadline_is_handed_on_and_ends_it(tmp_path: Path) -> None:
    training, asked = Trained(tmp_path), question(("good", "wild"))
    training.halts = True
    go(training, question(("good", "wild"), plans=[*asked.plans, run("good", 101, tuning=True)]), 123.0)
    assert training.batches == [[("good", 101)]], "over while it tuned: no seed was begun"
    assert training.deadlines == [123.0]
    training.halts = False
    go(training, asked, 456.0)
    assert training.deadlines[1:] == [456.0] * 3


RATES = (0.1, 0.3)


def grid(*methods: str) -> list[Planned]:
    tuning = [run(m, seed, rate, tuning=True) for m in methods for rate in RATES for seed in (101, 102)]
    return tuning + [run(m, 0, rate) for m in methods for rate in RATES]


def at_best(frame: Frame) -> Frame:
    return tuned(frame, Metric("validation_accuracy"), "optimizer.lr", ["optimizer"]).frame


def tuned_question() -> Question:
    return Question("s", grid("good", "wild"), lambda frame: judge(at_best(frame), claims(("good", "wild"))))


def rates_of(training: Trained) -> set[tuple[str, float]]:
    """Of the judged runs."""
    configs = [yaml.safe_load(r.config.read_text()) for r in training.store.runs()]
    return {(c["optimizer"]["name"], c["optimizer"]["lr"]) for c in configs if c["seed"] < 100}


def at_rates(planned: Planned) -> float:
    """Good is better at 0.1, wild at 0.3."""
    best = {"good": 0.1, "wild": 0.3}[name_of(planned)]
    return accuracy(planned) - (0.3 if planned.tree["optimizer"]["lr"] != best else 0.0)


def test_of_a_tuned_grid_only_the_chosen_values_get_seeds(tmp_path: Path) -> None:
    training = Trained(tmp_path)
    training.value = at_rates
    judged, _, _ = go(training, tuned_question())
    assert rates_of(training) == {("good", 0.1), ("wild", 0.3)}
    assert [len(batch) for batch in training.batches] == [8, 6, 4, 6]
    assert {seed for _, seed in training.batches[0]} == {101, 102}
    assert {int(str(r.value("seed"))) for r in judged[0].runs} == set(range(8)), "seeds that tune are judged in nothing"


@pytest.mark.parametrize("state", ["crashed", "interrupted"])
def test_nothing_is_judged_while_a_run_that_tunes_is_not_over(tmp_path: Path, state: str) -> None:
    """It could still turn the choice, after runs at another value were seen."""
    broken = [("wild", 102)]
    training = Trained(tmp_path, lambda p: state if (name_of(p), p.tree["seed"]) in broken else "done")
    training.value = at_rates
    judged, report, _ = go(training, tuned_question())
    assert report.exit_code != 0
    assert rates_of(training) == set()
    assert judged[0].verdict is Verdict.UNDECIDED
    broken.clear()
    go(training, tuned_question())
    assert rates_of(training) == {("good", 0.1), ("wild", 0.3)}


def test_a_value_that_fails_where_it_is_tuned_is_not_chosen(tmp_path: Path) -> None:
    training = Trained(tmp_path, lambda p: "failed" if tunes(p) and p.tree["optimizer"]["lr"] == RATES[0] else "done")
    training.value = at_rates
    go(training, tuned_question())
    assert rates_of(training) == {("good", 0.3), ("wild", 0.3)}


def test_a_plan_that_was_declared_stands(tmp_path: Path) -> None:
    """Other looks or effects later are said to be other, and are not used; the same, or none, are not mentioned."""
    store, asked = RunStore(tmp_path).prepare(), question(("good", "poor"), contest={"metric": "test_accuracy"})
    first, said = declare(store, asked, EIGHT, Smallest())
    assert said == "declared: looks at 3, 5, 8 seeds, smallest effect 0.5"
    assert first.declared
    assert first.seeds == tuple(range(8))
    written = store.plan("s")
    for same in (EIGHT, Deciding(), Deciding(max_seeds=8), Deciding(smallest=["0.50"]), Deciding(max_minutes=3.0)):
        again, said = declare(store, asked, same, Smallest(share=0.05))
        assert again == first
        assert said == f"declared {first.declared}, before the first look: {describe(first)}"
    for other in (Deciding(max_seeds=12), Deciding(smallest=["1"]), Deciding(smallest=["0.5", "5%"])):
        again, said = declare(store, asked, other, Smallest())
        assert again == first
        assert "this stands, not what was asked for now (looks at" in said
        assert "\n" not in said
    assert store.plan("s") == written
    with pytest.raises(FileExistsError, match="what was declared stands"):
        store.declare("s", {})
    assert store.plan("s") == written


def test_a_sweep_of_this_name_that_asks_something_else(tmp_path: Path) -> None:
    store = RunStore(tmp_path).prepare()
    declare(store, question(("good", "poor"), contest={"keys": ("a", "b")}), EIGHT, Smallest())
    declare(store, question(("good", "poor"), contest={"keys": ["a", "b"]}), EIGHT, Smallest())
    with pytest.raises(ValueError, match=r"asks something else .*: give this one another --name"):
        declare(store, question(("good", "poor"), contest={"keys": ["a"]}), EIGHT, Smallest())


def test_the_usual_plan(tmp_path: Path) -> None:
    plan, _ = declare(RunStore(tmp_path).prepare(), question(("good", "poor")), Deciding(), Smallest(share=0.05))
    assert plan.looks.seeds == (3, 5, 8, 12, 20)
    assert plan.smallest == Smallest(share=0.05)
    with pytest.raises(ValueError, match="a smallest effect of much"):
        declare(RunStore(tmp_path / "other").prepare(), question(("good", "poor")), Deciding(smallest=["much"]), HALF)
    assert RunStore(tmp_path / "other").plan("s") is None


def test_a_damaged_plan_is_not_replaced_in_silence(tmp_path: Path) -> None:
    store = RunStore(tmp_path).prepare()
    assert store.plan("s") is None
    store.declare("s", {"looks": [3]})
    assert store.plan("s") == {"looks": [3]}
    with pytest.raises(ValueError, match="the plan of looks is damaged"):
        declare(store, question(("good", "poor")), EIGHT, Smallest())
    (tmp_path / ".plans" / "s.json").write_text("{")
    with pytest.raises(ValueError, match="delete it to declare another plan, and say so"):
        store.plan("s")
    with pytest.raises(ValueError, match="a sweep's name is"):
        store.declare("../s", {})

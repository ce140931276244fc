"""The comparison across the papers: rankings, costs and the answer, from runs whose truth is known."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import stdtr

from batchlab.results.compare.claims import Verdict
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.stats import holm, paired_test
from batchlab.results.papers.catalogue import build, known_papers, reproduce
from batchlab.results.papers.crossing_answer import answer, brief_sheet
from batchlab.results.papers.crossing_costs import Costs
from batchlab.results.papers.crossing_readings import READINGS, Standing, standings
from batchlab.results.papers.crossing_sheets import ranking_sheet
from batchlab.results.report.glance import sentences
from batchlab.results.report.parts import Parts
from batchlab.results.report.sections import of_paper
from batchlab.results.show.render import FORMATS, render
from batchlab.results.store.run import State
from batchlab.results.store.runs import SweepEntry

PROBLEMS = {"digits": 0.8, "a9a": 0.7}
BATCHES = ("constant", "growing")
LEVELS = {"shb": 0.90, "adamw": 0.86, "lamb": 0.80}
EVALUATIONS = 10


def rows(level, noise, step=10):
    """Accuracies that rise to a level, and every clock."""
    return [
        {
            "samples": 100 * i, "steps": step * i, "gradients": 100 * i, "train_seconds": 0.1 * i,
            "test_accuracy": (level + noise) * (1 - 0.5**i), "validation_accuracy": level * (1 - 0.5**i),
            "validation_loss": 1 - level,
        }
        for i in range(EVALUATIONS + 1)
    ]  # fmt: skip


def book(seeds=6, info=None):
    """Contenders far apart; the higher learning rate is the worse one in the tuning runs, and in those only."""
    generator, runs, table = np.random.default_rng(0), [], []
    for problem, ease in PROBLEMS.items():
        for batches, optimizer, lr, seed in itertools.product(BATCHES, LEVELS, (0.1, 0.3), (*range(seeds), 101, 102)):
            tuning = seed > 100
            level = LEVELS[optimizer] * (1 - (1 - ease) / 10) - (0.1 if tuning and lr == 0.3 else 0.0)
            own = rows(level, 0.001 * generator.normal(), 10 if batches == "constant" else 3)
            labels = {"problem": problem, "target": 0.75, "batches": batches} | ({"tuning": True} if tuning else {})
            config = {"optimizer": {"name": optimizer, "lr": lr}, "seed": seed}
            place = slice(len(table), len(table) + len(own))
            runs.append(RunRow(f"r{len(runs)}", State.DONE, None, info or {}, config, labels, {}, place))
            table += own
    return Frame(runs, pa.Table.from_pylist(table), frozenset(table[0]), [], ordered=True)


@pytest.fixture(scope="module")
def made():
    return build("crossing", book())


def test_it_is_found_beside_the_papers_and_says_that_it_is_none(made):
    assert "crossing" in known_papers()
    assert "no paper" in made.reference
    assert made.published == []


def test_the_order_is_the_true_one_with_groups(made):
    found = {(one.kind, one.reading.name): one for one in made.standings()}
    optimizers = found["optimizer", "all samples"]
    assert optimizers.order == ["SHB", "AdamW", "LAMB"]
    assert optimizers.groups == {"SHB": "a", "AdamW": "b", "LAMB": "c"}
    batches = found["batches", "all samples"]
    assert set(batches.groups.values()) == {"a"}, "equal batch schedules are not told apart"
    contenders = found["contender", "all samples"]
    assert [name.partition(" ·")[0] for name in contenders.order] == ["SHB", "SHB", "AdamW", "AdamW", "LAMB", "LAMB"]
    for name in contenders.names:
        assert len(contenders.values(name)) == 6, "n counts seeds, not problems"
    one = contenders.values("SHB · constant")
    assert np.mean(one) == pytest.approx(0.9 * (1 - 0.025) * (1 - 0.5**10), abs=0.002)
    tenth = found["contender", "a tenth of them"].values("SHB · constant")
    assert np.mean(tenth) == pytest.approx(np.mean(one) / 2, rel=0.01), "one evaluation of ten: half the way"


def test_seeds_that_choose_judge_nothing(made):
    assert made.choice.seeds == [101, 102]
    assert set(made.choice.chosen.values()) == {0.1}
    for standing in made.asked:
        assert {run.value("seed") for run in standing.frame.runs} == set(range(6))
    for item in made.claims:
        assert {run.value("seed") for run in item.runs} == set(range(6))
        assert item.seeds == 6


def test_every_pair_is_a_claim_of_its_family(made):
    groups = {item.group: item.family for item in made.claims}
    assert groups == {
        "contenders, all samples": 15, "optimizers, all samples": 3, "batch schedules, all samples": 1,
        "contenders, a tenth of them": 15, "optimizers, a tenth of them": 3, "batch schedules, a tenth of them": 1,
        "optimizers, equal steps": 3, "batch schedules, equal steps": 1,
        "optimizers, equal time": 3, "batch schedules, equal time": 1,
    }  # fmt: skip
    (steps,) = [item for item in made.claims if item.group == "batch schedules, equal steps"]
    assert (steps.claim.better.label, steps.verdict) == ("constant", Verdict.DOES_NOT_HOLD), "30 of its 100 steps"


def test_the_cost_of_the_target_by_hand(made):
    """0.75 of 0.88 is there after 3 evaluations of SHB, of 0.78 after 5 of LAMB."""
    costs = made.costs
    assert costs.mean("samples", "SHB · constant", "digits") == pytest.approx(300)
    assert costs.mean("samples", "LAMB · constant", "digits") == pytest.approx(500, rel=0.15)
    assert costs.mean("steps", "SHB · growing", "digits") == pytest.approx(9)
    assert costs.reached("SHB · constant") == (12, 12)
    scores = costs.scores("steps")
    assert scores["SHB · growing"] == 1.0
    assert scores["SHB · constant"] == pytest.approx((4 - 10 / 3) / 3, abs=0.01), "at 10 / 3 of the least"
    middle, low, high = costs.behind["LAMB · constant"]
    assert low <= middle <= high
    assert middle == pytest.approx(0.1, abs=0.01)


def test_a_target_never_reached_counts_against_it(frame_of):
    runs = []
    for name, values in {"a": (0.9, 0.9), "b": (0.9, 0.5)}.items():
        for seed, value in enumerate(values):
            labels = {"contender": name, "problem": "p", "target": 0.8, "seed": seed}
            runs.append((labels, {"test_accuracy": value, "samples": 100.0, "steps": 10.0}))
    costs = Costs(frame_of(runs))
    assert costs.reached("b") == (1, 2)
    assert costs.scores("samples") == {"a": 1.0, "b": 0.5}
    lost = Costs(frame_of([*runs[:3], (runs[3][0], {}, "diverged")]))
    assert (lost.reached("b"), lost.scores("samples")["b"]) == ((1, 2), 0.5)


def test_the_answer_is_what_was_decided(made):
    text = answer(made.standings(), made.costs)
    assert text.startswith("With all the samples: SHB")
    assert "So: with a whole budget, any of SHB" in text
    assert "what is decided is what to leave: LAMB" in text
    assert "Cheapest to the targets" in text


def test_nothing_decided_is_said(frame_of):
    """Equal contenders: no order is recommended."""
    generator, runs = np.random.default_rng(1), []
    for optimizer in ("A", "B", "C"):
        for batches in BATCHES:
            for problem in PROBLEMS:
                for seed in range(5):
                    labels = {"problem": problem, "optimizer": optimizer, "batches": batches}
                    labels |= {"contender": f"{optimizer} · {batches}", "target": 0.1, "seed": seed}
                    runs.append((labels, {"test_accuracy": 0.9 + 0.01 * generator.normal(), "samples": 100.0}))
    frame = frame_of(runs)
    asked = standings(frame)
    claims = tuple(item for one in asked for item in one.claims())
    text = answer([replace(one, judged=claims) for one in asked], Costs(frame))
    assert "between 6 contenders nothing is decided" in text
    assert "any may be the best" in text
    assert "better than" not in text


def test_a_pair_is_said_that_is_decided_below_the_highest_mean(frame_of):
    """Constant batches scatter too much to be told from anybody, and have the highest mean."""
    generator, runs = np.random.default_rng(1), []
    for seed in range(6):
        shared, own = 0.01 * generator.normal(), 0.001 * generator.normal()
        values = {"constant": 0.73 + 0.1 * (-1) ** seed, "growing": 0.7 + shared, "tested": 0.69 + shared + own}
        for batches, value in values.items():
            labels = {"problem": "digits", "optimizer": "A", "batches": batches, "contender": f"A · {batches}"}
            labels |= {"target": 0.1, "seed": seed}
            runs.append((labels, {"test_accuracy": value, "samples": 100.0}))
    frame = frame_of(runs)
    asked = standings(frame)
    claims = tuple(item for one in asked for item in one.claims())
    found = [replace(one, judged=claims) for one in asked]
    whole = next(one for one in found if (one.kind, one.reading.name) == ("batches", "all samples"))
    assert [whole.order[0], whole.beats("growing", "tested")] == ["constant", True]
    text = answer(found, Costs(frame))
    assert (
        "constant batches are first (73.00 %, 6 seeds), not told apart from growing and tested, while growing" in text
    )
    assert "while growing is better than tested" in text
    assert "any of A · constant and A · growing; what is decided is what to leave: A · tested" in text
    first = brief_sheet(found, "").rows[0]
    assert first[1].text == ("contenders: A · growing beats A · tested; batch schedules: growing beats tested")


def test_before_the_first_run_and_while_only_tuning_is_there(lab):
    lab.run("t", rows(0.9, 0.0), seed=101)
    labels = {"problem": "digits", "target": 0.8, "batches": "constant", "tuning": True}
    lab.store.write_sweep("crossing-laptop", [SweepEntry("t", labels, [])])
    found = reproduce(lab.store, "crossing", "crossing-laptop")
    (said,) = found.sheets()
    assert "No judged run is done yet" in render(said)
    assert found.claims == []
    assert not any(plot.drawable for plot in found.plots)


@pytest.mark.parametrize("info", [{"fused": 4}, {"contention": 1.9}])
def test_times_that_say_nothing_are_not_compared(info):
    found = build("crossing", book(3, info))
    timed = [item for item in found.claims if "equal time" in item.group]
    assert timed
    assert not any(item.tested or item.verdict is not Verdict.UNDECIDED for item in timed)
    text = answer(found.standings(), found.costs)
    assert "are not compared (" in text
    assert "time is not compared (" in text
    assert any(note.startswith("time: ") for note in found.sheets()[1].notes)
    optimizers = ranking_sheet([one for one in found.standings() if one.kind == "optimizer"])
    letters = {
        column.header[-1]: {row[i].detail for row in optimizers.rows} for i, column in enumerate(optimizers.columns)
    }
    assert letters["equal time"] == {""}, "who is not compared shares no letter"
    assert "" not in letters["all samples"]


@pytest.mark.parametrize("format", FORMATS)
def test_it_prints_in_every_format(made, format):
    for width in (80, None):
        text = "".join(render(sheet, format, width=width if format == "rich" else None) for sheet in made.sheets())
        assert "What should I use at this budget?" in text or format == "csv"
        assert "nan" not in text.lower()


def test_the_figures_are_drawn(made, tmp_path):
    paths = made.save_plots(tmp_path)
    assert [path.name for path in paths] == ["crossing-1.png", "crossing-2.png"]


def null(generator, n, contenders=18, problems=3):
    """Equal contenders: means over problems by seed, of problems with a spread of their own."""
    spread = np.array([0.004, 0.01, 0.001])[:problems]
    return 0.9 + (spread[:, None, None] * generator.normal(size=(problems, contenders, n))).mean(0)


def told_apart(values):
    """Whether Holm's procedure on all pairs of paired t-tests rejects any: as `Standing.claims`, in NumPy."""
    k, n = values.shape
    a, b = np.triu_indices(k, 1)
    differences = values[a] - values[b]
    t = differences.mean(1) / (differences.std(1, ddof=1) / math.sqrt(n))
    p = 2 * stdtr(n - 1, -np.abs(t))
    return bool(p.min() * len(p) < 0.05), p


def test_the_simulation_is_of_the_rule_that_is_used(frame_of):
    values = null(np.random.default_rng(3), 5, contenders=4)
    runs = [
        (
            {"problem": "p", "optimizer": f"c{i}", "batches": "b", "contender": f"c{i}", "seed": seed},
            {"test_accuracy": v},
        )
        for i, own in enumerate(values)
        for seed, v in enumerate(own)
    ]
    one = Standing("contender", READINGS[0], frame_of(runs))
    made = one.claims()
    p = told_apart(values)[1]
    assert [item.p for item in made] == pytest.approx(list(p))
    assert [item.p_holm for item in made] == pytest.approx(holm(list(p)))
    assert made[0].p == pytest.approx(paired_test(values[0], values[1]).p)


@pytest.mark.parametrize("n", [3, 5, 12])
def test_any_two_of_equal_contenders_are_told_apart_at_most_as_often_as_said(n):
    """18 contenders on 3 problems, whose groups are all of one letter but in 5.5 % of repetitions at most."""
    generator, repetitions = np.random.default_rng(n), 4000
    wrong = sum(told_apart(null(generator, n))[0] for _ in range(repetitions))
    assert wrong / repetitions <= 0.055 + 2.5 * math.sqrt(0.055 * 0.945 / repetitions)
    assert wrong > 0, "it could have been"


def test_the_report_has_the_answer_short_on_top_and_whole_once(made):
    section = of_paper(Parts(), made, "crossing-desk")
    whole = sentences(answer(made.standings(), made.costs))
    assert len(whole) > 3
    top = section.glance.sentences
    assert top[-1] == whole[-1], "what follows from all"
    assert not {*top[:-1]} & {*whole}
    assert len(top) == len(made.first().brief.rows) + 1
    assert sum(map(len, top)) < sum(map(len, whole))


def test_a_visitor_is_shown_the_answer_and_no_list_of_pairs(made):
    front = made.first()
    assert "What should I use at this budget?" in front.question
    assert front.answer == answer(made.standings(), made.costs)
    assert not front.verdicts
    assert front.figure is made.plots[0]
    assert len(front.tables) == 2

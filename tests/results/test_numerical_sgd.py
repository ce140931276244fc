"""The integrators' reproduction on runs whose right verdicts are known."""

import math

import numpy as np
import pytest

from batchlab.results.compare.claims import Verdict
from batchlab.results.papers.catalogue import reproduce
from batchlab.results.papers.literature import published
from batchlab.results.papers.numerical_sgd import EULER, MULTISTEP, SCHEMES, TAYLOR
from batchlab.results.report.write import write_report
from batchlab.results.show.render import FORMATS, render
from batchlab.results.store.runs import SweepEntry

SWEEP, EPOCHS, CURVATURE = "numerical_sgd-laptop", 8, 2.0
LIMITS = {row.method: row.value for row in published("numerical_sgd") if row.metric == "stability_limit"}
ORDERS = {row.method: row.value for row in published("numerical_sgd") if row.metric == "order"}
GRADIENTS = {"heun": 2, "rk4": 4}
SHARES = {0.25: 0.7, 0.9: 1.0, 1.1: 0.0}
"""Share of the limit -> how fast a run converges there; at 1.1 it diverges."""
RATES = {
    "sgd": 1.0,
    "taylor": 0.5,
    "ab2": 0.5,
    "ab3": 0.3,
    "ab4": 0.2,
    "heun": 1.0,
    "rk4": 1.4,
    "shb": 2.0,
    "nesterov": 2.0,
}
MEASURED = {
    "steps": [10, 20, 40],
    "errors": {name: [n ** -ORDERS.get(scheme, 1.0) for n in (10, 20, 40)] for name, scheme in SCHEMES.items()},
    "limits": {name: LIMITS[scheme] for name, scheme in SCHEMES.items()},
}  # fmt: skip


def train(lab, *, rates=RATES, problems=("net",), seeds=7, lost=(), shares=(0.9,)):
    """Every scheme over its grid: log loss falls by the rate each epoch; accuracy, of the net alone, follows it."""
    entries = []
    for problem in problems:
        for name, rate in rates.items():
            k = GRADIENTS.get(name, 1)
            for share in shares:
                lr = share * LIMITS[SCHEMES[name]] / CURVATURE
                for seed in range(seeds):
                    noise = np.random.default_rng([seed, *map(ord, name)]).normal() * 0.005
                    run_id = f"{problem}-{name}-{share}-{seed}"
                    state = "diverged" if share > 1 or run_id in lost else "done"
                    losses = [math.exp(noise - rate * SHARES[share] * e) for e in range(EPOCHS + 1)]
                    rows = [
                        {
                            "samples": 100 * e, "steps": 4 * e, "epoch": float(e), "gradients": 100 * k * e,
                            "train_seconds": 0.1 * k * e,
                        }
                        | ({"train_loss": loss} if e else {})
                        | ({"test_accuracy": 1 - loss / 2} if problem == "net" else {})
                        for e, loss in enumerate(losses)
                    ]  # fmt: skip
                    lab.run(run_id, rows, state, optimizer=name, seed=seed, lr=lr)
                    labels = {"problem": problem, "curvature": CURVATURE, "scheme": SCHEMES[name], "share": share}
                    labels |= {"tuning": True} if seed < 2 else {}
                    entries.append(
                        SweepEntry(run_id, labels, [f"optimizer={name}", f"optimizer.lr={lr}", f"seed={seed}"])
                    )
    lab.store.write_sweep(SWEEP, entries)
    return lab.store


def conclude(store):
    return reproduce(store, "numerical_sgd", SWEEP)


def verdicts(made, problem="quadratic"):
    """(the claim's last words, reading) -> verdict."""
    return {
        (item.claim.text.removeprefix(f"{problem}: "), item.claim.at): item.verdict
        for item in made.claims
        if item.claim.text.startswith(problem)
    }


TAYLOR_WINS = "the Taylor multi-step scheme improves on SGD"
MORE_ACCURATE = "the Taylor multi-step scheme is more accurate than SGD on the test set"
FEWER_STEPS = "higher order alone does not converge in fewer steps: SGD is no worse than"
PAYS = "several gradients per step do not pay: SGD is no worse than Heun and RK4"


@pytest.fixture(scope="module")
def theory(shared_lab):
    """Runs as the theory predicts them."""
    store = train(shared_lab, problems=("quadratic", "net"), shares=SHARES)
    store.write_measured("numerical_sgd", MEASURED)
    return store


@pytest.fixture(scope="module")
def made(theory):
    return conclude(theory)


def test_verdicts_where_the_theory_is_right(made):
    found = verdicts(made)
    assert found == {
        (TAYLOR_WINS, "epochs"): Verdict.DOES_NOT_HOLD,
        (TAYLOR_WINS, "seconds"): Verdict.DOES_NOT_HOLD,
        (f"{FEWER_STEPS} the multistep schemes", "epochs"): Verdict.HOLDS,
        (f"{FEWER_STEPS} the multistep schemes", "seconds"): Verdict.HOLDS,
        # RK4's limit is the larger: at equal epochs, which are four times the gradients, it is ahead
        (f"{FEWER_STEPS} Heun and RK4", "epochs"): Verdict.DOES_NOT_HOLD,
        (PAYS, "gradients"): Verdict.HOLDS,
        (PAYS, "seconds"): Verdict.HOLDS,
    }
    net = verdicts(made, "net")
    assert net.pop((MORE_ACCURATE, "epochs")) is Verdict.DOES_NOT_HOLD
    assert net == found
    assert all(item.comparisons[0].seeds == 5 for item in made.claims if item.claim.at != "method")


def test_verdicts_where_the_paper_is_right(lab):
    found = verdicts(conclude(train(lab, rates=RATES | {"taylor": 1.5, "rk4": 6.0})), "net")
    assert found[TAYLOR_WINS, "epochs"] is found[TAYLOR_WINS, "seconds"] is Verdict.HOLDS
    assert found[MORE_ACCURATE, "epochs"] is Verdict.HOLDS
    assert found[f"{FEWER_STEPS} the multistep schemes", "epochs"] is Verdict.DOES_NOT_HOLD
    assert found[PAYS, "gradients"] is Verdict.DOES_NOT_HOLD


def test_no_worse_allows_ten_percent_and_no_more(lab):
    """Euler's loss is 4 % higher than each rival's in one problem, 25 % in the other; the noise is 0.5 %."""
    close = dict.fromkeys(RATES, 1.0)
    allowed = close | {"sgd": 1 - math.log(1.04) / EPOCHS / SHARES[0.9]}
    found = verdicts(conclude(train(lab, rates=allowed)), "net")
    assert found[f"{FEWER_STEPS} the multistep schemes", "epochs"] is Verdict.HOLDS
    beyond = close | {"sgd": 1 - math.log(1.25) / EPOCHS / SHARES[0.9]}
    found = verdicts(conclude(train(lab, rates=beyond, problems=("wide",))), "wide")
    assert found[f"{FEWER_STEPS} the multistep schemes", "epochs"] is Verdict.DOES_NOT_HOLD


def test_one_judged_seed_decides_nothing(lab):
    made = conclude(train(lab, seeds=3))
    assert {item.verdict for item in made.claims} == {Verdict.UNDECIDED}
    assert "needs at least 2" in made.claims[-1].reason


def test_judged_runs_that_diverged_are_outcomes_and_counted(lab):
    made = conclude(train(lab, lost={"net-taylor-0.9-4"}, shares=(0.9, 1.1)))
    item = next(item for item in made.claims if item.claim.text.endswith(TAYLOR_WINS))
    assert (item.comparisons[0].seeds, item.comparisons[0].dropped, item.lost) == (5, 0, {"diverged": 1})
    table, grid, *_ = made.sheets()
    assert "† 1 diverged" in next(row for row in table.rows if row[0].text == TAYLOR)[1].detail
    row = next(row for row in grid.rows if row[0].text == TAYLOR)
    assert [cell.detail for cell in row[1:3]] == ["† 1 lost", "† 5 lost"]


def test_a_scheme_whose_tuning_runs_all_diverged_has_no_learning_rate(lab):
    lost = {f"net-ab4-0.9-{seed}" for seed in (0, 1)}
    made = conclude(train(lab, lost=lost))
    item = next(item for item in made.claims if "the multistep" in item.claim.text)
    assert item.verdict is Verdict.UNDECIDED
    assert item.reason == "no runs of Adams-Bashforth 4 (no learning rate had a loss on every tuning seed)"
    row = next(row for row in made.sheets()[1].rows if row[0].text == MULTISTEP[3])
    assert row[-1].text == "–"


def test_the_grid_shows_shares_and_the_chosen(made):
    grid = made.sheets()[1]
    assert [column.header[-1] for column in grid.columns] == ["scheme", "0.25", "0.9", "1.1", "chosen"]
    row = next(row for row in grid.rows if row[0].text == EULER)
    assert [cell.bold for cell in row[1:4]] == [False, True, False]
    assert row[-1].text == "0.9"


def test_time_of_an_epoch_and_its_ratio(made):
    sheet = next(sheet for sheet in made.sheets() if sheet.title == "Training time of an epoch")
    rows = {row[0].text: [cell.text for cell in row[1:3]] for row in sheet.rows}
    assert rows["RK4"][1] == "4.00"
    assert rows[EULER][1] == "1.00"
    assert float(rows["RK4"][0]) == 400


@pytest.mark.parametrize(
    ("change", "verdicts"),
    [
        ({}, (Verdict.HOLDS, Verdict.HOLDS)),
        ({"errors": {**MEASURED["errors"], "ab3": MEASURED["errors"]["ab2"]}}, (Verdict.DOES_NOT_HOLD, Verdict.HOLDS)),
        ({"limits": {**MEASURED["limits"], "taylor": 2.0}}, (Verdict.HOLDS, Verdict.DOES_NOT_HOLD)),
        ({"limits": {"sgd": 2.0}}, (Verdict.HOLDS, Verdict.UNDECIDED)),
        ({"errors": {}, "limits": {}}, (Verdict.UNDECIDED, Verdict.UNDECIDED)),
    ],
)
def test_order_and_stability_are_judged_on_what_was_measured(theory, change, verdicts):
    theory.write_measured("numerical_sgd", MEASURED | change)
    made = conclude(theory)
    theory.write_measured("numerical_sgd", MEASURED)
    assert tuple(item.verdict for item in made.claims if item.claim.at == "method") == verdicts


def test_measured_stands_beside_theory(made):
    (sheet,) = made.published
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in sheet.rows}
    assert rows["Adams-Bashforth 3"] == ["3", "3.00", "0.545", "0.545"]
    assert rows["heavy ball 0.9"] == ["", "", "3.8", "3.800"]


@pytest.mark.parametrize("format", FORMATS)
def test_the_interpretation_is_labelled_wherever_it_is_met(made, format):
    text = "".join(render(sheet, format) for sheet in made.sheets())
    if format != "rich":  # which breaks lines
        assert text.count("Taylor 4-instant") == text.count(TAYLOR) > 0
    if format != "csv":  # which has no notes
        assert "unknown to us" in text


def test_plots(made, tmp_path):
    assert [path.name for path in made.save_plots(tmp_path)] == [f"numerical_sgd-{i}.png" for i in (1, 2, 3)]


@pytest.mark.slow
def test_the_report_shows_it(theory, tmp_path):
    text = write_report(theory, tmp_path / "report.html").read_text()
    assert "Order of accuracy and stability limit" in text
    assert text.count("<svg") >= 3


def test_a_sweep_that_has_not_begun_is_undecided_not_an_error(lab):
    labels = {"problem": "net", "curvature": 2.0, "scheme": EULER, "share": 0.5}
    lab.store.write_sweep(SWEEP, [SweepEntry("a", labels, ["optimizer=sgd", "optimizer.lr=0.5", "seed=2"])])
    made = conclude(lab.store)
    assert {item.verdict for item in made.claims} == {Verdict.UNDECIDED}
    assert made.save_plots(lab.store.root) == []
    for sheet in made.sheets():
        render(sheet, "markdown")


def test_runs_without_shares_are_refused(lab):
    """Planned before shares were labels: `batchlab reproduce` plans them again, and trains none of them twice."""
    labels = {"problem": "net", "curvature": 2.0, "scheme": EULER}
    lab.store.write_sweep(SWEEP, [SweepEntry("a", labels, ["optimizer=sgd", "optimizer.lr=0.5", "seed=2"])])
    with pytest.raises(ValueError, match="share"):
        conclude(lab.store)

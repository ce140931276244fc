"""Tables: what a cell holds, what is bold, what is tested, what is lost."""

import math

import numpy as np
import pytest
from scipy import stats as reference

from batchlab.results.compare.load import load
from batchlab.results.compare.stats import holm
from batchlab.results.compare.table import load_table
from batchlab.results.show.figure import load_figure
from batchlab.results.show.render import render
from batchlab.results.show.table_sheet import table_sheet
from batchlab.results.store.runs import SweepEntry

SEEDS = range(4)


def grid(lab, curve, values, **more):
    """values: optimizer -> final accuracy by seed."""
    for optimizer, finals in values.items():
        for seed, final in enumerate(finals):
            lab.run(f"{optimizer}{seed}", curve([0.1, final]), optimizer=optimizer, seed=seed, **more)


def records(made):
    return {record["optimizer"]: record for record in table_sheet(made).records}


def test_cells_hold_mean_std_interval_by_scipy(lab, curve):
    finals = [0.91, 0.93, 0.90, 0.94]
    grid(lab, curve, {"shb": finals})
    record = records(load_table(lab.store))["shb"]
    low, high = reference.t.interval(0.95, 3, np.mean(finals), reference.sem(finals))
    assert record["n"] == 4
    assert (record["mean"], record["std"]) == pytest.approx((np.mean(finals), np.std(finals, ddof=1)))
    assert (record["ci_low"], record["ci_high"]) == pytest.approx((low, high))


def test_baseline_tests_are_paired_by_seed_and_corrected_by_holm(lab, curve):
    base = [0.80, 0.85, 0.90, 0.95]
    a = [x + d for x, d in zip(base, [0.010, 0.012, 0.011, 0.013], strict=True)]
    b = [x + d for x, d in zip(base, [0.010, -0.02, 0.03, 0.0], strict=True)]
    grid(lab, curve, {"shb": base, "adam": a, "sgd": b})
    found = records(load_table(lab.store, baseline="optimizer=shb"))
    p = holm([reference.ttest_rel(a, base).pvalue, reference.ttest_rel(b, base).pvalue])
    assert found["adam"]["p_holm"] == pytest.approx(p[0])
    assert found["sgd"]["p_holm"] == pytest.approx(p[1])
    assert found["adam"]["advantage"] == pytest.approx(0.0115)
    assert math.isnan(found["shb"]["p_holm"])
    assert found["adam"]["p_holm"] < 0.01  # unpaired it would drown in the spread between seeds
    assert reference.ttest_ind(a, base).pvalue > 0.5


def test_best_is_bold_with_all_that_are_not_told_apart(lab, curve):
    grid(
        lab,
        curve,
        {"shb": [0.90, 0.91, 0.92, 0.93], "adam": [0.905, 0.904, 0.926, 0.925], "sgd": [0.80, 0.81, 0.82, 0.83]},
    )
    best = {name: record["best"] for name, record in records(load_table(lab.store)).items()}
    assert best == {"shb": True, "adam": True, "sgd": False}


def test_constant_counts_are_told_apart_where_the_column_shows_how_fine_its_scale_is(lab, curve):
    """942 steps in each of three seeds are no rounding of 30, once 31 and 32 are on the same scale."""

    def best(**steps: tuple[int, int, int]) -> dict[str, bool]:
        for name, own in steps.items():
            for seed, n in enumerate(own):
                lab.run(f"{name}{seed}", [row | {"steps": n} for row in curve([0.5])], optimizer=name, seed=seed)
        return {name: record["best"] for name, record in records(load_table(lab.store, metrics=["steps"])).items()}

    assert best(shb=(30, 30, 30), sgd=(942, 942, 942)) == {"shb": True, "sgd": True}, "two values show no scale"
    assert best(adam=(31, 32, 32)) == {"shb": True, "sgd": False, "adam": False}


def test_the_best_of_a_metric_that_is_better_down(lab, curve):
    for optimizer, level in (("shb", 1.0), ("adam", 0.1)):
        for seed in SEEDS:
            rows = curve([2.0, level * (1 + 0.1 * seed)], "train_loss")
            lab.run(f"{optimizer}{seed}", rows, optimizer=optimizer, seed=seed)
    best = {name: record["best"] for name, record in records(load_table(lab.store, metrics=["train_loss"])).items()}
    assert best == {"shb": False, "adam": True}


def test_nothing_is_best_without_a_direction(lab, curve):
    for optimizer in ("shb", "adam"):
        lab.run(optimizer, curve([64, 128], "batch_size"), optimizer=optimizer)
    assert not any(record["best"] for record in table_sheet(load_table(lab.store, metrics=["batch_size"])).records)


def test_lost_runs_are_counted_shown_and_never_best(lab, curve):
    grid(lab, curve, {"shb": [0.8, 0.8, 0.81], "adam": [0.97, 0.98, 0.99]})
    lab.run("adam3", curve([0.1, 0.99]), "diverged", "train_loss is nan", optimizer="adam", seed=3)
    lab.run("adam4", curve([0.1]), "failed", optimizer="adam", seed=4)
    lab.run("adam5", curve([0.1]), "interrupted", optimizer="adam", seed=5)
    lab.run("adam6", curve([0.1]), "crashed", optimizer="adam", seed=6)
    lab.run("adam7", curve([1.0], "train_loss"), optimizer="adam", seed=7)
    lab.run("sgd0", curve([0.2]), "diverged", optimizer="sgd")
    made = load_table(lab.store)
    record = records(made)["adam"]
    assert record["n"] == 3
    assert [record[k] for k in ("diverged", "failed", "unfinished", "unmeasured")] == [1, 1, 2, 1]
    assert not record["best"]
    sheet = table_sheet(made)
    text = {row[0].text: row[1] for row in sheet.rows}
    assert "† 1 diverged, 1 failed, 2 unfinished, 1 not measured" in text["adam"].detail
    assert text["sgd"].text == "–"
    assert "1 diverged" in text["sgd"].detail
    assert any("flatter" in note for note in sheet.notes)


def test_a_target_never_reached_is_counted(lab, curve):
    """It counts as its budget; at two seeds, one of them equal, nothing tells the two apart."""
    grid(lab, curve, {"shb": [0.95, 0.97], "adam": [0.95, 0.5]})
    made = load_table(lab.store, metrics=["samples_to:test_accuracy>=0.9"])
    found = records(made)
    assert (found["adam"]["n"], found["adam"]["missed"], found["adam"]["mean"]) == (2, 1, 64)
    assert (found["shb"]["n"], found["shb"]["mean"]) == (2, 64)
    assert {row[0].text: row[1].text for row in table_sheet(made).rows}["adam"].startswith("≥ 64")


def test_nothing_is_said_of_means_where_there_are_none(lab, curve):
    grid(lab, curve, {"shb": [0.5, 0.6]})
    notes = table_sheet(load_table(lab.store, metrics=["samples_to:test_accuracy>=0.9"])).notes
    assert not any("n = 0" in note for note in notes)
    assert any("never reached the target" in note for note in notes)
    assert not any("flatter" in note for note in notes), "a budget is a bound, and said as such"


def test_a_label_without_its_sweep_names_the_option(lab, curve):
    lab.run("a", curve([0.5]))
    lab.store.write_sweep("s", [SweepEntry("a", {"case": "i"})])
    assert load_table(lab.store, rows=["case"], sweep="s").rows == [("i",)]
    assert load_table(lab.store, rows=["case"]).rows == [("i",)], "there is no other that could be meant"
    lab.run("b", curve([0.5]))
    for arguments in ({"rows": ["case"]}, {"where": ["case=i"]}):
        with pytest.raises(ValueError, match=r"no run has the axis case.*--sweep NAME"):
            load_table(lab.store, **arguments)
    with pytest.raises(ValueError, match="no run has the axis kase") as raised:
        load_table(lab.store, rows=["kase"], sweep="s")
    assert "--sweep" not in str(raised.value)


def test_rows_and_columns_by_any_key(lab, curve):
    for i, (lr, beta) in enumerate([(0.1, 0.9), (0.1, 0.0), (0.01, 0.9), (0.01, 0.0)]):
        lab.run(f"r{i}", curve([0.1 * (i + 1)]), lr=lr, beta=beta)
    made = load_table(lab.store, rows=["optimizer.lr"], cols=["optimizer.beta"])
    assert made.rows == [(0.01,), (0.1,)]  # numbers in order
    assert made.cols == [(0.0,), (0.9,)]
    assert [c.header[0] for c in table_sheet(made).columns] == ["optimizer.lr", "beta 0", "beta 0.9"]
    assert [[cell.text for cell in row] for row in table_sheet(made).rows] == [
        ["0.01", "40.00", "30.00"],
        ["0.1", "20.00", "10.00"],
    ]


def test_a_sweeps_order_is_kept(lab, curve):
    for name in ("zeta", "alpha"):
        lab.run(name, curve([0.5]), optimizer=name)
    lab.store.write_sweep("s", [SweepEntry("zeta"), SweepEntry("alpha")])
    for asked in ({"sweep": "s"}, {}):  # all there is is that sweep
        assert load_table(lab.store, **asked).rows == [("zeta",), ("alpha",)]
    lab.run("beta", curve([0.5]), optimizer="beta")
    assert load_table(lab.store).rows == [("alpha",), ("beta",), ("zeta",)]


def test_cells_that_mix_methods_say_so_and_count_seeds(lab, curve):
    for optimizer, shift in (("shb", 0.0), ("adam", 0.01)):
        for lr in (0.1, 0.2):
            for seed in range(3):
                rows = curve([0.2 + lr + 0.1 * seed + shift * (1 + seed + lr)])
                lab.run(f"{optimizer}{lr}{seed}", rows, optimizer=optimizer, seed=seed, lr=lr)
    made = load_table(lab.store, rows=["optimizer"], baseline="optimizer=shb")
    assert made.mixed == ["optimizer.lr"]
    (note,) = [note for note in table_sheet(made).notes if "n counts seeds" in note]
    assert "differ in optimizer.lr were averaged" in note
    assert note.endswith("--tuned optimizer.lr; cells that mix runs are not tested and never bold")
    cell = next(cell for cell in made.cells.values() if cell.row == ("adam",))
    assert (cell.summary.n, cell.test, cell.best) == (3, None, False)
    assert cell.summary.mean == pytest.approx(0.2 + 0.15 + 0.1 + 0.01 * 2.15)
    clean = load_table(lab.store, rows=["optimizer", "optimizer.lr"])
    assert clean.mixed == []


def test_repeats_are_averaged_not_counted(lab, curve):
    """The same sweep again, with another column recorded: no new evidence."""
    for seed in range(3):
        for again in (False, True):
            for optimizer, shift in (("shb", 0.0), ("adam", 0.01)):
                rows = curve([0.1, 0.8 + 0.01 * seed + shift + 0.002 * again])
                lab.run(f"{optimizer}{seed}{again}", rows, optimizer=optimizer, seed=seed, train_accuracy=again)
    made = load_table(lab.store, baseline="optimizer=shb")
    record = records(made)["adam"]
    assert (record["n"], made.mixed) == (3, [])
    assert (record["mean"], record["std"]) == pytest.approx((0.821, 0.01))
    cell = next(cell for cell in made.cells.values() if cell.row == ("adam",))
    assert (cell.test.n, cell.test.paired) == (3, True)
    assert "6 runs of 3 seeds: repeats were averaged" in table_sheet(made).notes
    once = table_sheet(load_table(lab.store, where=["log.train_accuracy=false"])).notes
    assert not any("repeats" in note for note in once)


def test_runs_on_more_ranks_are_another_method(lab, curve):
    """BatchNorm sees a rank's share of the batch."""
    for nproc in (1, 2):
        for seed in range(2):
            lab.run(f"a{nproc}{seed}", curve([0.5 + 0.1 * seed]), seed=seed, nproc=nproc)
    assert load_table(lab.store, rows=["optimizer"]).mixed == ["nproc"]


def test_a_choice_stands_for_its_keys(lab, curve):
    for seed in range(2):
        lab.run(f"a{seed}", curve([0.5]), optimizer="shb", seed=seed, beta=0.9)
        lab.run(f"b{seed}", curve([0.5]), optimizer="adam", seed=seed, eps=1e-8)
    assert load_table(lab.store, rows=["model"]).mixed == ["optimizer"]


@pytest.mark.parametrize("value", [[64, 128], "a, b", "a=b", "it's", 'say "x"', ["a, b", "c"], " a"])
def test_a_baseline_can_be_typed_as_the_message_lists_it(lab, curve, value):
    for seed in range(3):
        lab.run(f"a{seed}", curve([0.1 + 0.01 * seed]), seed=seed, key=value)
        lab.run(f"b{seed}", curve([0.2 + 0.02 * seed]), seed=seed, key="plain")
    with pytest.raises(ValueError, match=r"optimizer\.key is one of ") as caught:
        load_table(lab.store, rows=["optimizer.key"], baseline="optimizer.key=other")
    listed = str(caught.value).partition(" is one of ")[2]
    for typed in (listed.removeprefix("plain, ").removesuffix(", plain"), "plain"):
        made = load_table(lab.store, rows=["optimizer.key"], baseline=f"optimizer.key={typed}")
        assert made.baseline == {"optimizer.key": "plain" if typed == "plain" else str(value)}
        assert sum(cell.test is not None for cell in made.cells.values()) == 1


def test_baselines_on_two_axes_may_be_lists(lab, curve):
    for optimizer in ("shb", "adam"):
        for key in ([1, 2], [3]):
            lab.run(f"{optimizer}{key[0]}", curve([0.1]), optimizer=optimizer, key=key)
    made = load_table(
        lab.store, rows=["optimizer"], cols=["optimizer.key"], baseline="optimizer.key=[1,2],optimizer=shb"
    )
    assert made.baseline == {"optimizer.key": "[1, 2]", "optimizer": "shb"}


def test_unpaired_baselines_are_welchs_and_say_so(lab, curve):
    for seed, final in ((0, 0.8), (1, 0.82)):
        lab.run(f"a{seed}", curve([final]), optimizer="shb", seed=seed)
    for seed, final in ((5, 0.9), (6, 0.91)):
        lab.run(f"b{seed}", curve([final]), optimizer="adam", seed=seed)
    made = load_table(lab.store, baseline="optimizer=shb")
    p = reference.ttest_ind([0.9, 0.91], [0.8, 0.82], equal_var=False).pvalue
    assert records(made)["adam"]["p_holm"] == pytest.approx(p)
    assert any("Welch" in note for note in table_sheet(made).notes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": ["optimiser"]}, "no run has the axis optimiser"),
        ({"metrics": ["test_acc"]}, "no run has the metric test_acc"),
        ({"baseline": "optimizer=lion"}, "no run has the baseline optimizer=lion; optimizer is one of shb"),
        ({"baseline": "seed=0"}, "must be an axis of the table"),
        ({"baseline": "shb"}, "--baseline takes AXIS=VALUE"),
        ({"where": ["optimizer"]}, "AXIS=VALUE"),
        ({"sweep": "none"}, "no sweep named none"),
    ],
)
def test_mistakes_name_the_way_out(lab, curve, arguments, message):
    lab.run("a", curve([0.5]))
    with pytest.raises(ValueError, match=message):
        load_table(lab.store, **arguments)


def test_an_empty_store_says_what_to_do(lab):
    sheet = table_sheet(load_table(lab.store))
    assert sheet.rows == []
    assert "batchlab status" in sheet.empty
    with pytest.raises(ValueError, match="no runs match: see `batchlab status`"):
        load_figure(lab.store, metric="test_accuracy").figure()


def test_one_seed_says_that_it_is_one(lab, curve):
    grid(lab, curve, {"shb": [0.9], "adam": [0.8]})
    sheet = table_sheet(load_table(lab.store))
    assert "one seed per cell" in sheet.notes[0]
    assert [row[1].text for row in sheet.rows] == ["80.00", "90.00"]


def test_a_spread_of_rounding_shows_no_more_digits(lab, curve):
    """The mean of equal numbers can differ from them by an ulp."""
    for seed in range(3):
        lab.run(f"a{seed}", curve([11.970332606492429], "passes"), seed=seed)
        lab.run(f"b{seed}", curve([9.975277 * (1 + seed * 2e-16)], "passes"), optimizer="adam", seed=seed)
    sheet = table_sheet(load_table(lab.store, metrics=["passes"]))
    assert [row[1].text for row in sheet.rows] == ["9.975 ± 0.000", "11.970 ± 0.000"]


def test_a_key_that_goes_with_the_seed_is_no_mixture(lab, curve):
    """`--zip seed,dataset.split_seed`: each seed has its own value, and all of them count."""
    for optimizer in ("shb", "adam"):
        for seed in range(3):
            lab.run(f"{optimizer}{seed}", curve([0.5 + 0.1 * seed]), optimizer=optimizer, seed=seed, fold=5 + seed)
    made = load_table(lab.store, baseline="optimizer=shb")
    assert (made.mixed, made.tied) == ([], ["optimizer.fold"])
    sheet = table_sheet(made)
    assert [(r["n"], r["mean"], r["seeds_left_out"]) for r in sheet.records] == [(3, pytest.approx(0.6), 0)] * 2
    assert "optimizer.fold goes with the seed: each seed has its own value" in sheet.notes
    assert not any("averaged" in note for note in sheet.notes)


def test_zipped_in_one_cell_and_crossed_in_another(lab, curve):
    for seed in range(2):
        lab.run(f"a{seed}", curve([0.5]), optimizer="adam", seed=seed, lr=1 + seed)
        for lr in (1, 2):
            lab.run(f"b{seed}{lr}", curve([0.1 * lr]), optimizer="shb", seed=seed, lr=lr)
    made = load_table(lab.store, rows=["optimizer"])
    assert {name: record["n"] for name, record in records(made).items()} == {"adam": 2, "shb": 2}
    assert (made.mixed, made.tied) == (["optimizer.lr"], [])


def test_one_value_for_two_seeds_is_a_mixture_and_says_who_is_left_out(lab, curve):
    for seed in range(4):
        lab.run(f"a{seed}", curve([0.5]), seed=seed, lr=0.1 if seed < 2 else 0.3)
    made = load_table(lab.store, rows=["optimizer"])
    (record,) = table_sheet(made).records
    assert (record["n"], record["seeds_left_out"]) == (0, 4)
    (note,) = [note for note in table_sheet(made).notes if "left out" in note]
    assert note.startswith("4 seeds of shb left out: they lack optimizer.lr=0.3 or optimizer.lr=0.1, which others have")
    assert not any("were averaged" in note for note in table_sheet(made).notes), "nothing was"


def test_seeds_that_lack_what_another_has_are_counted_and_named(lab, curve):
    """A sweep of three seeds, and another learning rate at one of them."""
    grid(lab, curve, {"shb": [0.8, 0.82, 0.84], "adam": [0.9, 0.9, 0.91]})
    lab.run("more", curve([0.7]), optimizer="shb", seed=0, lr=0.3)
    made = load_table(lab.store, rows=["optimizer"], metrics=["test_accuracy", "max:test_accuracy"])
    sheet = table_sheet(made)
    found = records(made)
    assert [(found[name]["n"], found[name]["seeds_left_out"]) for name in ("shb", "adam")] == [(1, 2), (3, 0)]
    assert [note for note in sheet.notes if "left out" in note] == [
        "2 seeds of shb left out: they lack optimizer.lr=0.3, which others have; choose with "
        "--where optimizer.lr=VALUE, or add optimizer.lr to --rows or --cols"
    ]
    assert "2 seeds left out" in {row[0].text: row[1].detail for row in sheet.rows}["shb"]
    for format in ("rich", "markdown", "latex", "html"):
        assert "2 seeds of shb" in " ".join(render(sheet, format).split())


def test_runs_that_never_started_hide_no_seed(lab, curve):
    for seed in range(2):
        for lr in (0.1, 0.3):
            lab.run(f"a{seed}{lr}", curve([0.5 + lr]), seed=seed, lr=lr)
    entries = [(f"a{seed}{lr}", [f"optimizer.lr={lr}", f"seed={seed}"]) for seed in range(3) for lr in (0.1, 0.3)]
    lab.store.write_sweep("s", [SweepEntry(name, {}, overrides) for name, overrides in entries])
    (record,) = table_sheet(load_table(lab.store, sweep="s", rows=["seed"])).records[:1]
    assert record["n"] == 1
    lab.store.write_sweep("t", [SweepEntry(n, {"case": "i"}, o) for n, o in entries])
    (record,) = table_sheet(load_table(lab.store, sweep="t", rows=["case"])).records
    assert (record["n"], record["mean"], record["unfinished"]) == (2, pytest.approx(0.7), 2)


def test_a_truth_and_a_number_are_two_values(lab, curve):
    """`True == 1` and `False == 0` for Python; not for whoever wrote them."""
    for i, (value, final) in enumerate([(1, 0.1), ("b", 0.2), (None, 0.3), (True, 0.4), (0, 0.5), (False, 0.6)]):
        lab.run(f"r{i}", curve([final]), note=value, same=True)
    sheet = table_sheet(load_table(lab.store, rows=["optimizer.note"]))
    found = {row[0].text: record["mean"] for row, record in zip(sheet.rows, sheet.records, strict=True)}
    assert found == {"1": 0.1, "b": 0.2, "null": 0.3, "true": 0.4, "0": 0.5, "false": 0.6}
    assert not any("repeats" in note for note in sheet.notes)
    frame = load(lab.store)
    assert list(frame.to_pandas("optimizer.note")["optimizer.note"].dropna()) == [1, "b", "true", 0, "false"]
    assert load_table(lab.store, rows=["model"]).mixed == ["optimizer.note"]
    assert {type(run.value("optimizer.same")) for run in frame.runs} == {bool}, "alone they stay what they are"
    assert [run.run_id for run in load(lab.store, where=["optimizer.note=true"]).runs] == ["r3"]
    assert [run.run_id for run in load(lab.store, where=["optimizer.note=1"]).runs] == ["r0"]


def test_a_baseline_of_two_keys_that_are_one_axis(lab, curve):
    for optimizer, lr in (("shb", 0.1), ("shb", 0.3), ("adam", 0.3)):
        for seed in range(2):
            lab.run(f"{optimizer}{lr}{seed}", curve([lr + 0.1 * seed]), optimizer=optimizer, lr=lr, seed=seed)
    axis = "optimizer,optimizer.lr"
    made = load_table(lab.store, rows=[axis], baseline="optimizer=shb,optimizer.lr=1e-1")
    assert made.baseline == {axis: "shb 0.1"}
    assert sum(cell.test is not None for cell in made.cells.values()) == 2
    with pytest.raises(ValueError, match=r"or write --rows optimizer --rows optimizer\.lr for an axis of each"):
        load_table(lab.store, rows=[axis], baseline="optimizer=shb")
    with pytest.raises(ValueError, match="not together"):
        load_table(lab.store, rows=[axis], baseline="optimizer=adam,optimizer.lr=0.1")


def test_a_baseline_that_nothing_is_tested_against_says_why(lab, curve):
    grid(lab, curve, {"shb": [0.8, 0.9], "adam": [0.7, 0.8]})
    notes = table_sheet(load_table(lab.store, cols=["seed"], baseline="seed=0")).notes
    assert "no p against seed=0: tests are paired by seed, and seed is an axis of the table" in " ".join(notes)
    assert not any(note.startswith("p: ") for note in notes)
    notes = table_sheet(load_table(lab.store, where=["seed=0"], baseline="optimizer=shb")).notes
    assert any(note.startswith("no p against optimizer=shb: no other cell shares 2 seeds") for note in notes)


def test_no_spread_and_no_end_reads_as_nought_that_is_none(lab, curve):
    """A column has one precision, of its median spread, save where that would hide what a cell has."""
    spread = {"shb": (2.10, 2.13, 2.14), "adam": (18.0, 27.0, 9.0), "sgd": (3.0, 5.0, 7.0)}
    for name, finals in spread.items():
        for seed, final in enumerate(finals):
            lab.run(f"{name}{seed}", curve([final], "test_loss"), optimizer=name, seed=seed)
    shown = {
        row[0].text: f"{row[1].text} {row[1].detail}"
        for row in table_sheet(load_table(lab.store, metrics=["test_loss"])).rows
    }
    assert shown["shb"] == f"{np.mean(spread['shb']):.3f} ± {np.std(spread['shb'], ddof=1):.3f} [2.072, 2.175]"
    assert shown["sgd"] == f"5.0 ± 2.0 [{5 - 2 * reference.t.ppf(0.975, 2) / math.sqrt(3):.3f}, 10.0]"
    assert shown["adam"].startswith("18.0 ± 9.0 ["), "others keep the column's"

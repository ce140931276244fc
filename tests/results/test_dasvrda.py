"""DASVRDA's tables and claims, on runs whose verdicts are known."""

import math

import numpy as np
import pytest
import yaml

from batchlab.results.compare.claims import Verdict
from batchlab.results.compare.load import load
from batchlab.results.papers import dasvrda
from batchlab.results.papers.catalogue import reproduce
from batchlab.results.show.render import FORMATS, render
from batchlab.results.store.record import Recorder
from batchlab.results.store.runs import SweepEntry

SWEEP, ROOT, BUDGET = "dasvrda-laptop", 180, 100.0
NETS = ["(1e-4, 0)", "(1e-4, 1e-6)", "(0, 1e-6)"]
# Passes to 1e-8: a gap falls from 1 by the same factor at every pass.
PASSES = {
    "DASVRDA": 12, "DASVRDA, no restart": 20, "SVRG": 45, "Katyusha": 63, "SAGA": 28, "FISTA": 90,
    "AccProxSVRG, μ 1e-6": 22, "AccProxSVRG, μ 1e-4": 15,
}  # fmt: skip
CLAIMED = {method: PASSES[method] for method in ("DASVRDA", "SVRG", "Katyusha")}
SEEDS = (1, 2, 3, 4, 5, 6, 7, 8, 9)
BATCHES = {10: 14, 45: 14, 90: 14, 360: 14, 720: 24, 1440: 49}


class Lab:
    """A store of runs as solvers write them."""

    def __init__(self, lab):
        self.store, self.entries = lab.store, []

    def run(self, method, passes, seed, net="(1e-4, 1e-6)", size=ROOT, data="a9a", state="done", floor=1e-15):
        run_id = f"r{len(self.entries)}"
        run = self.store.run(run_id)
        config = {
            "optimizer": {"name": method.split(",")[0].lower(), "step_size": "tuned"},
            "lr_schedule": {"name": "constant"}, "batch_schedule": {"name": "constant", "size": size},
            "model": {"name": "logistic"}, "dataset": {"name": data}, "train": {"epochs": BUDGET}, "seed": seed,
        }  # fmt: skip
        run.write_config(yaml.safe_dump(config))
        axes = {key: config[key]["name"] for key in list(config)[:5]} | {"seed": seed, "run_id": run_id}
        with Recorder(run) as recorder:
            for k in range(int(BUDGET) + 1):
                gap = max(10 ** (-8 * k / passes * (1 + 1e-9)), floor) if k else 1.0
                recorder.write("metrics", {
                    "samples": 100 * k, "steps": k * 10_000 // size, "epoch": float(k), "gradients": 100 * k, "lr": 5.0,
                    "objective": 0.3 + gap, "gap": gap if k < 99 or passes > 50 else -1e-17, "train_seconds": 0.002 * k,
                })  # fmt: skip
            recorder.seal(axes, config)
        trials = [
            {"step_size": step} for step in ([1.0, 5.0] if method == "Katyusha" or size == 1440 else [1.0, 5.0, 10.0])
        ]
        run.write_state(state=state, tuning={"step_size": 5.0, "optimum": 0.3, "seed": 0, "trials": trials})
        labels = {"data": data, "regularizer": net, "method": method, "root": ROOT}
        self.entries.append(SweepEntry(run_id, labels, []))

    def fill(self, passes=PASSES, batches=BATCHES, seeds=(1, 2, 3, 4, 5), scatter=0.0, nets=NETS):
        generator = np.random.default_rng(0)

        def noisy(value):
            return value * math.exp(scatter * generator.normal())

        for seed in seeds:
            for net in nets:
                for method, value in passes.items():
                    self.run(method, noisy(value), seed, net)
            for size, value in batches.items():
                self.run("DASVRDA", noisy(value), seed, size=size)
        return self.made()

    def made(self):
        self.store.write_sweep(SWEEP, self.entries)
        return reproduce(self.store, "dasvrda", SWEEP)


@pytest.fixture(name="lab")
def make_lab(lab):
    return Lab(lab)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    from batchlab.results.store.runs import RunStore

    class Root:
        store = RunStore(tmp_path_factory.mktemp("dasvrda") / "runs").prepare()

    return Lab(Root()).fill(seeds=SEEDS[:7])  # constant sides: by the rounding rule 12 claims take 7 seeds


def verdicts(made):
    return {item.claim.text.partition(": ")[2]: item.verdict for item in made.claims}


LINEAR, SATURATE = "up to b = √n the iterations fall about linearly", "from 2√n on they saturate"
ACCELERATED = [f"fewer passes than AccProxSVRG, μ {mu}" for mu in ("1e-6", "1e-4")]
MOST, RIVALS = "at b = √n at most 14 passes", "fewer passes than SVRG and Katyusha"


def test_the_shape_of_the_reference_holds(made):
    assert set(verdicts(made).values()) == {Verdict.HOLDS}
    assert set(verdicts(made)) == {LINEAR, SATURATE, MOST, RIVALS, *ACCELERATED}
    assert len(made.claims) == 3 + 3 * 3


def test_nothing_is_said_to_be_read_that_was_not(made):
    """The abstract has "mini-batches of only O(sqrt n)", no more; what the experiments came to is not recorded."""
    labels = {item.claim.text.partition(": ")[2]: (item.claim.source, item.claim.certainty) for item in made.claims}
    assert {certainty for _, certainty in labels.values()} == {"ours"}
    assert "O(√n)" in labels[LINEAR][0]
    for rivals in (RIVALS, *ACCELERATED):
        assert "outcome unknown" in labels[rivals][0]


def test_each_mu_of_the_accelerated_rival_has_its_own_verdict(lab):
    passes = CLAIMED | {"AccProxSVRG, μ 1e-6": 22, "AccProxSVRG, μ 1e-4": 10}
    found = verdicts(lab.fill(passes=passes, seeds=SEEDS, scatter=0.01))
    assert [found[claim] for claim in ACCELERATED] == [Verdict.HOLDS, Verdict.DOES_NOT_HOLD]
    assert found[RIVALS] is Verdict.HOLDS


@pytest.mark.parametrize(
    ("change", "claim", "verdict"),
    [
        ({"batches": BATCHES | {45: 6}}, LINEAR, Verdict.DOES_NOT_HOLD),  # twice the passes: sublinear
        ({"batches": BATCHES | {45: 40}}, LINEAR, Verdict.DOES_NOT_HOLD),  # a third of them: more than linear
        ({"batches": BATCHES | {1440: 20}}, SATURATE, Verdict.DOES_NOT_HOLD),
        ({"batches": {k: v for k, v in BATCHES.items() if k != 45}}, LINEAR, Verdict.UNDECIDED),
        ({"batches": BATCHES | {45: 300}}, LINEAR, Verdict.DOES_NOT_HOLD),  # at least 100 passes against 12
        ({"batches": BATCHES | {45: 300}, "passes": CLAIMED | {"DASVRDA": 90}}, LINEAR, Verdict.UNDECIDED),  # or 101?
        ({"passes": CLAIMED | {"DASVRDA": 18}}, MOST, Verdict.DOES_NOT_HOLD),
        ({"passes": CLAIMED | {"DASVRDA": 300}}, MOST, Verdict.DOES_NOT_HOLD),
        ({"passes": CLAIMED | {"SVRG": 300}}, RIVALS, Verdict.HOLDS),  # never there: worse than 12
        ({"passes": CLAIMED | {"SVRG": 10}}, RIVALS, Verdict.DOES_NOT_HOLD),
        ({"passes": CLAIMED | {"DASVRDA": 300, "SVRG": 300, "Katyusha": 300}}, RIVALS, Verdict.UNDECIDED),
        ({"passes": CLAIMED | {"DASVRDA": 300}}, RIVALS, Verdict.DOES_NOT_HOLD),
        ({"seeds": (1,)}, RIVALS, Verdict.UNDECIDED),
        (
            {"seeds": (1, 2), "scatter": 0.5, "passes": CLAIMED | {"SVRG": 14, "Katyusha": 14}},
            RIVALS,
            Verdict.UNDECIDED,
        ),
    ],
)
def test_and_falls_where_it_should(lab, change, claim, verdict):
    few = {"passes": CLAIMED, "nets": NETS[1:2], "seeds": SEEDS, "scatter": 0.01}
    found = [item for item in lab.fill(**few | change).claims if claim in item.claim.text]
    assert found[0].verdict is verdict


def test_a_bound_on_passes_is_said_as_the_budget(lab):
    made = lab.fill(passes=CLAIMED | {"SVRG": 300}, batches={}, nets=NETS[1:2])
    item = next(item for item in made.claims if RIVALS in item.claim.text)
    svrg = next(c for c in item.comparisons if c.rival.label == "SVRG")
    assert (svrg.ours, svrg.theirs) == (pytest.approx(12), pytest.approx(BUDGET))


@pytest.mark.parametrize(("n", "verdict"), [(3, Verdict.UNDECIDED), (6, Verdict.HOLDS)])
def test_runs_that_diverged_are_counted_and_decide_where_they_are_many(lab, n, verdict):
    """Of 3 seeds that SVRG lost p is 2 / 2^3, of 6 it is 2 / 2^6; it is the only claim with runs."""
    for seed in range(1, n + 1):
        lab.run("DASVRDA", 12, seed)
        lab.run("SVRG", 45, seed, state="diverged")
        lab.run("Katyusha", 63, seed)
    made = lab.made()
    item = next(item for item in made.claims if RIVALS in item.claim.text)
    assert item.verdict is verdict
    assert item.lost == {"diverged": n}
    text = "".join(render(sheet, "markdown") for sheet in made.sheets())
    assert f"{n} diverged" in text
    assert f"SVRG lost in all of {n} seeds" in text


def test_tables_show_passes_seconds_and_steps(made):
    table = next(table for table in made.tables if "(0, 1e-6)" in table.title)
    assert [str(metric) for metric in table.metrics] == [
        "passes_to:gap<=0.0001", "passes_to:gap<=1e-06", "passes_to:gap<=1e-08", "seconds_to:gap<=1e-08",
    ]  # fmt: skip
    cell = table.cells[("SVRG", 5.0), (), table.metrics[2]]
    assert set(cell.values.values()) == {45.0}
    assert table.cells[("SVRG", 5.0), (), table.metrics[3]].summary.mean == pytest.approx(0.09)
    batches = made.tables[-1]
    assert [row for row in batches.rows if row[0] == "DASVRDA"] == [
        ("DASVRDA", b, 5.0) for b in (10, 45, 90, 180, 360, 720, 1440)
    ]
    assert ("SVRG", 180, 5.0) in batches.rows
    assert batches.cells[("DASVRDA", 1440, 5.0), (), batches.metrics[0]].summary.mean == 49


def test_reference_values_stand_beside_ours(made):
    gaps, batches = made.published
    row = next(row for row in gaps.rows if row[1].text == "DASVRDA adaptive restart, eta 10")
    assert [cell.text for cell in row[2:6]] == ["2.0e-7", "2.2e-7", "9.0e-14", "4.6e-14"]
    assert row[-1].text == "–", "after 100 passes the gap is rounding, below 0"
    theory = next(row for row in gaps.rows if "theory" in row[1].text)
    assert theory[3].text == "–"
    assert any("0.333994167700741" in note and "0.300000000000000" in note for note in gaps.notes)
    row = next(row for row in batches.rows if row[1].text == "180" and row[0].text.startswith("DASVRDA"))
    assert [cell.text for cell in row[2:]] == ["12", "12.0", "1,080", "666"]
    assert row[3].detail == "no spread"
    gap = next(row for row in gaps.rows if row[1].text == "DASVRDA adaptive restart, eta 10")
    assert gap[3].detail
    assert not gap[5].detail, "at rounding a distance says nothing"
    text = render(gaps, "markdown")
    assert "not the paper's numbers" in text


@pytest.mark.parametrize("format", FORMATS)
def test_it_prints_in_every_format(made, format):
    text = "".join(render(sheet, format) for sheet in made.sheets())
    assert "holds" in text
    assert "reconstruction" in text or format == "csv"


def test_plots(made, tmp_path):
    files = made.save_plots(tmp_path)
    assert [file.name for file in files] == ["dasvrda-1.png", "dasvrda-2.png"]
    panels = made.plots[0].figure().axes
    assert len(panels) == 6
    assert {axes.get_yscale() for axes in panels} == {"log"}
    assert [axes.get_xlabel() for axes in panels[-2:]] == ["passes", "training time [s]"]
    drawn = np.concatenate([line.get_ydata() for line in panels[0].lines if len(line.get_ydata())])
    assert drawn.min() >= dasvrda.FLOOR
    left, right = made.plots[1].figure().axes
    assert list(left.lines[0].get_ydata()) == [14_000, 3_111, 1_555, 666, 388, 333, 340]
    assert list(right.lines[0].get_ydata()) == [14, 14, 14, 12, 14, 24, 49]


def test_a_sweep_that_has_only_begun(lab):
    lab.run("DASVRDA", 12, 1)
    for state in ("interrupted", "failed"):
        lab.run("SVRG", 45, 1, state=state)
    lab.entries.append(SweepEntry("zz", {"data": "a9a", "regularizer": NETS[0], "method": "SVRG", "root": ROOT}, []))
    made = lab.made()
    assert {item.verdict for item in made.claims} == {Verdict.UNDECIDED}
    for sheet in made.sheets():
        render(sheet, "markdown")


def test_other_data_has_no_bound_of_a9a(lab):
    lab.run("DASVRDA", 12, 1, data="breast_cancer")
    made = lab.made()
    assert not any("at most" in item.claim.text for item in made.claims)
    assert made.published == []


def test_a_step_at_the_end_of_its_grid_is_said(made):
    (note,) = [note for note in made.notes if "end of the grid" in note]
    assert note.endswith(
        ": a9a (1e-4, 0): Katyusha; a9a (1e-4, 1e-6): Katyusha, DASVRDA at b = 1440; a9a (0, 1e-6): Katyusha"
    )


def test_a_batch_is_named_by_its_share(lab):
    for size in (10, 12, 45, 200, 300, 1440):
        lab.run("DASVRDA", 12, 1, size=size)
    lab.made()
    frame = load(lab.store, SWEEP)
    labels = [dasvrda._placed(run).value("batch") for run in frame.runs]
    assert labels == ["√n/18", "12", "√n/4", "√n", "300", "8√n"]

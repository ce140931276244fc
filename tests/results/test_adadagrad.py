"""AdAdaGrad's reproduction, from runs whose verdicts are known."""

import numpy as np
import pytest
import yaml

from batchlab.results.compare.claims import Verdict
from batchlab.results.papers.adadagrad import tail_loss
from batchlab.results.papers.catalogue import reproduce
from batchlab.results.show.render import FORMATS, render
from batchlab.results.store.record import Recorder
from batchlab.results.store.runs import SweepEntry

SWEEP = "adadagrad-laptop"
SAMPLES = {"logistic": 4000, "CNN": 2000}
METHODS = {  # test, setting, role: batch, accuracy
    ("constant", "10", "small"): (10, 0.90),
    ("constant", "500", "large"): (500, 0.80),
    ("linear", "10 to 500", "ramp"): (100, 0.86),
    ("norm", "eta 0.5", "loose"): (40, 0.901),
    ("norm", "eta 0.1", "tight"): (200, 0.84),
}
SIDES = {"loose": "norm 0.5", "tight": "norm 0.1"}


class Paper:
    """Runs of a sweep, each with a constant batch, evaluated five times."""

    def __init__(self, store):
        self.store, self.entries = store, []

    def run(
        self,
        experiment,
        method,
        seed,
        batch,
        accuracy,
        state="done",
        *,
        steps=True,
        optimizer="adagrad",
        norm=None,
        groups=1,
        **recorded,
    ):
        test, setting, role = method
        run_id = f"{experiment}-{optimizer}-{test}-{setting}-{seed}".replace(" ", "")
        config = {
            "optimizer": {"name": optimizer, "lr": 0.008},
            "lr_schedule": {"name": "constant"},
            "batch_schedule": {"name": f"{test}_test", "initial": 10, "maximum": 500}
            if test != "constant"
            else {"name": "constant", "size": batch},
            "model": {"name": experiment} | ({"norm": norm} if norm else {}),
            "dataset": {"name": "mnist"},
            "train": {"samples": SAMPLES[experiment], "groups": groups},
            "seed": seed,
        }
        run, total = self.store.run(run_id), SAMPLES[experiment]
        run.write_config(yaml.safe_dump(config))
        run.write_state(state="running")
        counted = total // batch
        with Recorder(run) as recorder:
            for k in range(1, counted + 1):
                row = {"samples": k * batch, "steps": k, "batch_size": batch, "train_loss": 1 / k, **recorded}
                if steps:
                    recorder.write("steps", row)
                if k % max(1, counted // 5) == 0 or k == counted:
                    level = accuracy * k / counted
                    metrics = {"train_seconds": 0.01 * k, "test_accuracy": level, "epoch": k * batch / 60000}
                    recorder.write("metrics", row | metrics)
            axes = {key: config[key]["name"] for key in list(config)[:5]} | {"seed": seed, "run_id": run_id}
            recorder.seal(axes, config)
        run.write_state(state=state, reason="the loss was not finite" if state == "diverged" else None)
        labels = {"experiment": experiment, "test": test, "setting": setting, "role": role}
        self.entries.append(SweepEntry(run_id, labels, [f"optimizer={optimizer}", f"seed={seed}"]))

    def grid(self, seeds=4, methods=METHODS, **others):
        generator = np.random.default_rng(0)
        for experiment in SAMPLES:
            for method, (batch, accuracy) in methods.items():
                for seed in range(seeds):
                    level = accuracy + 0.0004 * generator.normal()
                    changes = {k: v for k, v in others.items() if method[2] == "loose" and seed == 0}
                    self.run(experiment, method, seed, batch, level, **changes)
        return self.reproduce()

    def reproduce(self):
        self.store.write_sweep(SWEEP, self.entries)
        return reproduce(self.store, "adadagrad", SWEEP)


@pytest.fixture
def paper(lab):
    return Paper(lab.store)


@pytest.fixture(scope="module")
def made(shared_lab):
    return Paper(shared_lab.store).grid()


def verdicts(made):
    """(what is said, of whom) -> verdict."""
    words = ("fewer steps than", "as accurate", "more accurate", "smaller tolerance", "samples =")
    found = {}
    for item in made.claims:
        (word,) = (w for w in words if w in item.claim.text)
        found[word, item.claim.better.label] = item.verdict
    return found


def test_the_claims_get_the_verdicts_that_the_data_deserve(made):
    found = verdicts(made)
    assert len(found) == len(made.claims) == 8
    loose, tight = SIDES["loose"], SIDES["tight"]
    assert found["fewer steps than", loose] is found["fewer steps than", tight] is Verdict.HOLDS
    assert found["as accurate", loose] is Verdict.HOLDS
    assert found["as accurate", tight] is Verdict.DOES_NOT_HOLD  # 6 points below
    assert found["more accurate", loose] is found["more accurate", tight] is Verdict.HOLDS
    assert found["smaller tolerance", tight] is Verdict.HOLDS
    assert found["samples =", "steps × average batch"] is Verdict.HOLDS
    assert {item.claim.certainty for item in made.claims} == {"reconstructed", "ours"}


def test_orderings_the_other_way_round_do_not_hold(paper):
    swapped = {
        ("constant", "10", "small"): (40, 0.90),
        ("constant", "500", "large"): (500, 0.93),
        ("norm", "eta 0.5", "loose"): (20, 0.90),
        ("norm", "eta 0.1", "tight"): (10, 0.90),
    }
    found = verdicts(paper.grid(methods=swapped))
    assert {v for (said, _), v in found.items() if said in ("fewer steps than", "more accurate")} == {
        Verdict.DOES_NOT_HOLD
    }
    assert found["smaller tolerance", SIDES["tight"]] is Verdict.DOES_NOT_HOLD
    assert found["as accurate", SIDES["loose"]] is Verdict.HOLDS


def test_two_seeds_that_scatter_decide_nothing(paper):
    for seed, level in enumerate((0.85, 0.95)):
        paper.run("logistic", ("constant", "10", "small"), seed, 10, 0.9)
        paper.run("logistic", ("constant", "500", "large"), seed, 500, 0.9)
        paper.run("logistic", ("norm", "eta 0.5", "loose"), seed, 40, level)
    found = verdicts(paper.reproduce())
    assert found["as accurate", SIDES["loose"]] is Verdict.UNDECIDED
    assert found["more accurate", SIDES["loose"]] is Verdict.UNDECIDED
    assert found["smaller tolerance", "a smaller tolerance"] is Verdict.UNDECIDED


def test_optimizers_are_judged_apart(paper):
    for optimizer, level in (("adagrad", 0.95), ("adagrad_norm", 0.5)):
        for seed in range(3):
            paper.run("CNN", ("constant", "500", "large"), seed, 500, 0.8 + 0.001 * seed, optimizer=optimizer)
            paper.run("CNN", ("norm", "eta 0.5", "loose"), seed, 40, level, optimizer=optimizer)
    made = paper.reproduce()
    found = {item.claim.text: item.verdict for item in made.claims}
    assert found["adagrad: more accurate than constant large"] is Verdict.HOLDS
    assert found["adagrad_norm: more accurate than constant large"] is Verdict.DOES_NOT_HOLD
    assert any("AdaGrad-Norm's learning rate is unknown" in note for note in made.notes)


def test_one_seed_is_undecided_and_says_why(paper):
    made = paper.grid(seeds=1)
    by_seeds = [item for item in made.claims if item.claim.at is None]
    assert {item.verdict for item in by_seeds} == {Verdict.UNDECIDED}
    assert "needs at least 2" in by_seeds[0].reason


def test_diverged_runs_are_counted_and_are_outcomes_of_their_side(paper):
    made = paper.grid(state="diverged")
    item = next(item for item in made.claims if item.claim.better.label == SIDES["loose"])
    assert item.lost == {"diverged": 2}
    assert (item.comparisons[0].seeds, item.comparisons[0].dropped) == (4, 0)
    text = render(made.sheets()[0], "markdown")
    assert text.count("† 1 diverged") == 2 * 5  # a cell in each of the five columns, in both experiments


def test_the_table_has_the_papers_columns_and_blocks(made):
    sheet = made.sheets()[0]
    heads = [column.header[-1] for column in sheet.columns]
    assert heads[:4] == ["experiment", "optimizer", "test", "setting"]
    assert heads[4:] == ["steps", "average batch", "train loss", "test accuracy [%]", "train seconds [s]"]
    assert len(sheet.rows) == 2 * len(METHODS)
    record = next(
        r
        for r in sheet.records
        if (r["experiment"], r["setting"]) == ("CNN", "eta 0.5") and r["metric"] == "average_batch"
    )
    assert record["mean"] == 40  # 2,000 samples in 50 steps
    best = [(r["experiment"], r["test"]) for r in sheet.records if r["metric"] == "test_accuracy" and r["best"]]
    assert {experiment for experiment, _ in best} == set(SAMPLES)  # told within each block


def test_bold_is_explained_once_for_all_blocks(paper):
    """In one experiment a cell of large spread lies beneath one that is told apart; the other has none."""
    for experiment in SAMPLES:
        for method, accuracy, spread in zip(METHODS, (0.9, 0.8, 0.7, 0.6), (0.001, 0.001, 0.3, 0.001), strict=False):
            wide = spread if experiment == next(iter(SAMPLES)) else 0.001
            for seed, part in enumerate((-1, 0, 1)):
                paper.run(experiment, method, seed, METHODS[method][0], accuracy + wide * part)
    notes = paper.reproduce().sheets()[0].notes
    (bold,) = [note for note in notes if note.startswith("bold")]
    assert "for the same experiment and optimizer" in bold
    assert "(1 cell beneath that is not told apart only as its spread is large)" in bold


def test_samples_that_do_not_add_up_are_found(paper):
    made = paper.grid(batch_size=39)
    item = made.claims[-1]
    assert item.verdict is Verdict.DOES_NOT_HOLD
    assert "in 38 of 40 runs" in item.reason


def test_without_rows_a_step_the_identity_is_undecided_and_the_loss_is_that_of_the_evaluations(paper):
    for seed in range(2):
        paper.run("logistic", ("norm", "eta 0.5", "loose"), seed, 40, 0.9, steps=False)
    made = paper.reproduce()
    assert made.claims[-1].verdict is Verdict.UNDECIDED
    losses = [r["mean"] for r in made.sheets()[0].records if r["metric"] == "train_loss"]
    assert losses == [pytest.approx(1 / 100)]  # the last of five rows


def test_the_tail_is_weighted_by_samples():
    samples, losses = np.array([50.0, 80.0, 90.0, 95.0, 100.0]), np.array([9.0, 9.0, 1.0, 2.0, 4.0])
    assert tail_loss(samples, losses) == pytest.approx((10 * 1 + 5 * 2 + 5 * 4) / 20)
    assert tail_loss(samples[-1:], losses[-1:]) == 4.0


@pytest.mark.parametrize("format", FORMATS)
def test_it_prints_in_every_format(made, format):
    text = "".join(render(sheet, format) for sheet in made.sheets())
    for wanted in ("does not hold", "reconstructed", "3.811", "eta 0.1"):
        assert wanted in text


def test_settings_stand_beside_those_of_the_scripts(made):
    rows = [[cell.text for cell in row] for row in made.sheets()[1].rows]
    logistic = ["scripts", "logistic (MNIST)", "AdaGrad", "0.008", "2", "60,000", "6,000,000", "norm eta 0.1"]
    assert rows[0] == logistic
    assert len([row for row in rows if row[1].startswith("ResNet-50")]) == 2
    assert [row[:5] for row in rows if "CNN (MNIST)" in row] == [
        ["", "CNN (MNIST)", "AdaGrad", "0.008", "8"],
        ["README", "CNN (MNIST)", "AdaGrad", "0.5", "16"],
    ]
    (imagenet,) = (row for row in rows if "ImageNet" in row[1])
    assert imagenet[5:7] == ["111,360", "256,233,400"]
    beneath = {row[1].text: row[1].detail for row in made.sheets()[1].rows}
    assert "weight decay 0.0001" in beneath[imagenet[1]]
    assert beneath["logistic (MNIST)"] == ""
    assert any("disagree" in note for note in made.sheets()[1].notes)
    assert rows[-1][1:7] == ["CNN (mnist)", "adagrad", "0.008", "10", "500", "2,000"]


@pytest.mark.slow
def test_plots_show_the_batch_against_samples(made, tmp_path):
    files = made.save_plots(tmp_path)
    assert len(files) == 4
    first = made.plots[0].figure()
    assert first.axes[0].get_yscale() == "log"
    assert first.axes[-1].get_xlabel() == "samples"
    labels = [text.get_text() for text in first.legends[0].get_texts()]
    assert labels[:2] == ["norm 0.5 (n 4)", "norm 0.1 (n 4)"]


def test_a_sweep_that_has_not_begun_is_undecided_not_an_error(paper):
    labels = {"experiment": "CNN", "test": "norm", "setting": "eta 0.1", "role": "published"}
    paper.entries.append(SweepEntry("a", labels, ["optimizer=adagrad", "seed=0"]))
    made = paper.reproduce()
    assert {item.verdict for item in made.claims} == {Verdict.UNDECIDED}
    assert made.save_plots(paper.store.root) == []
    for sheet in made.sheets():
        render(sheet, "markdown")


@pytest.mark.parametrize(
    ("norm", "groups", "said"), [("batch", 4, True), ("batch", 1, False), ("group", 4, False), (None, 4, False)]
)
def test_what_groups_do_to_batchnorm_in_small_batches_is_said(paper, norm, groups, said):
    """The smallest first: 4 groups of a constant batch of 8 are 2 images each, for the whole of the run."""
    for method, batch in ((("constant", "8", "small"), 8), (("constant", "256", "small"), 256)):
        paper.run("CNN", method, 0, batch, 0.9, norm=norm, groups=groups)
    paper.run("CNN", ("norm", "eta 0.5", "loose"), 0, 40, 0.9, norm=norm, groups=groups)
    found = [note for note in paper.reproduce().notes if "BatchNorm" in note and "handicap" in note]
    assert len(found) == said
    assert all("2 of 8" in note and "64 of 256" in note for note in found)

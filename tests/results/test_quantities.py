"""What a run declares of its columns is what tables, plots, claims and the report go by."""

from dataclasses import asdict

import pytest

from batchlab.results.compare.claims import Claim, Side, Verdict
from batchlab.results.compare.derived import numbers
from batchlab.results.compare.judge import judge
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.quantities import Quantity, declared, quantity
from batchlab.results.compare.table import load_table
from batchlab.results.report.write import write_report
from batchlab.results.show.claims_sheet import claims_sheet
from batchlab.results.show.figure import load_figure
from batchlab.results.show.layers_plot import Layers
from batchlab.results.show.table_sheet import table_sheet
from batchlab.results.store.record import Recorder

NAME = "macro_f1_loss_like"
OURS = Quantity("up", "macro-F1", "%", 100)


@pytest.fixture
def own(lab, curve):
    """A column that the registry takes for a loss, of which more is better."""
    assert (quantity(NAME).better, quantity(NAME).log) == ("down", True)
    for optimizer, level in (("shb", 0.5), ("adam", 0.9)):
        for seed in range(3):
            run = lab.run(f"{optimizer}{seed}", curve([0.1, level + 0.01 * seed], NAME), optimizer=optimizer, seed=seed)
            run.write_state(quantities={NAME: asdict(OURS)})
    return lab


def test_a_table_goes_by_it(own):
    sheet = table_sheet(load_table(own.store, metrics=[NAME], baseline="optimizer=shb"))
    shown = {row[0].text: (row[1].text, row[1].bold) for row in sheet.rows}
    assert shown == {"adam": ("91.0 ± 1.0", True), "shb": ("51.0 ± 1.0", False)}
    assert sheet.columns[1].header == ("macro-F1 [%]",)
    assert not any("logarithms" in note for note in sheet.notes)
    advantage = {record["optimizer"]: record["advantage"] for record in sheet.records}["adam"]
    assert advantage == pytest.approx(0.4)


def test_a_plot_goes_by_it(own):
    axes = load_figure(own.store, metric=f"max:{NAME}").figure().axes[0]
    assert axes.get_ylabel() == "running maximum of macro-F1 [%]"
    assert axes.get_yscale() == "linear"
    assert axes.lines[0].get_ydata()[-1] == pytest.approx(91.0)


def test_a_claim_goes_by_it(own):
    sides = Side("adam", {"optimizer": "adam"}), (Side("shb", {"optimizer": "shb"}),)
    (judged,) = judge(load(own.store), [Claim("better", "", "ours", *sides, Metric(NAME))])
    assert judged.verdict is Verdict.HOLDS
    measured, effect = [cell.text for cell in claims_sheet([judged]).rows[0]][2:4]
    assert measured == "adam 91.00, shb 51.00"
    assert effect.startswith("+40.00 [")


def test_the_report_shows_what_a_run_declares(own, tmp_path):
    page = write_report(own.store, tmp_path / "report.html").read_text()
    assert "macro-F1 [%]" in page
    assert "<strong>91.0 ± 1.0</strong>" in page


def test_the_report_shows_the_gap_of_a_solver(lab, curve, tmp_path):
    lab.run("a", curve([1.0, 0.25], "gap"))
    assert "0.2500" in write_report(lab.store, tmp_path / "report.html").read_text()


def test_between_two_rows_it_is_interpolated_on_its_own_scale(own):
    """0.1 at step 0, 0.5 at step 2: the middle is 0.3, on the logarithm it would be 0.22."""
    measured = Metric.parse(f"{NAME}@steps<=1").measure(load(own.store, where=["optimizer=shb", "seed=0"]))
    assert measured.values == pytest.approx([0.3])


def test_the_target_of_a_declared_share_is_a_share(own):
    with pytest.raises(ValueError, match=f"{NAME} is a share, from 0 to 1: write {NAME}>=0.9 for 90 %"):
        load_table(own.store, metrics=[f"steps_to:{NAME}>=90"])
    title = load_table(own.store, metrics=[f"steps_to:{NAME}>=0.4"]).metrics[0].title
    assert title == "steps to macro-F1 ≥ 40 %"


def test_layers_go_by_it(lab, curve):
    run = lab.run("a", curve([0.1]), state="interrupted")
    with Recorder(run) as recorder:
        for samples in (64, 128):
            recorder.write("layers", {"samples": samples, "layer": "conv", "sparsity": 0.5})
    run.write_state(state="done", quantities={"sparsity": {"unit": "%", "scale": 100, "label": "zeros"}})
    (axes, bar) = Layers(load(lab.store).stream("layers"), (Metric("sparsity"),)).figure().axes
    assert axes.collections[0].get_clim() == (0, 100)
    assert bar.get_xlabel() == "zeros [%]"


def test_a_frame_made_of_numbers_keeps_it(own):
    run, *_ = load(own.store).runs
    assert numbers([(run, {}, {NAME: 0.5})]).quantities == {NAME: OURS}


def test_what_is_not_declared_is_the_registrys():
    assert declared([{}, {"quantities": {"train_loss": {"label": "cross-entropy"}}}]) == {
        "train_loss": Quantity("down", "cross-entropy", log=True)
    }


def test_the_last_declaration_is_believed():
    old = {"changed": "2026-01-01", "quantities": {"x": {"better": "up"}}}
    new = {"changed": "2026-01-02", "quantities": {"x": {"better": "down"}}}
    assert declared([new, old])["x"].better == declared([old, new])["x"].better == "down"


@pytest.mark.parametrize(
    "said",
    [
        None, 3, [], {"x": None}, {"x": []}, {"x": {"better": "higher"}}, {"x": {"scale": "100"}}, {"x": {"scale": 0}},
        {"x": {"scale": True}}, {"x": {"log": 1}}, {"x": {"unit": None}}, {"x": {"color": "red"}},
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_not_declared(said):
    assert declared([{"quantities": said}]).get("x", Quantity()) == Quantity()

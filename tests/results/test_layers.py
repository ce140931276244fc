"""The figure of layers over a run, by what is drawn."""

import numpy as np
import pytest

from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.report.write import write_report
from batchlab.results.show.figure import load_figure
from batchlab.results.show.layers_plot import Layers
from batchlab.results.store.record import Recorder

NAMES = ("stem.weight", "head.weight", "head.bias")


def with_layers(lab, curve, run_id, level, state="done", times=(0, 64, 128), **config):
    """Rows of three layers at samples 0, 64, 128, or others; the multiplier is level, then a tenth more a layer."""
    rows = [
        {
            "samples": samples,
            "steps": samples // 32,
            "layer": name,
            "mean": level + 0.1 * i,
            "clipped_low": level / 2,
            "clipped_high": 0.0,
        }
        for samples in times
        for i, name in enumerate(NAMES)
    ]
    run = lab.run(run_id, curve([0.1, 0.2]), state="interrupted", **config)
    with Recorder(run) as recorder:
        for row in rows:
            recorder.write("layers", row)
    run.write_state(state=state)


@pytest.fixture
def layered(lab, curve):
    for seed, level in enumerate((0.4, 0.6)):
        with_layers(lab, curve, f"v{seed}", level, optimizer="vr_sgd", seed=seed)
    with_layers(lab, curve, "lost", 9.0, "diverged", optimizer="vr_sgd", seed=2)
    with_layers(lab, curve, "other", 0.2, optimizer="vr_adam")
    return lab


def test_a_panel_each_and_the_mean_of_what_is_done(layered):
    made = load_figure(layered.store, metric="mean", hue="optimizer")
    assert isinstance(made, Layers)
    figure = made.figure()
    adam, sgd = figure.axes[:2]
    assert [axes.get_title(loc="left") for axes in (adam, sgd)] == ["optimizer vr_adam", "optimizer vr_sgd"]
    assert [axes.get_title(loc="right") for axes in (adam, sgd)] == ["one run", "mean of 2 runs"]
    assert [text.get_text() for text in sgd.get_yticklabels()] == [*NAMES]
    assert sgd.yaxis_inverted()
    drawn = np.asarray(sgd.collections[0].get_array()).reshape(3, 3)
    assert drawn == pytest.approx(np.array([[0.5] * 3, [0.6] * 3, [0.7] * 3]))
    assert sgd.get_xlim() == (0, 128), "nothing is known before the first time, or after the last"
    assert made.svg().startswith("<svg")


def test_shares_are_percent_of_a_hundred(layered):
    frame = load(layered.store, where=["optimizer=vr_sgd"]).stream("layers")
    made = Layers(frame, (Metric("mean"), Metric("clipped_low")), None, "steps")
    figure = made.figure()
    image = figure.axes[1].collections[0]
    assert image.get_clim() == (0, 100)
    assert np.asarray(image.get_array()) == pytest.approx(25.0)
    assert figure.axes[0].get_xlabel() == "steps"


def test_one_time_is_a_dot_for_each_layer(lab, curve):
    for seed, level in enumerate((0.4, 0.6)):
        with_layers(lab, curve, f"v{seed}", level, times=(256,), optimizer="vr_sgd", seed=seed)
    frame = load(lab.store).stream("layers")
    figure = Layers(frame, (Metric("mean"), Metric("clipped_low")), "optimizer").figure()
    mean, low = figure.axes  # no bar of colours beside them
    assert mean.get_title(loc="left") == "mean multiplier\noptimizer vr_sgd"
    assert low.get_title(loc="left") == "share at the lower clip [%]"
    assert mean.get_title(loc="right") == "mean of 2 runs, at 256 samples"
    assert [axes.get_xlabel() for axes in (mean, low)] == ["mean multiplier", "share at the lower clip [%]"]
    for axes, wanted in ((mean, [0.5, 0.6, 0.7]), (low, [25.0] * 3)):
        (dots,) = (line for line in axes.lines if line.get_marker() == "o")
        assert dots.get_xdata() == pytest.approx(wanted)
        assert dots.get_ydata() == pytest.approx([0.5, 1.5, 2.5])
        assert axes.yaxis_inverted()
    assert [text.get_text() for text in mean.get_yticklabels()] == [*NAMES]


def test_nothing_to_draw(lab, curve):
    lab.run("a", curve([0.1]))
    frame = load(lab.store)
    assert not Layers(frame.stream("layers"), (Metric("mean"),)).drawable
    with pytest.raises(ValueError, match=r"measure=gsnr"):
        Layers(frame.stream("layers"), (Metric("mean"),)).figure()
    with pytest.raises(ValueError, match="no run has the metric mean"):
        load_figure(lab.store, metric="mean").figure()


def test_only_runs_that_are_done(lab, curve):
    with_layers(lab, curve, "a", 0.5, "interrupted")
    with pytest.raises(ValueError, match=r"measure=gsnr"):
        load_figure(lab.store, metric="mean").figure()


def test_the_report_shows_the_layers_of_runs_that_belong_to_no_paper(layered, tmp_path):
    page = write_report(layered.store, tmp_path / "report.html").read_text()
    assert "share at the lower clip" in page
    assert "stem.weight" in page


def test_a_panel_that_mixes_methods_says_so(lab, curve):
    for beta in (0.0, 0.9):
        with_layers(lab, curve, f"v{beta}", 0.4, optimizer="vr_sgd", beta=beta)
    made = load_figure(lab.store, metric="mean", hue="optimizer")
    mixed = "panels mix runs that differ in optimizer.beta"
    assert made.notes == [f"{mixed}: add it to --hue, or use --where"]
    assert made.figure().get_supxlabel() == mixed
    assert load_figure(lab.store, metric="mean", hue="optimizer,optimizer.beta").notes == []

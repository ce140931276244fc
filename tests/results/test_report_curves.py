"""What a figure sends to the browser: every row once, in few bytes, safe in a page; one look a line."""

import base64
import json
import math

import numpy as np
import pytest

from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import CLOCKS
from batchlab.results.compare.stats import t_quantile
from batchlab.results.report import curves as module
from batchlab.results.report.curves import ASSETS, SCRIPTS, STYLES, encode, payload


def numbers(made, place):
    """An array of the pool."""
    text = made["rows"][place]
    return np.frombuffer(base64.b64decode(text[1:]), {"s": "<f4", "d": "<f8"}[text[0]])


def sent(lab, *metrics, hue="optimizer", **options):
    return payload(load(lab.store), metrics or ("test_accuracy",), hue, title="figure", **options)


def test_every_row_of_every_seed_and_clock(lab, curve):
    values = [[0.1, 0.5, 0.9], [0.2, 0.3, 0.7]]
    for seed, own in enumerate(values):
        lab.run(f"a{seed}", curve(own), seed=seed)
    lab.run("b", curve([0.1, math.nan]), "diverged", optimizer="adam")
    made = sent(lab)
    assert [(clock["key"], clock["unit"]) for clock in made["clocks"]] == [
        *((key, "") for key in ("samples", "steps", "epochs", "passes", "gradients")),
        ("seconds", "s"),
    ]
    assert [line["name"] for line in made["lines"]] == ["adam", "shb"]
    adam, shb = (line["runs"] for line in made["lines"])
    assert [(run["state"], made["seeds"][run["seed"]]) for run in shb] == [("done", "0"), ("done", "1")]
    assert [run["state"] for run in adam] == ["diverged"]
    for run, own in zip(shb, values, strict=True):
        ((y, extreme, clocks),) = run["rows"]
        assert numbers(made, y) == pytest.approx(own, rel=1e-7)
        assert extreme is None
        assert [numbers(made, x).tolist() for x in clocks] == [
            *([0, 64, 128], [0, 2, 4], [0, 1, 2], [0, 1, 2], [0, 64, 128]),
            [0, 0.5, 1],
        ]
    assert made["t"] == pytest.approx([t_quantile(1)])


def test_what_runs_share_is_sent_once(lab, curve):
    for seed in range(5):
        lab.run(f"a{seed}", curve([0.1, 0.1 * seed]), seed=seed)
    assert len(sent(lab)["rows"]) == 5 + 4  # gradients are the samples here


@pytest.mark.parametrize(
    ("values", "kind", "off"),
    [
        ([0.123456789, 1e-30, 3e30], "s", 1e-7),
        ([1.0, 1e-44], "d", 0),  # as 32 bits it would be 0 and fall off a logarithmic axis
        ([1.0, 1e39], "d", 0),
        ([0.0, -1.0], "s", 0),
        ([2.0**24, 2.0**24 + 1], "d", 0),
    ],
)
def test_numbers_arrive_whole(lab, curve, values, kind, off):
    lab.run("a", curve(values, "gap"))
    made = sent(lab, "gap")
    place = made["lines"][0]["runs"][0]["rows"][0][0]
    assert made["rows"][place][0] == kind
    assert numbers(made, place) == pytest.approx(values, rel=off, abs=0)


def test_long_runs_are_thinned_and_say_so(lab, curve):
    wave = [1 + math.sin(i / 3) for i in range(2000)]
    lab.run("a", curve(wave, "train_loss"))
    made = sent(lab, "train_loss")
    y, extreme, clocks = made["lines"][0]["runs"][0]["rows"][0]
    x = numbers(made, clocks[1])
    assert len(x) == 300
    assert (x[0], x[-1]) == (0, 3998)
    assert numbers(made, y) == pytest.approx([wave[int(i) // 2] for i in x])
    assert numbers(made, extreme) == pytest.approx([min(wave[: int(i) // 2 + 1]) for i in x])
    assert made["notes"][-1] == "drawn from 300 rows a run, of up to 2,000 rows that were recorded"


def test_of_many_runs_each_has_fewer_rows(lab, curve, monkeypatch):
    monkeypatch.setattr(module, "ROWS", 120)
    for seed in range(3):
        lab.run(f"a{seed}", curve([0.5] * 100), seed=seed)
    made = sent(lab)
    assert {len(numbers(made, run["rows"][0][0])) for run in made["lines"][0]["runs"]} == {40}


def test_passes_are_epochs_by_another_name(lab, curve):
    lab.run("a", curve([0.1, 0.2]))
    assert [clock["key"] for clock in sent(lab, clock="passes")["clocks"]][:2] == ["passes", "samples"]
    made = sent(lab, clock="passes")
    sent_at = made["lines"][0]["runs"][0]["rows"][0][2]
    places = {clock["key"]: place for clock, place in zip(made["clocks"], sent_at, strict=True)}
    assert places["passes"] == places["epochs"], "both are offered, and sent once"
    assert sent(lab, clock="seconds")["clocks"][0]["key"] == "seconds"


def test_flops_are_a_clock_wherever_gradients_were_counted(lab, curve):
    run = lab.run("a", curve([0.1, 0.2, 0.3]))
    run.write_state(flops_per_sample=7.0)
    frame = load(lab.store, columns=["test_accuracy", *(set(CLOCKS.values()) - {"flops"})])
    made = payload(frame, ["test_accuracy"], "optimizer", title="t")
    at = [clock["key"] for clock in made["clocks"]].index("flops")
    assert numbers(made, made["lines"][0]["runs"][0]["rows"][0][2][at]).tolist() == [0.0, 7 * 64.0, 7 * 128.0]


def test_metrics_say_what_they_are(lab, curve):
    rows = [{**row, "train_loss": 10.0**-i} for i, row in enumerate(curve([0.1, 0.2, 0.3]))]
    lab.run("a", [{**row, "batch_size": 8.0} for row in rows])
    accuracy, loss, size = sent(lab, "test_accuracy", "min:train_loss", "batch_size", "gap")["metrics"]
    assert (accuracy["unit"], accuracy["scale"], accuracy["floor"], accuracy["ceiling"]) == ("%", 100, 0, 1)
    assert (accuracy["best"], accuracy["run"], accuracy["log"]) == ("max", "plain", False)
    assert (loss["best"], loss["run"], loss["log"], loss["floor"], loss["ceiling"]) == ("min", "best", True, 0, None)
    assert size["best"] is None


def test_each_line_has_a_look_of_its_own_or_none_has(lab, curve):
    for i in range(45):
        lab.run(f"a{i}", curve([0.1, 0.2]), optimizer=f"o{i:02}")
    few = payload(load(lab.store, where=[f"optimizer={','.join(f'o{i:02}' for i in range(35))}"]),
                  ["test_accuracy"], "optimizer", title="few")  # fmt: skip
    looks = [tuple(map(str, line["look"].values())) for line in few["lines"]]
    assert len(set(looks)) == len(looks) == 35
    assert {line["look"] for line in sent(lab)["lines"]} == {None}
    assert len({(look["color"], *look["dash"]) for look in few["palette"]}) == len(few["palette"]) == 35


def test_names_of_lines_differ(lab, curve):
    lab.run("a", curve([0.1]), optimizer="sgd", size=1)
    lab.run("b", curve([0.1]), optimizer="sgd", size="1")
    assert len({line["name"] for line in sent(lab, hue="optimizer.size")["lines"]}) == 2


def test_a_page_cannot_be_broken_out_of(lab, curve):
    name = "</script><b>&\u2028"
    lab.run("a", curve([0.1]), optimizer=name)
    text = encode(sent(lab, baseline=name))
    assert not set("<>&\u2028\u2029") & set(text)
    made = json.loads(text)
    assert made["lines"][0]["name"] == made["baseline"] == "</script><b>&\\u2028"


def test_refusals_name_the_way_out(lab, curve):
    lab.run("a", curve([0.1]))
    with pytest.raises(ValueError, match=r"^no run has a row of gap yet: see `batchlab status`$"):
        sent(lab, "gap")
    with pytest.raises(ValueError, match=r"is one number per run: a curve is NAME, min:NAME or max:NAME$"):
        sent(lab, "steps_to:test_accuracy>=0.5")
    with pytest.raises(ValueError, match="no run has the axis"):
        sent(lab, hue="nothing")


def test_mixed_methods_and_repeats_are_said(lab, curve):
    for seed in range(2):
        for schedule in ("constant", "exponential"):
            lab.run(f"a{seed}{schedule}", curve([0.1]), seed=seed, batch_schedule=schedule)
    made = sent(lab)
    assert made["notes"] == ["lines mix runs that differ in batch_schedule"]
    assert made["seeds"] == ["0", "1"], "n counts these, within which runs are averaged first"


def test_assets_are_there_and_fetch_nothing():
    for name in (*SCRIPTS, *STYLES):
        text = (ASSETS / name).read_text()
        assert "</script" not in text
        assert "</style" not in text
        for word in ("fetch(", "XMLHttpRequest", "import(", "url(http", "eval("):
            assert word not in text, name
    assert "MIT" in (ASSETS / "uPlot.LICENSE").read_text()


def test_runs_that_ended_before_a_row_are_counted(lab, curve):
    lab.run("a", curve([0.1]), optimizer="sgd", seed=0)
    lab.run("b", [], "diverged", optimizer="sgd", seed=1)
    lab.run("c", [], "diverged", optimizer="adam", seed=0)
    lab.run("d", [], "failed", optimizer="adam", seed=1)
    lines = {line["name"]: line for line in sent(lab)["lines"]}
    assert lines["sgd"]["rowless"] == {"diverged": 1, "unfinished": 0}
    assert lines["adam"]["rowless"] == {"diverged": 1, "unfinished": 1}
    assert lines["adam"]["runs"] == []

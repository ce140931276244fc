"""Interactive curves: what the browser computes for any view is what Python does."""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict

import numpy as np
import pytest
from curves_page import near

from batchlab.results.compare.curves import curves
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.stats import t_quantile

pytest_plugins = ["curves_fixtures"]
pytestmark = pytest.mark.slow

METRICS = ("test_accuracy", "train_loss", "gap")
CLOCKS = ("samples", "steps", "epochs", "gradients", "seconds")
COMPUTE = """([i, view]) => {
  const data = document.querySelectorAll("script.curves-data")[i].textContent;
  const flat = (_, v) => ArrayBuffer.isView(v) ? Array.from(v, (n) => (Number.isFinite(n) ? n : String(n))) : v;
  return JSON.stringify(batchlab.curves.compute(JSON.parse(data), view), flat);
}"""


def computed(page, figure=0, **view):
    """What the browser computes for a view, with arrays as they are here."""
    made = json.loads(page.evaluate(COMPUTE, [figure, view]))
    for line in made["lines"]:
        for track in (line, *line["lost"], *line["seeds"]):
            track |= {
                key: np.array(track[key], dtype=float) for key in ("x", "y", "mean", "low", "high") if key in track
            }
    return made


def test_every_view_is_what_python_draws(opened, frame):
    page = opened()
    for column, clock, log, best in itertools.product(METRICS, CLOCKS, (False, True), (False, True)):
        metric = Metric.parse(f"{'max' if column == 'test_accuracy' else 'min'}:{column}" if best else column).of(frame)
        wanted = curves(frame, metric, clock, "optimizer", log=log)
        made = computed(page, metric=column, x=clock, y="log" if log else "linear", run="best" if best else "plain")
        assert [line["name"] for line in made["lines"]] == [line.value for line in wanted]
        for found, line in zip(made["lines"], wanted, strict=True):
            assert (found["n"], found["diverged"], len(found["lost"])) == (line.n, line.diverged, len(line.lost))
            if found["name"].startswith("long") and (clock == "seconds" or (log and column == "gap")):
                continue  # thinned before rows are left out that are at one place, or not above 0
            for key in ("x", "mean", "low", "high"):
                near(found[key], getattr(line, key))
            for track, lost in zip(found["lost"], line.lost, strict=True):
                near(track["x"], lost.x)
                near(track["y"], lost.y)
        bands = {line["name"] for line in made["lines"] if line["band"]}
        assert bands == {"adam", "shb"} | ({"together"} if clock != "seconds" else set())


def tracks(frame, optimizer, column, clock_column):
    """The runs of an optimizer that are done, by seed: pairs of x and y, as recorded."""
    found = defaultdict(list)
    values, ticks = frame.column(column)[0], frame.column(clock_column)[0]
    for run in frame.where(optimizer=optimizer).runs:
        if run.state == "done":
            x, y = ticks[run.rows], values[run.rows]
            last = np.append(np.diff(x) > 0, True)
            found[run.value("seed")].append((x[last], y[last]))
    return found


def read(own, x, log):
    """Repeats averaged, by seed, on x."""
    scale = np.log if log else np.asarray
    return {seed: np.mean([np.interp(x, a, scale(b)) for a, b in runs], axis=0) for seed, runs in own.items()}


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("clock", "column"), [("samples", "samples"), ("seconds", "train_seconds")])
def test_relative_to_a_baseline_within_seeds(opened, frame, clock, column, log):
    made = computed(opened(), metric="train_loss", x=clock, run="plain", y="log" if log else "linear", base="adam")
    base = tracks(frame, "adam", "train_loss", column)
    lines = {line["name"]: line for line in made["lines"]}
    for name, n in (("shb", 4), ("repeated", 2), ("adam", 4)):
        own, line = tracks(frame, name, "train_loss", column), lines[name]
        seeds = sorted(set(own) & set(base))
        both = [track for side in (own, base) for seed in seeds for track in side[seed]]
        x = np.unique(np.concatenate([a for a, _ in both]))
        x = x[(x >= max(a[0] for a, _ in both)) & (x <= min(a[-1] for a, _ in both))]
        mine, theirs = read(own, x, log), read(base, x, log)
        pairs = np.array([mine[seed] - theirs[seed] for seed in seeds])
        half = t_quantile(n - 1) * pairs.std(axis=0, ddof=1) / math.sqrt(n)
        back = np.exp if log else np.asarray
        assert line["n"] == n
        near(line["x"], x)
        for key, wanted in (("mean", 0), ("low", -half), ("high", half)):
            np.testing.assert_allclose(line[key], back(pairs.mean(axis=0) + wanted), rtol=1e-5, atol=1e-6)
    assert lines["long & <wide>"]["n"] == 1
    assert lines["lost"]["n"] == 0
    assert len(lines["lost"]["lost"]) == 1  # its seed is one of the baseline's, as far as it came


@pytest.mark.parametrize("log", [False, True])
def test_medians_and_quartiles(opened, frame, log):
    made = computed(
        opened(), metric="train_loss", x="seconds", run="plain", y="log" if log else "linear", stat="median"
    )
    back = np.exp if log else np.asarray
    for line in made["lines"]:
        if line["name"] in ("adam", "shb"):
            own = np.array(
                list(read(tracks(frame, line["name"], "train_loss", "train_seconds"), line["x"], log).values())
            )
            for key, share in (("mean", 0.5), ("low", 0.25), ("high", 0.75)):
                near(line[key], back(np.quantile(own, share, axis=0, method="linear")))


def test_every_seed_on_its_own_rows(opened, frame):
    made = computed(opened(), metric="test_accuracy", x="steps", stat="seeds")
    lines = {line["name"]: line for line in made["lines"]}
    own = tracks(frame, "shb", "test_accuracy", "steps")
    assert [one["seed"] for one in lines["shb"]["seeds"]] == [str(seed) for seed in own]
    for found, ((x, y),) in zip(lines["shb"]["seeds"], own.values(), strict=True):
        near(found["x"], x)
        near(found["y"], y)
    assert [len(line["seeds"]) for line in made["lines"]] == [
        len({r.value("seed") for r in frame.where(optimizer=name).runs if r.state == "done"}) for name in lines
    ]

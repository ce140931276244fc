"""Runs, a page of their curves, and a browser that opens it: fixtures of the tests of interactive curves."""

from __future__ import annotations

import numpy as np
import pytest
from curves_page import opening, rows_of, write_page

from batchlab.results.compare.load import load
from batchlab.results.report.curves import payload


@pytest.fixture(scope="module")
def frame(shared_lab):
    """Lines with other lengths, paces and seeds, repeats, runs that were lost, and times that seeds share."""
    rng, lab = np.random.default_rng(0), shared_lab
    for seed in range(4):
        lab.run(f"a{seed}", rows_of(rng, 12), optimizer="adam", seed=seed)
        lab.run(f"b{seed}", rows_of(rng, 15 + seed, pace=0.5, step=48), optimizer="shb", seed=seed)
        run = lab.run(f"t{seed}", rows_of(rng, 10), optimizer="together", seed=seed)
        run.write_state(state="done", fused=4)
    for again in (False, True):
        lab.run(f"c{again}", rows_of(rng, 9), optimizer="repeated", seed=1, train_accuracy=again)
    lab.run("c2", rows_of(rng, 11), optimizer="repeated", seed=2)
    lab.run("d1", rows_of(rng, 6), "diverged", optimizer="shb", seed=7)
    lab.run("d2", rows_of(rng, 3), "interrupted", optimizer="adam", seed=8)
    lab.run("d3", rows_of(rng, 4), "diverged", optimizer="lost", seed=1)
    lab.run("e", rows_of(rng, 420, step=8), optimizer="long & <wide>", seed=3)
    return load(lab.store)


@pytest.fixture(scope="module")
def file(frame, tmp_path_factory):
    """A page of two figures, far apart."""
    made = [
        payload(frame, ("test_accuracy", "min:train_loss", "gap"), "optimizer", title="By optimizer"),
        payload(frame, ("gap", "test_accuracy"), "optimizer,seed", title="By optimizer and seed", baseline="adam 1"),
    ]
    path = tmp_path_factory.mktemp("page") / "curves.html"
    return write_page(path, made, between="<div style='height: 4000px'></div>")


@pytest.fixture
def opened(chromium, file):
    """Opens the page, and sees that no script failed."""
    with opening(chromium, file) as at:
        yield at

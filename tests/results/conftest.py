"""A store of runs made by the real recorder, so that readers are tested on what writers write."""

from pathlib import Path

import pytest
import yaml

from batchlab.results.compare.derived import numbers
from batchlab.results.compare.frame import RunRow
from batchlab.results.store.record import Recorder
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore

CHROMIUM = Path("/usr/bin/chromium")


def configuration(
    optimizer="shb",
    seed=0,
    lr_schedule="constant",
    batch_schedule="constant",
    nproc=1,
    train_accuracy=False,
    dataset="digits",
    epochs=3,
    **optimizer_keys,
):
    return {
        "optimizer": {"name": optimizer, "lr": 0.1} | optimizer_keys,
        "lr_schedule": {"name": lr_schedule, "every": None},
        "batch_schedule": {"name": batch_schedule},
        "model": {"name": "resnet8", "widths": [16, 32]},
        "dataset": {"name": dataset},
        "train": {"epochs": epochs, "compile": False},
        "log": {"train_accuracy": train_accuracy},
        "nproc": nproc,
        "seed": seed,
    }


class Lab:
    """Builds runs in a temporary store."""

    def __init__(self, root):
        self.store = RunStore(root).prepare()

    def run(self, run_id, rows, state="done", reason=None, **config):
        run, config = self.store.run(run_id), configuration(**config)
        run.write_config(yaml.safe_dump(config))
        run.write_state(state="running", started="2026-01-01T00:00:00+00:00", versions={"torch": "2.11"})
        axes = {key: config[key]["name"] for key in list(config)[:5]} | {"seed": config["seed"], "run_id": run_id}
        with Recorder(run) as recorder:
            for row in rows:
                recorder.write("metrics", row)
            if state in ("done", "diverged"):
                recorder.seal(axes, config)
        if state != "crashed":
            run.write_state(state=state, reason=reason)
        return run


def curve(values, name="test_accuracy", samples=64):
    """Rows with one metric and every clock."""
    return [
        {
            "samples": samples * i,
            "steps": 2 * i,
            "epoch": float(i),
            "gradients": samples * i,
            "train_seconds": 0.5 * i,
            name: value,
        }
        for i, value in enumerate(values)
    ]


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path / "runs")


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory):
    """For runs that many tests read and none changes."""
    return Lab(tmp_path_factory.mktemp("shared") / "runs")


@pytest.fixture(scope="session", name="curve")
def make_curve():
    return curve


def frame_of(runs):
    """A frame in memory, for simulations: (labels with `seed`, numbers of the last row, state and more of run.json)."""
    rows = []
    for i, (labels, values, *more) in enumerate(runs):
        state, info = (*more, *("done", {})[len(more) :])
        run = RunRow(f"r{i}", State(state), None, info, {"seed": labels["seed"]}, {}, {})
        rows.append((run, {key: value for key, value in labels.items() if key != "seed"}, values))
    return numbers(rows)


@pytest.fixture(scope="session", name="frame_of")
def make_frame():
    return frame_of


@pytest.fixture(scope="module")
def chromium():
    """A browser; tests that need one are skipped, with the reason, where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()

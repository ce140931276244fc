"""Which test examples are right: the bits that a run leaves are those that its accuracy is the mean of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from runs import Fleet, context, frozen, one, rows, trained

from batchlab.results.store.bits import packed, unpacked
from batchlab.results.store.run import Run, State
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.plan.validate import validate
from batchlab.runner.train.loop import train
from batchlab.runner.train.session import Session

MINE = """
from batchlab.runner.measures import Measure


class Mine(Measure):
    def measure(self, probe):
        outputs, targets = probe.predictions("test")
        return {"mine": float((outputs.argmax(1) == targets).double().mean())}
"""


def bits(run: Run) -> np.ndarray:
    """Of the only row."""
    (row,) = pq.read_table(run.examples).to_pylist()
    assert row["samples"] == rows(run)[-1]["samples"], "of the last evaluation"
    return unpacked(row["correct"], row["n"])


@pytest.mark.parametrize("n", [1, 7, 8, 9, 355])
def test_bits_come_back(n: int) -> None:
    correct = np.random.default_rng(n).random(n) < 0.5
    assert (unpacked(packed(correct), n) == correct).all()
    with pytest.raises(ValueError, match="cannot be the bits"):
        unpacked(packed(correct), n + 8)


def test_each_bit_is_the_example_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, config = frozen(tmp_path, "+measure=correct", "log.evaluate_every=0.5", "model=resnet8", "model.width=4")
    sessions = []
    build = Session.build
    monkeypatch.setattr(Session, "build", lambda *args: sessions.append(build(*args)) or sessions[-1])
    train(config, context(run))
    (session,) = sessions
    data, seen = session.dataset, session.model.eval()
    with torch.no_grad():
        single = [int(seen(x).argmax()) == int(y) for x, y in each(session)]
    assert len(single) == len(data.y_test) == 355
    assert (bits(run) == single).mean() > 0.99, "batches of one round otherwise"
    assert bits(run).mean() == rows(run)[-1]["test_accuracy"]
    assert 0.1 < bits(run).mean() < 1


def each(session: Session) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The test examples one by one."""
    return [(x[i : i + 1], y[i]) for x, y in session.probe.batches("test") for i in range(len(y))]


def test_two_ranks_leave_the_bits_of_one(fleet: Fleet, tmp_path: Path) -> None:
    setup = ("+measure=correct", "optimizer.lr=0.02", "train.precision=float64")
    found = {}
    for n in (1, 2):
        run = fleet.train(tmp_path, one(*setup, f"nproc={n}"))
        found[n] = bits(run)
        assert found[n].mean() == rows(run)[-1]["test_accuracy"]
    assert (found[1] == found[2]).all()


def test_a_resumed_run_leaves_the_same_row_once(tmp_path: Path) -> None:
    whole, config = frozen(tmp_path / "whole", "+measure=correct", "train.epochs=2", "log.evaluate_every=1")
    assert trained(whole, config) == State.DONE
    cut, config = frozen(tmp_path / "cut", "+measure=correct", "train.epochs=2", "log.evaluate_every=1")
    assert trained(cut, config, stop_after=9) == State.INTERRUPTED
    assert not cut.stream("examples").exists()
    assert trained(cut, config) == State.DONE
    assert (bits(cut) == bits(whole)).all()


def test_a_measure_of_ones_own_is_not_disturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_measures.py").write_text(MINE)
    (tmp_path / "conf/measure").mkdir(parents=True)
    (tmp_path / "conf/measure/mine.yaml").write_text("name: mine\n_target_: mine_measures.Mine\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for choice in ("[mine,scores]", "[mine,scores,correct]", "[correct,scores,mine]"):
        run, config = frozen(tmp_path / "runs", f"measure={choice}", "log.evaluate_every=0.5")
        assert trained(run, config) == State.DONE
        found.append([(row["mine"], row["test_accuracy"], row["train_loss"]) for row in rows(run)[1:]])
    assert found[0] == found[1] == found[2]


def test_what_has_no_right_and_wrong_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"measure=correct.*a test split with labels"):
        validate([one("dataset=linear_regression", "train.loss=mse", "+measure=correct")])

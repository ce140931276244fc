"""Inputs that are ids and targets of any shape, from a user's own file: trained, scored, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from runs import frozen, one, rows, trained
from torch.nn.functional import cross_entropy

from batchlab.runner.measures import Probe
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import ConfigError, RunConfig
from batchlab.runner.plan.validate import validate
from batchlab.runner.train.session import Session

OWN = """
import torch
from torch import nn

class Bigram(nn.Module):
    def __init__(self, vocabulary, classes, layout="last"):
        super().__init__()
        self.table, self.layout = nn.Embedding(vocabulary, classes), layout
    def forward(self, x):
        assert x.dtype == torch.int64
        out = self.table(x)
        return {"last": out, "second": out.mT, "one": out.mean(1)}[self.layout]

class Columns(nn.Module):
    def __init__(self, sizes, first, outputs):
        super().__init__()
        assert sizes == [0, 3, 4] and first == 0
        self.parts = nn.ModuleList(nn.Embedding(n, outputs) for n in sizes[1:])
    def forward(self, x):
        return sum(part(x[:, i + 1]) for i, part in enumerate(self.parts)) + x[:, :1].float()

class Own(nn.Linear):
    '''What it calls vocabulary is its own affair where the data set has none.'''
    def __init__(self, classes, vocabulary=5):
        assert vocabulary == 5
        super().__init__(64, classes)
    def forward(self, x):
        return super().forward(x.flatten(1))

def halves(outputs, targets):
    '''Counts only the second half of each sequence.'''
    losses = nn.functional.cross_entropy(outputs.mT, targets, reduction="none")
    return losses[:, losses.shape[1] // 2:].mean(1)
"""
DATA = ("dataset=npz", "dataset.file=mine", "dataset.vocabulary=7")
TOKENS = (*DATA, "model=bigram", "batch_schedule.size=8", "train.epochs=2", "train.device=cpu")


@pytest.fixture(autouse=True)
def _beside_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_tokens.py").write_text(OWN)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    for name, more in (
        ("bigram", "layout: last\n"),
        ("own", ""),
        ("columns", "sizes: ${vocabulary}\nfirst: ${vocabulary[0]}\noutputs: ${classes}\n"),
    ):
        text = f"name: {name}\n_target_: own_tokens.{name.capitalize()}\n{more}"
        (tmp_path / "conf" / "model" / f"{name}.yaml").write_text(text)
    draw = np.random.default_rng(0)
    x = draw.integers(0, 7, (50, 6))
    y = np.where(draw.random(x.shape) < 0.8, (x + 1) % 7, x)
    np.savez(tmp_path / "mine.npz", x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path))


def session(*overrides: str) -> Session:
    return Session.build(RunConfig.of(one(*TOKENS, *overrides).tree), torch.device("cpu"), 0, 1)


def look(of: Session) -> Probe:
    return of.probe.look(of.clock, 8)


@pytest.mark.parametrize("more", [(), ("train.groups=3", "optimizer=vr_sgd"), ("train.micro_batch=3",)], ids=str)
def test_every_sample_and_in_it_every_token_weighs_the_same(more: tuple[str, ...]) -> None:
    run = session("train.precision=float64", *more)
    batch = run.batches.take(8, run.groups)
    total = run.gradient(batch)
    x, y = (torch.cat(parts) for parts in zip(*batch.micro, strict=True))
    loss = cross_entropy(run.model(x).flatten(0, 1), y.flatten())
    (wanted,) = torch.autograd.grad(loss, list(run.model.parameters()))
    torch.testing.assert_close(run.model.table.weight.grad, wanted)
    assert float(total) == pytest.approx(8 * loss.item())


def test_scores_are_over_tokens(tmp_path: Path) -> None:
    run, config = frozen(tmp_path / "runs", *TOKENS, "+measure=train_accuracy", "optimizer.lr=5.0")
    assert trained(run, config) == "done"
    first, last = rows(run)[0], rows(run)[-1]
    assert first["test_accuracy"] < 0.5 < last["test_accuracy"] < 0.95
    assert last["test_loss"] < first["test_loss"]
    of = session()
    outputs, targets = look(of).predictions("test")
    assert (tuple(outputs.shape), tuple(targets.shape)) == ((10, 6, 7), (10, 6))
    score = look(of).score("test")
    assert score["accuracy"] == pytest.approx(float((outputs.argmax(-1) == targets).double().mean()))
    assert score["loss"] == pytest.approx(cross_entropy(outputs.mT, targets).item(), rel=1e-6)


def test_a_rank_without_samples_has_outputs_of_the_right_shape() -> None:
    of = session()
    of.probe.rank, of.probe.world_size = 12, 13
    outputs, targets = look(of)._outputs("test")
    assert (tuple(outputs.shape), tuple(targets.shape), targets.dtype) == ((0, 6, 7), (0, 6), torch.int64)


def test_a_loss_of_ones_own(tmp_path: Path) -> None:
    own = ("train.loss=own_tokens.halves", "train.precision=float64")
    validate([one(*TOKENS, *own)])
    of = session(*own)
    outputs, targets = look(of).predictions("test")
    wanted = cross_entropy(outputs[:, 3:].mT, targets[:, 3:])
    assert look(of).score("test")["loss"] == pytest.approx(wanted.item())


def test_columns_of_a_table(tmp_path: Path) -> None:
    x = np.array([[9, 0, 3], [10**9, 2, 0]] * 5)
    np.savez(tmp_path / "clicks.npz", x_train=x, y_train=x[:, 1] // 2, x_test=x, y_test=x[:, 1] // 2)
    table = ("dataset=npz", "dataset.file=clicks", "dataset.vocabulary=[0,3,4]", "model=columns")
    planned = one(*table, "batch_schedule.size=2")
    assert planned.tree["model"]["sizes"] == "${vocabulary}", "as it is written"
    assert validate([planned]) == []
    with pytest.raises(ConfigError, match=r"mine: dataset.vocabulary has 3 numbers for samples of shape \(6,\)"):
        validate([one(table[0], DATA[1], *table[2:])])
    assert validate([one("dataset=digits", "model=own")]) == []
    with pytest.raises(ConfigError, match=r"\$\{vocabulary\[0\]\} is not to be had of a vocabulary of 7 ids"):
        validate([one(*DATA, "model=columns", "batch_schedule.size=4")])
    with pytest.raises(ConfigError, match=r"\$\{vocabulary\} is not to be had of inputs that are no ids"):
        validate([one("dataset=digits", "model=columns")])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("model.layout=second",), r"model=bigram gives outputs \(n, 7, 6\) where one tensor \(n, 6, 7\) is needed for "
         r"labels \(n, 6\) of the 7 classes of dataset=mine, which come last"),
        (("model.layout=one",), r"model=bigram gives outputs \(n, 7\) where one tensor \(n, 6, 7\) is needed"),
        (("model=mlp",), r"model=mlp does not take the inputs of dataset=mine, ids \(n, 6\): RuntimeError"),
        (("dataset.vocabulary=3",), r"x_train has ids 0 to 6 in column 0"),
        (("dataset.vocabulary=null",), r"is not to be had of inputs that are no ids|model=bigram"),
        (("+measure=correct",), "needs one label per sample"),
        (("optimizer=svrg", "model=logistic"), "holds ids"),
        (("train.loss=mse",), "needs train.loss=cross_entropy"),
    ],
    ids=str,
)  # fmt: skip
def test_what_does_not_fit_is_said_in_one_line(overrides: tuple[str, ...], said: str) -> None:
    keys = {text.split("=")[0] for text in overrides}
    planned = one(*(text for text in TOKENS if text.split("=")[0] not in keys), *overrides)
    with pytest.raises(ConfigError, match=said) as caught:
        validate([planned])
    assert "\n" not in str(caught.value)


def test_nothing_is_left_of_a_trial() -> None:
    state = torch.random.get_rng_state()
    validate([one(*TOKENS)])
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_file_without_ids_is_the_run_that_it_was() -> None:
    before, same, other = (
        compose(["dataset=npz", "dataset.file=some", *more])[0].run_id
        for more in ((), ("dataset.vocabulary=null",), ("dataset.vocabulary=9",))
    )
    assert before == same == "c5fc3e1c4604"
    assert other != before

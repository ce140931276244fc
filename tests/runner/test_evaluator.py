"""Full gradient norms against a hand computation and a transcription of the paper's procedure; no trace left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from runs import context, frozen, one, rows
from torch import Tensor, nn

from batchlab.datasets import Batches, evaluation_batches
from batchlab.runner.measures import FullGradientNorm, PaperGradientNorm, ReestimatedBatchNorm, probe
from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.train.loop import train
from batchlab.runner.train.session import Session

AUGMENTED = ("model=resnet8", "model.width=4", "dataset.pad=1", "dataset.rotate=15.0", "train.precision=float64")


@pytest.fixture(scope="module")
def session() -> Session:
    """A few steps into training, so that BatchNorm's statistics are not the initial ones."""
    config = RunConfig.of(one(*AUGMENTED, "+measure=full_gradient_norm_paper", "train.micro_batch=100").tree)
    session = Session.build(config, torch.device("cpu"), 0, 1)
    for _ in range(3):
        session.gradient(session.batches.take(64))
        session.optimizer.step()
    return session


def gradient(model: nn.Module, loss: Tensor) -> Tensor:
    """As one vector."""
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(model.parameters()))])


def test_full_gradient_norm_is_that_of_one_batch_of_everything(session: Session) -> None:
    data, pre = session.dataset, session.dataset.preprocessing
    assert pre.mean is not None
    assert pre.std is not None
    x = torch.from_numpy(data.x_train).double().permute(0, 3, 1, 2) / pre.white
    x = (x - pre.mean[0]) / pre.std[0]
    session.model.eval()
    loss = nn.functional.cross_entropy(session.model(x), torch.from_numpy(data.y_train))
    by_hand = float(gradient(session.model, loss).norm())
    session.model.train()
    assert FullGradientNorm().measure(session.probe)["full_gradient_norm"] == pytest.approx(by_hand, rel=1e-10)


@pytest.mark.parametrize("name", ["full_gradient_norm", "full_gradient_norm_paper"])
def test_gradient_norms_are_of_float32_where_training_is_in_bfloat16(name: str) -> None:
    found = {}
    for precision in ("float32", "bfloat16"):
        config = RunConfig.of(one(*AUGMENTED[:-1], f"+measure={name}", f"train.precision={precision}").tree)
        session = Session.build(config, torch.device("cpu"), 0, 1)
        found[precision] = session.measures[name].measure(session.probe.look(session.clock, 64))[name]  # type: ignore[call-overload]
    assert found["bfloat16"] == found["float32"]


def test_what_is_evaluated_is_not_smoothed(tmp_path: Path) -> None:
    """The plain cross entropy of the model as it is; the training loss is the smoothed one."""
    run, config = frozen(tmp_path, "train.label_smoothing=0.3", "measure=[scores,train_accuracy]", "train.epochs=2")
    sessions = []
    with pytest.MonkeyPatch.context() as patch:
        build = Session.build
        patch.setattr(Session, "build", lambda *args: sessions.append(build(*args)) or sessions[-1])
        train(config, context(run))
    (session,) = sessions
    session.model.eval()
    smoothed = {}
    for split, column in (("test", "test_loss"), ("train", "train_eval_loss")):
        ((x, y),) = evaluation_batches(session.dataset, split, device="cpu", batch=10_000)  # type: ignore[arg-type]
        output = session.model(x)
        assert rows(run)[-1][column] == pytest.approx(float(nn.functional.cross_entropy(output, y)), rel=1e-6)
        smoothed[split] = float(nn.functional.cross_entropy(output, y, label_smoothing=0.3))
    assert rows(run)[-1]["train_loss"] == pytest.approx(smoothed["train"], rel=0.2), "what trains is smoothed"


@pytest.mark.parametrize("size", [8, 100, 333, 5000])
def test_the_papers_procedure(session: Session, size: int) -> None:
    """G = sum over one augmented pass, in train mode, of b / n times the gradient of a batch's mean loss; b is the
    loader's size, for a partial last batch too."""
    stream = {"seed": 0, "stream": PaperGradientNorm.STREAM, "device": "cpu", "dtype": torch.float64}
    batches = Batches(session.dataset, **stream, micro_batch=None)
    session.model.train()
    kept = [b.clone() for b in session.model.buffers()]
    total: Any = 0
    n, seen = batches.n, 0
    while seen < n:
        batch = batches.take(size)
        ((x, y),) = batch.micro
        total = total + gradient(session.model, nn.functional.cross_entropy(session.model(x), y)) * min(size, n) / n
        seen += batch.size
    for buffer, before in zip(session.model.buffers(), kept, strict=True):
        buffer.copy_(before)
    whole = PaperGradientNorm()
    whole._batches = Batches(session.dataset, **stream, micro_batch=None)
    measured = whole.measure(session.probe.look(session.clock, size))
    assert measured["full_gradient_norm_paper"] == pytest.approx(float(total.norm()), rel=1e-10)
    assert all(torch.equal(a, b) for a, b in zip(session.model.buffers(), kept, strict=True))


def count_passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Splits that will be gone through, in order."""
    seen: list[str] = []
    batches = probe.Probe.batches

    def counted(self: probe.Probe, split: Any) -> Any:
        seen.append(split)
        return batches(self, split)

    monkeypatch.setattr(probe.Probe, "batches", counted)
    return seen


@pytest.fixture
def passes(session: Session, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Splits that were gone through, in order."""
    seen = count_passes(monkeypatch)
    session.probe.look(session.clock, 64)
    return seen


def test_the_gradients_pass_gives_the_scores_of_the_training_set_too(session: Session, passes: list[str]) -> None:
    apart = session.probe.score("train"), session.probe.predictions("train")
    assert passes == ["train"], "scores and predictions are of one pass"
    session.probe.look(session.clock, 64)
    FullGradientNorm().measure(session.probe)
    together = session.probe.score("train"), session.probe.predictions("train")
    assert passes == ["train", "train"]
    assert together[0] == pytest.approx(apart[0], rel=1e-12)
    torch.testing.assert_close(together[1], apart[1], rtol=1e-12, atol=1e-12)


def test_scores_and_predictions_of_a_split_are_of_one_pass(session: Session, passes: list[str]) -> None:
    outputs, targets = session.probe.predictions("test")
    score = session.probe.score("test")
    assert passes == ["test"]
    assert score["loss"] == pytest.approx(float(nn.functional.cross_entropy(outputs, targets)), rel=1e-12)
    assert score["accuracy"] == float((outputs.argmax(1) == targets).double().mean())
    session.probe.look(session.clock, 64)
    session.probe.score("test")
    assert passes == ["test", "test"], "at another moment the model is another"


@pytest.mark.parametrize(("precision", "taken"), [("float32", 1), ("bfloat16", 2)])
def test_passes_of_a_row(precision: str, taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order in which they are asked for; under autocast the outputs are others than the gradient's."""
    seen = count_passes(monkeypatch)
    asked = "measure=[train_accuracy,scores,full_gradient_norm]"
    run, config = frozen(tmp_path, asked, "train.epochs=2", f"train.precision={precision}")
    train(config, context(run))
    assert len(rows(run)) == 3
    assert seen.count("test") == 3
    assert seen.count("train") == 1 + 2 * taken, "no gradient where the run begins"


EVERYTHING = (
    "measure=[scores,full_gradient_norm,full_gradient_norm_paper,train_accuracy,batchnorm_reestimated]",
    "log.steps=true",
)


def test_measuring_changes_nothing(tmp_path: Path) -> None:
    plain, config = frozen(tmp_path, *AUGMENTED, "train.epochs=2")
    train(config, context(plain))
    measured, config = frozen(tmp_path, *AUGMENTED, "train.epochs=2", *EVERYTHING)
    train(config, context(measured))
    assert plain.run_id != measured.run_id
    same = [{k: v for k, v in r.items() if k != "run_id"} for r in rows(plain)]
    more = rows(measured)
    assert [{k: r[k] for k in same[0]} for r in more] == same
    assert {"full_gradient_norm", "full_gradient_norm_paper", "train_accuracy", "test_accuracy_reestimated"} <= set(
        more[-1]
    )
    import pyarrow.parquet as pq

    steps = pq.read_table(measured.steps).to_pylist()
    assert len(steps) == more[-1]["steps"]
    assert {s["batch_size"] for s in steps} == {128, 1442 % 128}
    assert {r["batch_size"] for r in more} == {128}, "the schedule's, not the epoch's leftover"


class Dropping(nn.Module):
    """Draws from torch's random state in every training pass."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.last = nn.Linear(64, classes)
        self.unused = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.last(nn.functional.dropout(x.flatten(1), 0.3, self.training))  # type: ignore[no-any-return]


def test_dropout_and_unused_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "Dropping", Dropping, raising=False)
    target = ["model._target_=batchlab.runner.measures.probe.Dropping", "~model.hidden"]
    plain, config = frozen(tmp_path, *target, "train.epochs=2")
    train(config, context(plain))
    measured, config = frozen(tmp_path, *target, "train.epochs=2", *EVERYTHING)
    train(config, context(measured))
    assert [r["test_loss"] for r in rows(measured)] == [r["test_loss"] for r in rows(plain)]


def test_reestimated_statistics_are_the_training_sets(session: Session) -> None:
    """With one batch of everything, what eval mode sees is exactly what train mode saw."""
    before = [b.clone() for b in session.model.buffers()]
    accuracy = ReestimatedBatchNorm().measure(session.probe)["test_accuracy_reestimated"]
    assert 0 <= accuracy <= 1
    assert all(torch.equal(a, b) for a, b in zip(session.model.buffers(), before, strict=True))
    assert accuracy != session.probe.score("test")["accuracy"]

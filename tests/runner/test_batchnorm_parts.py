"""BatchNorm in a batch that comes in parts: another gradient, a warning before the run, and two facts after it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from runs import context, frozen, one

from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.plan.validate import validate
from batchlab.runner.train import loop
from batchlab.runner.train.session import Session

SMALL = ("model=resnet8", "model.width=4")
WHOLE = "batch_schedule.size=1442"
GROUP = ("model.norm=group", "model.groups=2")


def gradient(*overrides: str) -> torch.Tensor:
    """Of the whole training set, in float64."""
    config = RunConfig.of(one(*SMALL, WHOLE, "train.precision=float64", *overrides).tree)
    session = Session.build(config, torch.device("cpu"), 0, 1)
    session.gradient(session.take(1442))
    return torch.cat([p.grad.reshape(-1) for p in session.model.parameters() if p.grad is not None])


@pytest.mark.parametrize(("norm", "exact"), [((), False), (GROUP, True)], ids=["batch", "group"])
def test_the_reason(norm: tuple[str, ...], exact: bool) -> None:
    parts, whole = gradient(*norm), gradient(*norm, "train.micro_batch=1442")
    error = float((parts - whole).norm() / whole.norm())
    assert (error < 1e-10) if exact else (error > 1e-3)


SAID = {
    "micro-batches": (
        (WHOLE,),
        "model=resnet8: BatchNorm sees 481 of 1,442 samples at a time where the batch is largest "
        "(train.micro_batch=512): not the gradient of the whole batch, which takes train.micro_batch=1442 or "
        "model.norm=group",
    ),
    "groups": (("train.groups=4",), "32 of 128 samples at a time where the batch is largest (train.groups=4)"),
    "ranks": (("nproc=2",), "64 of 128 samples at a time where the batch is largest (nproc=2)"),
    "ranks-and-groups": (("nproc=2", "train.groups=4"), "takes nproc=1 train.groups=1 or model.norm=group"),
    "a-schedule-that-grows": (
        ("batch_schedule=stagewise", "batch_schedule.sizes=[8,700]", "train.epochs=2"),
        "350 of 700 samples",
    ),
    "noise-between-groups": (
        ("batch_schedule=norm_test", "batch_schedule.maximum=1000", "train.groups=8"),
        "125 of 1,000 samples at a time where the batch is largest (train.groups=8 and train.micro_batch=512): "
        "not the gradient of the whole batch, which takes model.norm=group",
    ),
}


@pytest.mark.parametrize(("overrides", "said"), SAID.values(), ids=SAID.keys())
def test_it_is_said_before_the_run(overrides: tuple[str, ...], said: str) -> None:
    (warning,) = validate([one(*SMALL, *overrides)])
    assert said in warning
    assert validate([one(*SMALL, *GROUP, *overrides)]) == []


@pytest.mark.parametrize(
    "overrides",
    [
        ("batch_schedule.size=512",),
        (WHOLE, "train.micro_batch=1442"),
        ("train.epochs=0.2", "batch_schedule=exponential", "batch_schedule.every=1.0"),
        (WHOLE, "model=mlp"),
    ],
    ids=["in-one", "room-for-it", "does-not-grow-so-far", "no-batchnorm"],
)
def test_it_is_not_said_where_it_does_not_happen(overrides: tuple[str, ...]) -> None:
    asked = {o.split("=", 1)[0]: o for o in (*SMALL, *overrides)}
    if asked["model"] == "model=mlp":
        del asked["model.width"]
    assert validate([one(*asked.values())]) == []


def test_once_for_all_runs_of_a_model() -> None:
    plans = [
        one(*SMALL, f"seed={seed}", f"batch_schedule.size={size}", f"optimizer={name}", "train.groups=8")
        for seed in (0, 1)
        for size in (32, 256, 1442)
        for name in ("shb", "vr_momentum")
    ]
    (warning,) = validate(plans)
    assert "4 of 32, 32 of 256 and 181 of 1,442 samples" in warning
    assert warning.endswith("which takes model.norm=group"), "one side must have groups, and both the same"
    more = [one(*SMALL, f"batch_schedule.size={size}", "train.groups=8") for size in (16, 64)]
    assert "2 of 16 to 181 of 1,442 samples" in validate([*plans, *more])[0]


def test_it_is_written_down(tmp_path: Path) -> None:
    """The largest batch, and the most that BatchNorm saw: 400 of 400 at the beginning, 350 of 700 at the end."""
    stages = ("batch_schedule=stagewise", "batch_schedule.sizes=[400,700]", "train.epochs=2")
    run, config = frozen(tmp_path, *SMALL, *stages)
    assert loop.train(config, context(run)).state == "done"
    info = run.read_state().info
    assert (info["largest_batch"], info["batchnorm_part"]) == (700, 400)
    other, config = frozen(tmp_path, *SMALL, *GROUP, *stages)
    loop.train(config, context(other))
    assert other.read_state().info["largest_batch"] == 700
    assert "batchnorm_part" not in other.read_state().info


def test_an_interruption_does_not_forget_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = ("batch_schedule=stagewise", "batch_schedule.sizes=[180,20]", "train.epochs=1")
    run, config = frozen(tmp_path, *SMALL, *sizes, "train.groups=2")
    here, step = context(run), loop.step

    def then_stop(*args: object) -> object:
        here.stop()
        return step(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "step", then_stop)
    assert loop.train(config, here).state == "interrupted"
    monkeypatch.setattr(loop, "step", step)
    assert loop.train(config, context(run)).state == "done"
    info = run.read_state().info
    assert (info["largest_batch"], info["batchnorm_part"]) == (180, 90)

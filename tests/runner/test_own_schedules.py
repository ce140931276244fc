"""Schedules of a user's own: what is refused and how, and that resumed runs are the same runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import TINY, frozen, one, refused, rows, same_in_parts, trained

from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.plan.validate import validate

OWN = '''
import math
from batchlab.optimizers.batch import Constant

class Falls:
    def factor(self, clock):
        return math.exp(-clock.time("epochs"))

class Gives:
    """What its YAML says, from the fifth step on."""
    def __init__(self, value):
        self.value = value
    def factor(self, clock):
        return self.value if clock.steps > 4 else 1

class Counts:
    asked = 0
    def factor(self, clock):
        self.asked += 1
        return 1 / self.asked

class Breaks:
    def factor(self, clock):
        return [1.0][clock.steps]

class Nothing:
    pass

def whole(clock, top=1.0):
    return 1

def factory(clock="steps"):
    return Falls()

def inverse(n, per=1.0):
    return 1 / (1 + per * n)

class Sizes:
    def __init__(self, value=16):
        self.value = value
    def planned(self, clock):
        return self.value if clock.steps > 4 else 8

class SizesBreak(Sizes):
    def planned(self, clock):
        return {0: 8}[clock.steps]

def growing(clock, by=1):
    return 8 + by * clock.steps

class Hears:
    """Grows by one for every step that it is told of."""
    needs = "moments"
    told = 0
    def planned(self, clock):
        return 16 + self.told
    def update(self, moments):
        self.told += 1
    def record(self):
        return {"told": self.told}
    def state_dict(self):
        return {"told": self.told}
    def load_state_dict(self, state):
        self.told = state["told"]

class Deaf(Hears):
    needs = None
'''
TORCH = "torch.optim.lr_scheduler"


@pytest.fixture(autouse=True)
def _beside_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_schedules.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def own(axis: str, target: str, keys: str = "") -> str:
    """An override that chooses a file of the user's own."""
    path = Path("conf") / axis / "own.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"name: own\n_target_: {target if '.' in target else f'own_schedules.{target}'}\n{keys}\n")
    return f"{axis}=own"


def said(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        validate([one(*overrides)])
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("target", "keys", "message"),
    [
        ("Gives", "value: -0.5", "Gives.factor gives -0.5 at step 11: it must be finite, a number of at least 0"),
        ("Gives", "value: true", "Gives.factor gives True at step 11"),
        ("Gives", "value: null", "Gives.factor gives None at step 11"),
        ("Gives", "value: fast", "Gives.factor gives 'fast' at step 11"),
        ("Counts", "", "asked twice for step 0, it gives 1 and then 0.333333: what it gives must depend on the clock"),
        ("Breaks", "", "Breaks.factor raises IndexError: list index out of range (at step 11)"),
        ("Nothing", "", "what own_schedules.Nothing makes has no factor(clock): give it one"),
        ("Falls", "speed: 3", "speed"),
        ("factory", "clock: epochs\ntop: 1", "top"),
    ],
)
def test_rates_that_are_none(target: str, keys: str, message: str) -> None:
    found = said(own("lr_schedule", target, keys))
    assert found.startswith("lr_schedule=own: ")
    assert message in found


def test_a_functions_keys_are_its_arguments() -> None:
    assert "lr_schedule.fast: own_schedules.whole takes no such argument (it takes: top)" in said(
        own("lr_schedule", "whole", "fast: 1")
    )
    assert (
        validate([one(own("lr_schedule", "whole", "top: 2.0")), one(own("lr_schedule", "factory", "clock: a"))]) == []
    )


def test_a_rate_that_is_found_wrong_later_names_its_schedule(tmp_path: Path) -> None:
    planned = own("lr_schedule", "Breaks")
    with pytest.raises(ConfigError, match=r"^lr_schedule=own: Breaks\.factor raises IndexError"):
        trained(*frozen(tmp_path / "runs", planned))


@pytest.mark.parametrize(
    ("target", "keys", "message"),
    [
        ("StepLR", "step_size: 1", "StepLR is stepped: say on what, clock: epochs or clock: steps"),
        ("StepLR", "step_size: 1\nclock: samples", "clock='samples': torch's schedulers are stepped: choose steps or"),
        ("StepLR", "steps: 1\nclock: epochs", "lr_schedule.steps: torch.optim.lr_scheduler.StepLR takes no such arg"),
        ("StepLR", "step_size: 1\nlast_epoch: 3", "lr_schedule.last_epoch is what batchlab gives"),
        ("StepLR", "clock: epochs", "step_size"),
        ("StepLR", "clock: epochs\nstep_size: ${steps}x", "nothing else beside it"),
        ("ReduceLROnPlateau", "clock: epochs", "ReduceLROnPlateau listens to a metric"),
        ("OneCycleLR", "clock: steps\nmax_lr: 1.0\ntotal_steps: 9", "cycles the momentum too"),
        ("OneCycleLR", "clock: steps\nmax_lr: 1.0\ntotal_steps: 9\ncycle_momentum: false", "Tried to step 10 times"),
        ("OneCycleLR", "clock: steps\nmax_lr: 1.0\ntotal_steps: ${steps}", "cycles the momentum too"),
        ("ExponentialLR", "clock: steps\ngamma: -2.0", "ExponentialLR gives -2048.0 at step 11"),
        ("LambdaLR", "clock: steps\nlr_lambda: own_schedules.gone", "cannot import own_schedules.gone"),
        (
            "SequentialLR",
            "clock: steps\nmilestones: [1]\nschedulers:\n- _target_: torch.optim.lr_scheduler.StepLR",
            "step_s",
        ),
    ],
)
def test_torchs_schedulers_as_they_must_not_be(target: str, keys: str, message: str) -> None:
    try:
        found = said(own("lr_schedule", f"{TORCH}.{target}", keys))
    except ConfigError as error:  # when it is composed
        found = str(error)
    assert found.startswith("lr_schedule")
    assert found.count("lr_schedule=own: ") <= 1
    assert message in found


def test_steps_that_nobody_knows() -> None:
    cosine = own("lr_schedule", f"{TORCH}.CosineAnnealingLR", "clock: steps\nT_max: ${steps}")
    hears = own("batch_schedule", "Hears")
    assert "clock=epochs" in said(cosine, hears, "train.groups=2")
    assert "leads to ${steps}, which a learning-rate schedule's argument can be" in refused(
        cosine, "optimizer.lr=${lr_schedule.T_max}"
    )
    assert '${steps} is for torch\'s schedulers: factor(clock) reads clock.total("steps")' in said(
        own("lr_schedule", "whole", "top: ${steps}")
    )


@pytest.mark.slow
def test_a_scheduler_is_checked_without_torchs_compiler(tmp_path: Path) -> None:
    import subprocess
    import sys

    own("lr_schedule", f"{TORCH}.CosineAnnealingLR", "clock: steps\nT_max: ${steps}")
    code = f"""
import sys
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.validate import validate
validate(compose({[*TINY, "lr_schedule=own", "optimizer=muon"]!r}))
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr


def test_lambdas_are_paths_or_blocks(tmp_path: Path) -> None:
    path = own("lr_schedule", f"{TORCH}.LambdaLR", "clock: steps\nlr_lambda: own_schedules.inverse")
    run, config = frozen(tmp_path / "a", path, "log.steps=true")
    trained(run, config)
    block = "clock: steps\nlr_lambda: {_target_: own_schedules.inverse, per: 2.0}"
    other, config = frozen(tmp_path / "b", own("lr_schedule", f"{TORCH}.LambdaLR", block))
    trained(other, config)
    assert [rows(r)[-1]["lr"] for r in (run, other)] == pytest.approx([0.1 / 12, 0.1 / 23])


RESUMED = {
    "own rates": ("lr_schedule", "Falls", ""),
    "torch's, by steps": ("lr_schedule", f"{TORCH}.ExponentialLR", "clock: steps\ngamma: 0.83"),
    "torch's, over all steps": ("lr_schedule", f"{TORCH}.CosineAnnealingLR", "clock: steps\nT_max: ${steps}"),
    "own sizes": ("batch_schedule", "growing", "by: 3"),
    "own sizes that hear": ("batch_schedule", "Hears", ""),
}


@pytest.mark.parametrize("case", RESUMED)
def test_a_resumed_run_is_the_same_run(case: str, tmp_path: Path) -> None:
    overrides = (own(*RESUMED[case]), "train.epochs=2", "train.groups=2", "batch_schedule.size=64")
    if case.startswith("own sizes"):
        overrides = overrides[:-1]
    validate([one(*overrides)])
    ended = same_in_parts(tmp_path, *overrides)
    assert len({row["lr" if case.startswith(("own rates", "torch")) else "batch_size"] for row in ended}) > 1


@pytest.mark.parametrize(
    ("target", "keys", "message"),
    [
        ("Sizes", "value: 0", "batch_schedule=own: Sizes.planned gives 0: it must be a whole number of samples"),
        ("Sizes", "value: 2.5", "batch_schedule=own: Sizes.planned gives 2.5"),
        ("SizesBreak", "", "batch_schedule=own: SizesBreak.planned raises KeyError: 1 (at step 1)"),
        ("Nothing", "", "batch_schedule=own: what own_schedules.Nothing makes has no planned(clock): give it one"),
        ("growing", "of: 3", "batch_schedule.of: own_schedules.growing takes no such argument (it takes: by)"),
        (
            "Deaf",
            "",
            'batch_schedule=own: Deaf has an update(moments) that nobody would call: declare needs = "moments',
        ),
        ("growing", "by: -1", "growing.planned gives 0"),
    ],
)
def test_sizes_that_are_none(target: str, keys: str, message: str) -> None:
    assert message in said(own("batch_schedule", target, keys))


def test_an_own_schedule_that_hears_is_recorded(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    run, config = frozen(tmp_path / "runs", own("batch_schedule", "Hears"), "train.groups=2")
    trained(run, config)
    steps = pq.read_table(run.steps).to_pylist()
    assert [row["told"] for row in steps] == [*range(1, len(steps) + 1)]
    assert [row["batch_size"] for row in steps][:3] == [16, 17, 18]

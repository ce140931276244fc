"""Requests for finite-sum solvers: what is refused, and what is said of settings without effect."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cancer import CANCER, start, work
from runs import rows

from batchlab.runner.plan.config import Planned, compose
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.plan.validate import validate

CASES: dict[str, tuple[tuple[str, ...], str]] = {
    "three classes": (("dataset=digits",), r"digits holds images"),
    "a deep model": (("model=mlp",), r"set model=logistic"),
    "n < b": (("batch_schedule.size=457",), r"batch_schedule.size=457 is more than the 456 samples"),
    "b = 0": (("batch_schedule.size=0",), r"batch_schedule.size=0 must be at least 1"),
    "a growing batch": (("batch_schedule=exponential",), r"batch_schedule=constant"),
    "a schedule": (("lr_schedule=cosine",), r"lr_schedule=constant"),
    "negative l1": (("optimizer.l1=-1.0",), r"l1 must be a finite number >= 0"),
    "negative l2": (("optimizer.l2=-1.0",), r"l2 must be a finite number >= 0"),
    "negative step": (("optimizer.step_size=-1.0",), r"step_size=-1.0 must be a positive number"),
    "a word for a step": (("optimizer.step_size=best",), r"a positive number, null .* or tuned"),
    "momentum without convexity": (("optimizer=acc_prox_svrg", "optimizer.l2=0.0"), r"needs a strong convexity > 0"),
    "two ranks": (("nproc=2",), r"set nproc=1"),
    "another loss": (("train.loss=mse",), r"needs train.loss=cross_entropy or squared_hinge"),
    "too few passes": (("train.epochs=1",), r"train.epochs=1 does not cover the first stage .* 1.9\d+ passes"),
    "an argument it lacks": (("optimizer=saga", "+optimizer.restart=none"), r"restart"),
    "an argument the data lacks": (("+dataset.foo=3",), r"dataset.foo"),
    "a tuned step without a regulariser": (
        ("optimizer.step_size=tuned", "optimizer.l1=0.0", "optimizer.l2=0.0"),
        r"set optimizer.l1 or optimizer.l2, or give optimizer.step_size a number",
    ),
}
OF_THE_DATA = ("three classes", "n < b", "another loss", "too few passes")
"""Cases that cannot be seen without the data."""


def asked(case: str) -> list[Planned]:
    overrides = CASES[case][0]
    keys = {text.split("=", 1)[0] for text in overrides}
    keys |= {key.split(".")[0] for key in keys if key == "batch_schedule"}
    common = [text for text in (*CANCER, "optimizer=dasvrda") if text.split("=", 1)[0] not in keys]
    if "batch_schedule" in keys:
        common = [text for text in common if not text.startswith("batch_schedule.")]
    return compose([*common, *overrides])


@pytest.mark.parametrize("case", CASES)
def test_bad_requests(case: str) -> None:
    with pytest.raises(ConfigError, match=CASES[case][1]):
        validate(asked(case))


@pytest.mark.parametrize("case", [case for case in CASES if case not in OF_THE_DATA])
def test_bad_requests_are_seen_before_the_data_is_there(case: str) -> None:
    with pytest.raises(ConfigError, match=CASES[case][1]):
        validate(asked(case), data_at_hand=False)


FILES = {
    "NaN": ("1 1:nan\n-1 1:1\n", "NaN|infinite"),
    "zero rows": (
        "1 1:1\n-1\n1 1:2\n",
        r"1 of 3 rows of A are all zeros \(the first is row 1\).* set optimizer.zero_rows=keep",
    ),
    "three labels": ("1 1:1\n2 1:1\n3 1:2\n", "two classes"),
    "one label": ("1 1:1\n1 1:3\n", "two classes"),
    "no numbers": ("hello world\n", "bad.txt"),
}


@pytest.mark.parametrize("case", FILES)
def test_bad_files(case: str, tmp_path: Path) -> None:
    content, message = FILES[case]
    (tmp_path / "bad.txt").write_text(content)
    overrides = ["dataset=libsvm", f"dataset.path={tmp_path / 'bad.txt'}", "model=logistic", "batch_schedule.size=1"]
    with pytest.raises(ValueError, match=message):
        validate(compose([*overrides, "optimizer=dasvrda"]))


def test_zero_rows_are_kept_on_request(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("1 1:1\n-1\n1 2:2\n-1 1:-1 2:-1\n")
    overrides = ("dataset=libsvm", f"dataset.path={tmp_path / 'data.txt'}", "batch_schedule.size=2")
    run, config = start(tmp_path, *overrides, "optimizer=dasvrda", "optimizer.zero_rows=keep")
    assert work(run, config) == "done"


def test_settings_without_effect_are_said() -> None:
    heard = validate(compose([*CANCER, "optimizer=dasvrda", "train.precision=float64", "log.steps=true"]))
    assert [text.partition(":")[0] for text in heard] == [
        "train.precision=float64 has no effect",
        "log.steps=True has no effect",
    ]
    assert validate(compose([*CANCER, "optimizer=dasvrda"])) == []


@pytest.mark.parametrize("data_at_hand", [True, False])
@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("+measure=full_gradient_norm", "measure=[scores,full_gradient_norm] has no effect"),
        ("measure=[]", "measure=[] has no effect"),
        ("measure=[parameters]", "measure=[parameters] has no effect"),
    ],
)
def test_what_a_solver_does_not_measure_is_said(override: str, said: str, data_at_hand: bool) -> None:
    (found,) = validate(compose([*CANCER, "optimizer=dasvrda", override]), data_at_hand=data_at_hand)
    assert found.startswith(said)


@pytest.mark.parametrize("data_at_hand", [True, False])
def test_measures_of_a_solver_are_measures(data_at_hand: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf" / "measure").mkdir(parents=True)
    (tmp_path / "conf" / "measure" / "none.yaml").write_text("name: none\n_target_: torch.nn.Identity\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"measure=none: torch\.nn\.Identity makes no Measure"):
        validate(compose([*CANCER, "optimizer=dasvrda", "+measure=none"]), data_at_hand=data_at_hand)


@pytest.mark.parametrize(
    ("override", "heard"),
    [
        ("model.bias=true", "model.bias=True has no effect: optimizer=svrg has no intercept"),
        ("model.bias=false", None),
        ("model.zero_init=false", "model.zero_init=False has no effect: optimizer=svrg has no intercept"),
        ("model.zero_init=true", None),
        ("train.device=cuda", "train.device=cuda has no effect: optimizer=svrg computes on the host"),
        ("train.device=cpu", None),
    ],
)
def test_the_models_settings_that_a_solver_does_not_read_are_said(override: str, heard: str | None) -> None:
    """Where they were asked for, also as the default, and by one value of many."""
    for more in ([], ["seed=1,2"]):
        found = validate(compose([*CANCER, "optimizer=svrg", override, *more]))
        assert found == [] if heard is None else (len(found) == 1 and found[0].startswith(heard))


def test_solvers_beside_optimizers_of_another_objective_are_said() -> None:
    same = ["model.bias=false", "model.zero_init=true", "optimizer.l1=0.0", "optimizer.l2=0.0"]

    def heard(*optimizers: list[str]) -> list[str]:
        return validate([plan for part in optimizers for plan in compose([*CANCER, *part])])

    (found,) = heard(["optimizer=svrg,saga"], ["optimizer=sgd"])
    assert "solvers (svrg, saga) and optimizers (sgd)" in found
    assert "model.bias=false" in found
    assert "optimizer.l1=0.0 optimizer.l2=0.0" in found
    (found,) = heard(["optimizer=svrg"], ["optimizer=sgd", "model.bias=false"])
    assert "intercept" not in found
    (found,) = heard(["optimizer=svrg", *same], ["optimizer=sgd"])
    assert "optimizer.l1" not in found
    assert heard(["optimizer=svrg", *same], ["optimizer=sgd", "model.bias=false"]) == []
    assert heard(["optimizer=svrg,saga"]) == heard(["optimizer=sgd,adam"]) == []


def test_fista_takes_all_samples_whatever_the_batch(tmp_path: Path) -> None:
    """A grid over solvers has one batch size: no reason to warn."""
    assert validate(compose([*CANCER, "optimizer=fista"])) == []
    run, config = start(tmp_path, "optimizer=fista")
    work(run, config)
    assert rows(run)[-1]["batch_size"] == 456


def test_an_optimizer_has_no_squared_hinge() -> None:
    with pytest.raises(ConfigError, match="for finite-sum solvers"):
        validate(compose([*CANCER, "optimizer=sgd", "train.loss=squared_hinge"]))


@pytest.mark.slow
def test_one_line_and_exit_code_2(tmp_path: Path) -> None:
    code = "from batchlab.runner.cli import main; main()"
    overrides = [text for text in CANCER if not text.startswith("batch")] + ["batch_schedule.size=1000"]
    command = [sys.executable, "-c", code, "train", *overrides, "optimizer=dasvrda"]
    done = subprocess.run([*command, "--runs", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("batchlab: batch_schedule.size=1000 is more than the 456 samples of dataset=breast_cancer")
    assert list(tmp_path.glob("*/run.json")) == []


def test_everything_in_run_json_is_plain(tmp_path: Path) -> None:
    run, config = start(tmp_path, "optimizer=dasvrda", "optimizer.step_size=tuned")
    work(run, config)
    assert json.loads(run.state_file.read_text())["tuning"]["gap"] == 1e-8

"""Options have their types, whichever file they come from: a YAML is not checked against a default as overrides are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from runs import TINY

from batchlab.runner.launch.executors.base import executor_for
from batchlab.runner.launch.executors.local import LocalExecutor
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import ConfigError, LogOptions, RunConfig, TrainOptions
from batchlab.runner.plan.validate import validate

BAD = {
    "train: {epochs: ten}": "train.epochs must be a number, got 'ten'",
    "train: {epochs: true}": "train.epochs must be a number, got True",
    "train: {epochs: null}": "train.epochs must be a number, got None",
    'train: {groups: "4"}': "train.groups must be a whole number, got '4'",
    'train: {label_smoothing: "0.1"}': "train.label_smoothing must be a number, got '0.1'",
    "train: {micro_batch: 64.5}": "train.micro_batch must be a whole number, got 64.5",
    "train: {samples: some}": "train.samples must be a whole number or null, got 'some'",
    "train: {samples: 0}": "train.samples=0 must be at least 1",
    "train: {checkpoint_seconds: soon}": "train.checkpoint_seconds must be a number, got 'soon'",
    "train: {checkpoint_seconds: -5}": "train.checkpoint_seconds=-5.0 must be at least 0",
    "train: {compile: maybe}": "train.compile must be true or false, got 'maybe'",
    "train: {channels_last: 1}": "train.channels_last must be true or false, got 1",
    "train: {loss: [mse]}": "train.loss must be a word, got ['mse']",
    "train: {device: [cpu]}": "train.device must be a word, got ['cpu']",
    "train: 3": "train must be a block of keys, got 3",
    "log: {evaluate_every: often}": "log.evaluate_every must be a number, got 'often'",
    "log: {steps: maybe}": "log.steps must be true or false, got 'maybe'",
    "seed: abc": "seed must be a whole number, got 'abc'",
    "seed: 1.5": "seed must be a whole number, got 1.5",
    "seed: null": "seed must be a whole number, got None",
    'nproc: "2"': "nproc must be a whole number, got '2'",
    "nproc: 1.5": "nproc must be a whole number, got 1.5",
    "nproc: true": "nproc must be a whole number, got True",
}


def mine(folder: Path, text: str) -> list[Any]:
    """The plans of an experiment of the user's own."""
    path = folder / "conf" / "experiment" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"# @package _global_\n{text}\n")
    return compose(["experiment=mine", *(t for t in TINY if t.split(".")[0] != "train")])


@pytest.mark.parametrize("text", BAD)
def test_an_experiments_values_have_the_types_of_the_options(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        mine(tmp_path, text)
    assert str(caught.value).startswith(f"conf/experiment/mine.yaml: {BAD[text]}")


@pytest.mark.parametrize("text", BAD)
def test_so_have_those_of_a_frozen_run(text: str) -> None:
    (planned,) = compose(TINY)
    wrong = yaml.safe_load(text)
    tree = planned.tree | {
        key: planned.tree[key] | value if isinstance(value, dict) else value for key, value in wrong.items()
    }
    plans = [replace(planned, tree=tree)]
    for check in (validate, lambda plans: executor_for([p.tree for p in plans])):
        with pytest.raises(ConfigError) as caught:
            check(plans)
        assert str(caught.value).startswith(BAD[text])


def test_whole_numbers_are_numbers_and_whole_floats_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "train: {epochs: 2, micro_batch: 1e2, samples: 1e3}\nlog: {evaluate_every: 1}\nnproc: 1.0\nseed: 3.0"
    (planned,) = mine(tmp_path, text)
    config = RunConfig.of(planned.tree)
    assert config.train == TrainOptions(epochs=2.0, micro_batch=100, samples=1000)
    assert config.log == LogOptions(evaluate_every=1.0)
    for value in (config.train.micro_batch, config.train.samples, config.nproc, config.seed):
        assert type(value) is int
    assert type(config.train.epochs) is type(config.log.evaluate_every) is float
    assert validate([planned]) == []


def test_blocks_are_checked_without_a_file() -> None:
    with pytest.raises(ConfigError, match=r"train\.groups must be a whole number, got 2\.5"):
        TrainOptions(groups=2.5)  # type: ignore[arg-type]


EXECUTORS = {
    "executor: {threads: 1.5}": "executor.threads must be a whole number, got 1.5",
    "executor: {threads: true}": "executor.threads must be a whole number, got True",
    "executor: {jobs_per_device: '2'}": "executor.jobs_per_device must be a whole number, got '2'",
    "executor: {devices: true}": "executor.devices=True: auto, or how many",
    "executor: {devices: 1.5}": "executor.devices=1.5: auto, or how many",
    "executor: {devices: 0}": "executor.devices=0 must be at least 1",
    "executor: {launcher: 3}": "executor.launcher=3: choose fork or torchrun",
}
SLURM = {
    "nodes": (1.5, "executor.nodes must be a whole number, got 1.5"),
    "timeout_min": ("long", "executor.timeout_min must be a whole number, got 'long'"),
    "workers": (True, "executor.workers must be a whole number, got True"),
    "threads": (0, "executor.threads=0 must be at least 1"),
    "mem_gb": ("64GB", "executor.mem_gb must be a number, got '64GB'"),
    "partition": (3, "executor.partition must be a word or null, got 3"),
}


@pytest.mark.parametrize("text", EXECUTORS)
def test_the_local_executor(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        executor_for([p.tree for p in mine(tmp_path, text)])
    assert str(caught.value).startswith(f"executor=local: {EXECUTORS[text]}") or str(caught.value) == EXECUTORS[text]


@pytest.mark.parametrize("text", ["1", "2", "1e0", "auto"])
@pytest.mark.parametrize("default", ["auto", "1"])
def test_devices_are_a_word_or_a_number(
    text: str, default: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    Path("conf/experiment/mine.yaml").write_text(f"# @package _global_\nexecutor: {{devices: {default}}}\n")
    plans = compose(["experiment=mine", *TINY, f"executor.devices={text}"])
    executor = executor_for([p.tree for p in plans])
    assert isinstance(executor, LocalExecutor)
    assert executor.wanted == (text if text == "auto" else float(text))


@pytest.mark.parametrize("value", ["many", "0", "1.5", "true", "null", "[1]"])
def test_devices_that_are_neither_are_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"executor\.devices"):
        executor_for([p.tree for p in compose([*TINY, f"executor.devices={value}"])])


def test_the_local_executor_takes_whole_floats() -> None:
    executor = LocalExecutor(devices=1e0, threads=2e0)  # type: ignore[arg-type]
    assert [repr(value) for value in (executor.wanted, executor.threads)] == ["1", "2"]


@pytest.mark.parametrize("key", SLURM)
def test_the_slurm_executor(key: str) -> None:
    from batchlab.runner.launch.executors.slurm import SlurmExecutor

    value, said = SLURM[key]
    arguments: dict[str, Any] = {key: value}
    with pytest.raises(ConfigError) as caught:
        SlurmExecutor(**arguments)
    assert str(caught.value) == said

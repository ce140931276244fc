"""What makes no sense is refused: one line that names the override and the way out, exit code 2, nothing started."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from runs import TINY, frozen
from shell import in_process

from batchlab.datasets import memory
from batchlab.runner.options import GridOptions
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.grid.parsing import parse
from batchlab.runner.plan.validate import validate

CONF = Path(__file__).resolve().parents[2] / "conf"
REGRESSION = "dataset=linear_regression model=linear train.loss=mse "
REFUSED = {
    # rates and other numbers of optimizers
    "optimizer.lr=nan": "optimizer.lr=nan: must be finite",
    "optimizer.lr=inf": "optimizer.lr=inf: must be finite",
    "optimizer.lr=-inf": "optimizer.lr=-inf: must be finite",
    "optimizer.lr=1e400": "optimizer.lr=inf: must be finite",
    "optimizer.lr=1e300": "optimizer.lr=1e+300: must be finite, within 3.4e+38: beyond, float32 is infinite",
    "optimizer.lr=-1": "optimizer.lr=-1.0 must be at least 0",
    "optimizer.lr=fast": "optimizer.lr must be a number (default 0.1), got 'fast'",
    "optimizer.lr=[0.1]": "optimizer.lr must be a number",
    "optimizer.lr=true": "optimizer.lr must be a number",
    "optimizer.lr=null": "is null meant for optimizer.lr?",
    "optimizer.momentum=2": "optimizer.momentum=2.0 must be in [0, 1)",
    "optimizer.momentum=1": "optimizer.momentum=1.0 must be in [0, 1)",
    "optimizer.momentum=-0.1": "optimizer.momentum=-0.1 must be in [0, 1)",
    "optimizer.momentum=nan": "optimizer.momentum=nan: must be finite",
    "optimizer.weight_decay=-1": "optimizer.weight_decay=-1.0 must be at least 0",
    "+optimizer.dampening=7": "optimizer.dampening=7 must be in [0, 1]",
    "+optimizer.dampening=nan": "optimizer.dampening=nan: must be finite",
    "optimizer=nshb optimizer.momentum=2": "momentum must be in [0, 1), not 2.0",
    "optimizer=nesterov optimizer.momentum=2": "optimizer.momentum=2.0 must be in [0, 1)",
    "optimizer=rmsprop optimizer.momentum=2": "optimizer.momentum=2.0 must be in [0, 1)",
    "optimizer=rmsprop optimizer.alpha=2": "optimizer.alpha=2.0 must be in [0, 1)",
    "optimizer=rmsprop optimizer.eps=-1": "optimizer.eps=-1.0 must be at least 0",
    "optimizer=adam optimizer.betas=[2,3]": "optimizer.betas=[2, 3] must be in [0, 1)",
    "optimizer=adam optimizer.betas=[0.9,nan]": "optimizer.betas=[0.9, nan]: must be finite",
    "optimizer=adam optimizer.betas=0.9": "optimizer.betas must be a list",
    "optimizer=adam optimizer.betas=[0.9]": "optimizer=adam",
    "optimizer=adam optimizer.eps=-1": "optimizer.eps=-1.0 must be at least 0",
    "optimizer=adagrad optimizer.lr_decay=-1": "optimizer.lr_decay=-1.0 must be at least 0",
    "optimizer=adagrad optimizer.initial_accumulator_value=-1": "optimizer.initial_accumulator_value=-1.0 must be",
    "optimizer=nadam optimizer.momentum_decay=-1": "optimizer.momentum_decay=-1.0 must be at least 0",
    "optimizer=lars optimizer.momentum=2": "momentum must be in [0, 1), not 2.0",
    "optimizer=adagrad_norm optimizer.eps=inf": "optimizer.eps=inf: must be finite",
    "optimizer=no_such": "optimizer has no choice 'no_such'",
    "optimizer=": "optimizer has no choice ''",
    "optimizer=[shb,adam]": "optimizer takes one choice a run: without brackets",
    "optimizer=dasvrda optimizer.l2=-1": "optimizer",
    "optimizer=svrg optimizer.l2=nan": "optimizer.l2=nan: must be finite",
    # schedules
    "lr_schedule=step_decay lr_schedule.gamma=nan": "lr_schedule.gamma=nan: must be finite",
    "lr_schedule=cosine lr_schedule.minimum=inf": "lr_schedule.minimum=inf: must be finite",
    "lr_schedule=cosine lr_schedule.minimum=-1": "minimum",
    "lr_schedule=polynomial lr_schedule.power=nan": "lr_schedule.power=nan: must be finite",
    "lr_schedule=cosine lr_schedule.warmup_from=-1": "lr_schedule.warmup_from=-1.0 must be at least 0",
    "lr_schedule=warmup_constant lr_schedule.warmup=-1": "warmup",
    "lr_schedule=warmup_constant lr_schedule.clock=days": "clock='days' is unknown",
    "batch_schedule.size=nan": "batch_schedule.size must be a whole number (default 128), got nan",
    "batch_schedule.size=0": "must be a whole number of samples, at least 1",
    "batch_schedule.size=-4": "must be a whole number of samples, at least 1",
    "batch_schedule.size=1.5": "batch_schedule.size must be a whole number",
    "batch_schedule.size=1e300": "batch_schedule.size=1e+300: must be finite",
    "batch_schedule.size=1000000000": "a first batch of 1000000000 is larger than the training set of 1442 samples",
    "batch_schedule=exponential batch_schedule.factor=nan": "batch_schedule.factor=nan: must be finite",
    "batch_schedule=exponential batch_schedule.factor=-1": "factor",
    "batch_schedule=norm_test batch_schedule.eta=nan": "batch_schedule.eta=nan: must be finite",
    # the run
    "seed=18446744073709551616": "seed=1.845e+19 must be at most 9223372036854775807",
    "seed=9223372036854775808": "must be at most 9223372036854775807",
    "seed=-1": "seed=-1 must be at least 0",
    "seed=1.5": "seed must be a whole number",
    "seed=nan": "seed must be a whole number",
    "nproc=0": "nproc=0 must be at least 1",
    "nproc=100000": "nproc=100000: this machine has",
    "nproc=1e300": "nproc=1e+300 must be at most",
    "train.epochs=nan": "train.epochs=nan must be positive and finite",
    "train.epochs=inf": "train.epochs=inf must be positive and finite",
    "train.epochs=0": "train.epochs=0.0 must be positive",
    "train.epochs=-1": "train.epochs=-1.0 must be positive",
    "train.epochs=1e300": "train.epochs: a budget of 1.44e+303 samples is beyond all counting",
    "train.epochs=1e-9": "train.epochs=1e-09 is less than one sample",
    "train.samples=0": "train.samples=0 must be at least 1",
    "train.samples=1e30": "train.samples: a budget of 1e+30 samples is beyond all counting",
    "train.samples=1.5": "train.samples must be a whole number",
    "train.micro_batch=0": "train.micro_batch=0 must be at least 1",
    "train.micro_batch=1e30": "train.micro_batch=1e+30 must be at most",
    "train.groups=0": "train.groups=0 must be at least 1",
    "train.groups=1e30": "train.groups=1e+30 must be at most",
    "train.label_smoothing=nan": "train.label_smoothing=nan must be in [0, 1)",
    "train.label_smoothing=1": "train.label_smoothing=1.0 must be in [0, 1)",
    "train.checkpoint_seconds=nan": "train.checkpoint_seconds=nan must be at least 0, and finite",
    "train.checkpoint_seconds=inf": "train.checkpoint_seconds=inf must be at least 0, and finite",
    "train.checkpoint_seconds=-1": "train.checkpoint_seconds=-1.0 must be at least 0, and finite",
    "train.device=tpu": "train.device=tpu: choose auto, cpu or cuda",
    "train.precision=float8": "train.precision=float8: choose",
    "train.decay=some": "train.decay=some: choose all or weights",
    "train.loss=nope": "train.loss=nope: choose",
    "train.loss=no.such": "train.loss=no.such: cannot import",
    "train.epoch=1": "there is no key train.epoch; did you mean train.epochs?",
    "log.evaluate_every=nan": "log.evaluate_every=nan must be positive and finite",
    "log.evaluate_every=inf": "log.evaluate_every=inf must be positive and finite",
    "log.evaluate_every=0": "log.evaluate_every=0.0 must be positive",
    "log.evaluations=0": "log.evaluations=0 must be at least 1",
    "log.evaluations=1e30": "log.evaluations=1e+30 must be at most",
    "log.steps=3": "log.steps must be true or false",
    # the machine
    "executor.threads=0": "executor.threads=0 must be at least 1",
    "executor.threads=4096": "executor.threads=4096 must be at most",
    "executor.threads=1e30": "executor.threads=1e+30 must be at most",
    "executor.threads=nan": "executor.threads must be a whole number",
    "executor.jobs_per_device=0": "executor.jobs_per_device=0 must be at least 1",
    "executor.jobs_per_device=100000000": "executor.jobs_per_device=1e+08 must be at most 1024",
    "executor.devices=0": "executor.devices=0 must be at least 1",
    "executor.devices=1.5": "executor.devices=1.5: auto, or how many",
    "executor.devices=nan": "executor.devices=nan: auto, or how many",
    "executor.devices=1000": "executor.devices=1000: there are",
    "executor.launcher=mpi": "executor.launcher=mpi: choose",
    "executor=no_such": "executor has no choice 'no_such'",
    # models and memory
    "model.hidden=[100000000000]": "hidden=100000000000 must be a whole number, at least 1 and at most 16777216",
    "model.hidden=[1000000,1000000]": "has 1,000,076,000,010 numbers, whose weights and gradients take 8,001 GB",
    "model.hidden=[0]": "hidden=0 must be a whole number",
    "model.hidden=[-1]": "hidden=-1 must be a whole number",
    "model.hidden=[nan]": "model.hidden=[nan]: must be finite",
    "model.hidden=[1.5]": "hidden=1.5 must be a whole number",
    "model.hidden=16": "model.hidden must be a list",
    "model=transformer dataset=text model.width=16777216": "whose weights and gradients take",
    "model=transformer dataset=text model.layers=16777216": "layers=16777216 must be a whole number",
    "model=resnet8 model.depth=7": "depth",
    "model=no_such": "model has no choice 'no_such'",
    # data
    f"{REGRESSION}dataset.samples=1000000000000": "dataset.samples times dataset.features takes 88,000 GB of memory",
    f"{REGRESSION}dataset.samples=0": "dataset.samples=0: at least 1",
    f"{REGRESSION}dataset.noise=nan": "dataset.noise=nan: a standard deviation is 0 or more, and finite",
    "dataset.validation=2": "dataset.validation=2.0: the share",
    "dataset.validation=nan": "dataset.validation=nan: the share",
    "dataset.validation=0.1 dataset.split_seed=-1": "dataset.split_seed=-1: a whole number",
    "dataset.rotate=nan": "dataset.rotate=nan: an angle",
    "dataset=npz dataset.file=no_such": "no file",
    # grids, and what is no override
    "seed=range(0,10000000)": "a grid of 10,000,000 runs, where 100,000 are the most",
    "seed=range(0,1000) optimizer.lr=linspace(0.1,1,900)": "a grid of 900,000 runs",
    "seed=range(0,10,0)": "range() arg 3 must not be zero",
    "seed=range(10,0)": "matches nothing",
    "optimizer.lr=interval(0.1,1)": "an interval has no finite set of values",
    f"+note={'x' * 3_000_000}": "an override of 3,000,006 letters, where 20,000 are the most",
    f"+a={'[' * 3000}{']' * 3000}": "is nested deeper than 32 brackets",
    f"+a={'{a:' * 2000}1{'}' * 2000}": "is nested deeper than 32 brackets",
    f"+a={'(' * 3000}": "is nested deeper than 32 brackets",
    f"+{'a.' * 1500}b=1": "or its key has as many dots",
    "optimizer": "not an override",
    "=1": "not an override",
    "optimizer.lr=": "optimizer.lr must be a number",
    "optimizer.lr=[": "not an override",
    "optimizer.lr={a:1}": "optimizer.lr must be a number",
    "measure=[no_such]": "measure has no choice 'no_such'",
    "callback=[no_such]": "callback has no choice 'no_such'",
}


def kept(texts: list[str]) -> list[str]:
    """TINY but for what the texts say themselves."""
    keys = {text.lstrip("+~").split("=", 1)[0] for text in texts}
    return [text for text in TINY if not {text.split("=")[0], text.split(".")[0]} & keys]


@pytest.mark.parametrize("request_", REFUSED, ids=lambda text: text[:50])
def test_it_is_refused_in_one_line(
    request_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = request_.split()
    code, out, said = in_process("sweep", "--dry-run", *kept(texts), *texts, monkeypatch=monkeypatch, capfd=capfd)
    assert (code, out, said.count("\n")) == (2, "", 1), said[:500]
    assert said.startswith("batchlab: ")
    assert REFUSED[request_] in said
    assert "a fault of batchlab" not in said
    assert len(said) < 3000
    assert not [*tmp_path.iterdir()], "no trace"


COMMANDS = {
    ("sweep", "--dry-run", "--runs", ""): "--runs '': it takes DIR",
    ("status", "--runs="): "--runs '': it takes DIR",
    ("sweep", "--dry-run", "--name", ""): "--name '': it takes NAME",
    ("table", "--rows", ""): "--rows '': it takes AXIS",
    ("report", "-o", ""): "--output '': it takes FILE.html",
    ("plot", "-o", "nowhere/plot.png"): "-o nowhere/plot.png: there is no folder nowhere: make it, or name another",
    ("sweep", "--max-grid", "0"): "--max-grid",
    ("sweep", "--draws", "1000000000", "optimizer.lr=interval(0.1,1)"): "a grid of 1,000,000,000 runs",
    ("compare", "optimizer=adam,sgd", "--tune", "optimizer.lr=range(1,1000000)"): "a grid of 1,999,998 runs",
}


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_so_are_options(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, said = in_process(*arguments, monkeypatch=monkeypatch, capfd=capfd)
    assert (code, out.replace("composing the runs ...\n", ""), said.count("\n")) == (2, "", 1), said
    assert COMMANDS[arguments] in said


def test_an_axis_twice_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    frozen(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    code, out, said = in_process("table", "--rows", "seed", "--cols", "seed", monkeypatch=monkeypatch, capfd=capfd)
    assert (code, out) == (2, "")
    assert said == "batchlab: seed is named twice by --rows and --cols: a table has an axis once\n"


def test_a_grid_is_counted_before_it_is_spread_out() -> None:
    """With zips, scopes and draws; `--max-grid` of its size lets it pass, of one less does not."""
    grids: list[tuple[list[str], dict[str, Any], int]] = [
        (["seed=1,2,3", "optimizer=adam,sgd"], {}, 6),
        (["seed=1,2,3", "train.groups=1,2,3"], {"zip": ["seed,train.groups"]}, 3),
        (["optimizer=adam,sgd", "optimizer.lr@adam=0.1,0.2,0.3", "optimizer.lr@sgd=1"], {}, 4),
        (["optimizer=adam,sgd", "optimizer.lr@adam=interval(0.1,1)"], {"draws": 5}, 6),
        (["seed=range(3,0,-1)", "optimizer.lr=choice(0.1,0.2)"], {}, 6),
    ]
    for texts, options, runs in grids:
        assert len(compose([*kept(texts), *texts], options=GridOptions(**options, max_grid=runs))) == runs
        with pytest.raises(ConfigError, match=rf"a grid of (at least )?{runs} runs, .* --max-grid {runs}$"):
            compose([*kept(texts), *texts], options=GridOptions(**options, max_grid=runs - 1))


def test_whole_numbers_are_read_as_hydra_reads_them() -> None:
    (sweep,) = parse(["+a=choice(-3,0,7,1e3,007,'5',1_000,x)"])
    assert [(s.value, s.text, s.mode) for s in sweep.settings] == [
        (-3, "+a=-3", "add"),
        (0, "+a=0", "add"),
        (7, "+a=7", "add"),
        (1000.0, "+a=1000.0", "add"),
        (sweep.settings[4].value, sweep.settings[4].text, "add"),
        (5, "+a=5", "add"),
        (1000, "+a=1000", "add"),
        ("x", "+a=x", "add"),
    ]


def test_memory_is_that_of_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "max").write_text("400000\n")
    (tmp_path / "none").write_text("max\n")
    monkeypatch.setattr(memory, "LIMITS", (tmp_path / "none", tmp_path / "max", tmp_path / "absent"))
    assert memory.at_hand() == 400_000
    with pytest.raises(ConfigError, match=r"numbers, whose weights and gradients take 0\.0006"):
        validate(compose([*kept(["model.hidden=[1000]"]), "model.hidden=[1000]"]))


def numbers(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, int]]:
    """Every key that holds numbers, and how many; 0 for one that is no list."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from numbers(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield prefix + key, 0
        elif isinstance(value, list) and value and all(isinstance(one, (int, float)) for one in value):
            yield prefix + key, len(value)


FILES = [
    (axis, path.stem)
    for axis in ("optimizer", "lr_schedule", "batch_schedule", "model")
    for path in sorted((CONF / axis).glob("*.yaml"))
]


@pytest.mark.slow
@pytest.mark.parametrize(("axis", "name"), FILES)
def test_no_number_of_any_file_may_be_nan_or_infinite(axis: str, name: str) -> None:
    from batchlab.runner.plan.schema import RunConfig
    from batchlab.runner.plan.settings import check_finite

    (planned,) = compose([text for text in TINY if not text.startswith("model")] + [f"{axis}={name}"])
    for key, several in numbers(planned.tree[axis]):
        for number in (math.nan, math.inf, -math.inf, 1e300):
            node = yaml.safe_load(yaml.safe_dump(planned.tree[axis]))
            node[key] = [number] * several if several else number
            with pytest.raises(ConfigError, match=rf"{axis}\.{key}=.*: must be finite"):
                check_finite(RunConfig.of(planned.tree | {axis: node}))

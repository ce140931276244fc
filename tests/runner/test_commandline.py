"""The command line as a user meets it: its frozen shape, one-line errors, Ctrl-C."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from runs import HANGS, PATIENT, TINY, one, wait_until
from shell import in_process
from typer.testing import CliRunner

from batchlab.results.store.record import read_stream
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner import cli
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.config import compose

DECIDING = {"--max-seeds", "--max-minutes", "--smallest"}
AGAIN = {"--retry", "--retries", "--retry-oom", "--timeout", "--trust-code"}
MANY = {"--dry-run", "--jobs-per-device", "--fuse", "--max-runs", "--stop-after"}
GRID = {"--zip", "--skip", "--draws", "--search", "--search-seed", "--max-grid"}
PRINTING = {"--full", "--wide", "--from"}
COMMANDS = {
    "train": {"--runs", *AGAIN, "--rerun", "--profile"},
    "sweep": {"--runs", *AGAIN, *MANY, "--rerun", "--on-error", "--name", "--detach", *GRID},
    "status": {"--runs", "--time", "--wide", "--from"},
    "table": {
        "--runs",
        "--rows",
        "--cols",
        "--metric",
        "--where",
        "--or",
        "--format",
        "--wide",
        "--sweep",
        "--baseline",
        "--tuned",
        "--from",
    },
    "plot": {
        "--runs",
        "--metric",
        "--x",
        "--hue",
        "--panel",
        "--kind",
        "--problems",
        "--scale",
        "--ylim",
        "--output",
        "--where",
        "--or",
        "--sweep",
        "--from",
    },
    "compare": {"--tune", "--metric", *DECIDING, "--name", "--runs", *AGAIN, *MANY, *GRID},
    "reproduce": {"--runs", "--scale", "--until-decided", *DECIDING, *AGAIN, *MANY, "--recorded", *PRINTING},
    "report": {"--runs", "--output", "--sweep", "--from", "--serve", "--port"},
    "data": set(),
    "runs": set(),
    "show": {"--axes"},
}


def test_the_command_line_is_frozen() -> None:
    """Add to it as the design does; remove nothing without an entry in the change log."""
    group = typer.main.get_command(cli.app)
    found = dict(group.commands)  # type: ignore[attr-defined]
    assert found.keys() == COMMANDS.keys()
    for name, command in found.items():
        options = {max(p.opts, key=len) for p in command.params if p.param_type_name == "option"}
        assert options == COMMANDS[name], name
    arguments = {n: [p.name for p in c.params if p.param_type_name == "argument"] for n, c in found.items()}
    assert arguments["train"] == arguments["sweep"] == arguments["compare"] == arguments["show"] == ["overrides"]
    assert (arguments["status"], arguments["reproduce"]) == (["name"], ["paper"])


BAD = {
    "unknown override": (["optimizer.lrr=1"], "did you mean optimizer.lr?"),
    "typo in a group": (["optimiser=adam"], "did you mean"),
    "typo in a choice": (["optimizer=adm"], "did you mean adam"),
    "missing value": (["dataset=npz"], "dataset.file has no value"),
    "wrong type": (["optimizer.lr=fast"], "must be a number"),
    "bad grammar": (["optimizer.lr=["], "not an override"),
    "batch_size=0": (["batch_schedule.size=0"], "at least 1"),
    "batch beyond the data": (["batch_schedule.size=100000"], "larger than the training set"),
    "no groups": (["optimizer=vr_sgd"], "optimizer=vr_sgd measures .* set train.groups=8"),
    "more groups asked for than made": (
        ["optimizer=vr_sgd", "optimizer.minimum_groups=16", "train.groups=8"],
        "16 at least: set train.groups=16",
    ),
    "no groups in the batch": (
        ["optimizer=vr_sgd", "train.groups=8", "batch_schedule.size=1"],
        "optimizer=vr_sgd measures .* 2 at least: a first batch of 1 .* raise batch_schedule.size",
    ),
    "batch of too few groups": (
        ["optimizer=vr_sgd", "optimizer.minimum_groups=8", "train.groups=8", "batch_schedule.size=4"],
        "8 at least: a first batch of 4 .* raise batch_schedule.size",
    ),
    "stage of too few groups": (
        ["optimizer=vr_sgd", "train.groups=8", "batch_schedule=stagewise", "batch_schedule.sizes=[1,8]"],
        "a first batch of 1 .* raise batch_schedule.sizes",
    ),
    "adaptive batch of one sample": (
        ["batch_schedule=norm_test", "batch_schedule.initial=1", "train.groups=8"],
        "batch_schedule=norm_test measures .* a first batch of 1 .* raise batch_schedule.initial",
    ),
    "adaptive batch of one sample, each on its own": (
        ["batch_schedule=norm_test", "batch_schedule.initial=1", "batch_schedule.estimator=per_sample", "model=mlp"],
        "batch_schedule=norm_test measures .* a first batch of 1 .* raise batch_schedule.initial",
    ),
    "more ranks than devices": (["nproc=512"], "lower nproc"),
    "nproc=0": (["nproc=0"], "at least 1"),
    "no room": (["executor.jobs_per_device=0"], "at least 1"),
    "no threads": (["executor.threads=0"], "executor.threads=0 must be at least 1"),
    "no nodes": (["executor=slurm", "executor.nodes=0"], "executor.nodes=0 must be at least 1"),
    "warm-up beyond the run": (
        ["lr_schedule=warmup_cosine", "lr_schedule.warmup=30"],
        "lr_schedule=warmup_cosine: the warm-up of 30 epochs",
    ),
    "one stair": (["lr_schedule=growth", "lr_schedule.every=20"], "lr_schedule=growth: "),
    "unknown launcher": (["executor.launcher=rocket"], "fork or torchrun"),
    "devices": (["executor.devices=999"], "executor.devices=999"),
    "argument of no optimizer": (["+optimizer.zeal=1"], "takes no such argument|unexpected keyword"),
    "negative lr": (["optimizer.lr=-1"], "learning rate|lr"),
    "unknown key of train": (["+train.speed=9"], "train"),
    "loss": (["train.loss=hinge"], "choose cross_entropy, mse"),
    "loss of another task": (["train.loss=mse"], "needs train.loss=cross_entropy"),
    "precision": (["train.precision=half"], "train.precision=half"),
    "no GPU": (["train.device=cuda"], "train.device=cuda: no GPU can be used here"),
    "epochs": (["train.epochs=0"], "must be positive"),
    "samples": (["train.samples=some"], "whole number"),
    "unimportable": (["optimizer._target_=no.such.Thing"], "cannot import no.such.Thing"),
    "no optimizer at all": (
        ["optimizer._target_=collections.Counter", "~optimizer.lr"],
        "makes no Optimizer|optimizer=shb",
    ),
    "file that is not there": (["dataset=npz", "dataset.file=nowhere"], "nowhere"),
    "several runs": (["seed=1,2"], "batchlab sweep"),
}


@pytest.mark.parametrize(("overrides", "says"), BAD.values(), ids=BAD.keys())
def test_bad_requests(
    overrides: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import re

    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(
        "batchlab.runner.launch.executors.local.LocalExecutor.warm_up", lambda self, *_: None
    )  # it takes 3 s
    runs = tmp_path / "runs"
    code, _, said = in_process("train", *overrides, "--runs", str(runs), monkeypatch=monkeypatch, capfd=capfd)
    assert code == 2
    assert re.search(says, said), said
    assert said.startswith("batchlab: ")
    assert said.count("\n") == 1, "one line, no traceback"
    assert not list(runs.glob("*/run.json")), "nothing was started"


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--runs", "{file}"],
        ["sweep", "--name", "a/b", "seed=1,2"],
        ["sweep", "--name", "a/b", "--dry-run"],
        ["status", "nosuch"],
        ["status", "--runs", "{file}"],
        ["table", "--runs", "{file}"],
    ],
)
def test_bad_options(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    arguments = [a.replace("{file}", str(tmp_path / "file")) for a in arguments]
    if "--runs" not in arguments:
        arguments += ["--runs", str(tmp_path / "runs")]
    monkeypatch.setattr("batchlab.runner.launch.executors.local.LocalExecutor.warm_up", lambda self, *_: None)
    code, _, said = in_process(*arguments, monkeypatch=monkeypatch, capfd=capfd)
    assert (code, said.count("\n")) == (2, 1), said
    assert not (tmp_path / "runs").exists(), "no trace"


@pytest.mark.parametrize(
    ("arguments", "offered"),
    [
        (["sweep", "--on-error", "explode"], ["continue", "stop"]),
        (["table", "--format", "word"], ["rich", "markdown", "latex", "csv", "html"]),
        (["reproduce", "vrgd", "--scale", "huge"], ["laptop", "desk", "gpu", "paper"]),
    ],
)
def test_a_choice_that_there_is_not_lists_those_that_are(arguments: list[str], offered: list[str]) -> None:
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 2
    assert all(f"'{choice}'" in done.output for choice in offered)
    listed = CliRunner().invoke(cli.app, [arguments[0], "--help"]).output.replace("\n", "")
    assert "|".join(offered[:2]) in listed


@pytest.mark.slow
def test_ctrl_c_ends_a_reproduction_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All papers, not only the one that is being trained."""
    from batchlab.runner import reproduction
    from batchlab.runner.plan.reproduce import recipes

    begun: list[str] = []

    def execute(plans: object, runs: Path, options: object, name: str, **_: object) -> int:
        begun.append(name)
        return 130

    monkeypatch.setattr(reproduction, "execute", execute)
    assert reproduction.reproduce("all", "laptop", tmp_path, SweepOptions(), None) == 130
    assert begun == [f"{recipes()[0]}-laptop"]
    said = capsys.readouterr().out
    assert recipes()[0] in said
    assert max(map(len, said.splitlines())) < 200


def test_a_sweep_says_which_run_has_too_large_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["sweep", "batch_schedule.size=2000,128", "--dry-run", "--runs", str(tmp_path)]
    _, _, said = in_process(*arguments, monkeypatch=monkeypatch, capfd=capfd)
    assert "batch_schedule=constant: a first batch of 2000" in said
    assert "(run: batch_schedule.size=2000)" in said


def test_what_has_no_effect_is_a_warning() -> None:
    from batchlab.runner.plan.validate import validate

    (late,) = validate([one("lr_schedule=warmup_constant", "lr_schedule.warmup=30")])
    assert "lr_schedule=warmup_constant: the run ends at 1 epochs, within its warm-up of 30" in late
    assert validate([one("lr_schedule=warmup_constant", "lr_schedule.warmup=30", "train.epochs=31")]) == []
    assert validate([one("lr_schedule=warmup_constant")]) == [], "a tenth of the run, however short"
    adaptive = ("batch_schedule=norm_test", "train.groups=8")  # then nobody knows how many steps there will be
    assert validate([one(*adaptive, "lr_schedule.clock=steps", "lr_schedule.warmup=9")]) == []
    (unused,) = validate([one("train.samples=128", "train.epochs=2")])
    assert "train.epochs=2 has no effect: train.samples=128 is the budget" in unused
    assert validate(compose([*TINY[:3], "train.samples=128"])) == []


@pytest.mark.slow
def test_the_hints_after_a_sweep_find_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["sweep", *TINY, "--name", "s"]
    elsewhere = CliRunner().invoke(cli.app, [*arguments, "--runs", str(tmp_path / "my runs")]).stdout
    assert f"`batchlab table --sweep s --runs '{tmp_path / 'my runs'}'`" in elsewhere
    monkeypatch.setenv("BATCHLAB_RUNS", str(tmp_path))
    assert "`batchlab table --sweep s`" in CliRunner().invoke(cli.app, arguments).stdout


def test_traceback_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from batchlab.runner.plan.schema import ConfigError

    monkeypatch.setattr(sys, "argv", ["batchlab", "show", "zzz=1", "--traceback"])
    with pytest.raises(ConfigError):
        cli.main()


def test_dry_run_starts_nothing(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.app, ["sweep", "seed=1,2", "--dry-run", "--runs", str(tmp_path / "runs")])
    assert done.exit_code == 0
    assert not (tmp_path / "runs").exists()


USER_MODULE = """
import torch

class Slowly(torch.optim.SGD):
    def __init__(self, params, lr=0.1, factor=1.0):
        super().__init__(params, lr=lr * factor)
"""


@pytest.mark.slow
def test_a_users_own_optimizer_from_an_empty_folder(tmp_path: Path) -> None:
    """One YAML file and a module beside it; the console script's own entry, in a process of its own."""
    (tmp_path / "conf" / "optimizer").mkdir(parents=True)
    (tmp_path / "conf" / "optimizer" / "slowly.yaml").write_text("_target_: my_module.Slowly\nlr: 0.1\nfactor: 0.5\n")
    (tmp_path / "my_module.py").write_text(USER_MODULE)
    script = tmp_path / "bin" / "batchlab"
    script.parent.mkdir()
    script.write_text("from batchlab.runner.cli import main\nmain()\n")
    command = [sys.executable, str(script), "train", "optimizer=slowly", *TINY]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = RunStore(tmp_path / "runs").runs()
    assert run.read_state().state is State.DONE


def test_ctrl_c_in_a_terminal(tmp_path: Path) -> None:
    """SIGINT to the foreground process group, as a terminal sends it: 130, resumable, no orphan, and nobody killed."""
    (tmp_path / "patient").mkdir()
    (tmp_path / "patient" / "sitecustomize.py").write_text(PATIENT)
    command = [sys.executable, "-c", "from batchlab.runner.cli import main; main()"]
    command += ["sweep", *TINY[:3], "train.epochs=5000", "seed=1,2,3", "--runs", str(tmp_path / "runs")]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, command, os.environ | {"PYTHONPATH": str(tmp_path / "patient")})
    store = RunStore(tmp_path / "runs")
    os.set_blocking(terminal, False)

    def drain() -> None:
        try:
            while os.read(terminal, 65536):
                pass
        except OSError:
            return

    wait_until(lambda: any(len(read_stream(run, "metrics")) > 2 for run in store.runs()), drain)
    os.write(terminal, b"\x03")
    ended: list[int] = []

    def over() -> bool:
        gone, status = os.waitpid(pid, os.WNOHANG)
        ended.extend([status] if gone else [])
        return bool(gone)

    wait_until(over, drain)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(ended[0]) == 130
    states = {run.read_state().state for run in store.runs()}
    assert State.INTERRUPTED in states
    assert states <= {State.INTERRUPTED, State.PENDING}
    assert left_over(tmp_path) == []


def left_over(folder: Path) -> list[str]:
    """Processes whose output goes into this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / "fd" / "1").startswith(str(folder)):
                    found.append(entry.name)
            except OSError:
                continue
    return found


@pytest.mark.slow
def test_a_second_ctrl_c_kills(tmp_path: Path) -> None:
    """While the ranks cannot answer (they are frozen), the second one does not wait for them."""
    (tmp_path / "patient").mkdir()
    (tmp_path / "patient" / "sitecustomize.py").write_text(PATIENT)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "patient")}
    command = [sys.executable, "-c", "from batchlab.runner.cli import main; main()"]
    command += ["train", *TINY[:3], "train.epochs=5000", "--runs", str(tmp_path / "runs")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, env=environment)
    assert process.stdout
    store = RunStore(tmp_path / "runs")
    wait_until(lambda: process.poll() or any(len(read_stream(run, "metrics")) > 2 for run in store.runs()))
    (run,) = store.runs()
    agent = run.read_state().info["pid"]
    for rank in left_over(tmp_path):
        if int(rank) != agent:
            os.kill(int(rank), signal.SIGSTOP)
    os.killpg(process.pid, signal.SIGINT)
    assert any(b"stopping: " in line for line in process.stdout), "it heard the first, and ended"
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(HANGS) == 130, "the grace is 10,000 seconds here: who waited for the ranks would hang"
    wait_until(lambda: not left_over(tmp_path))

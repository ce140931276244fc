"""Out of memory: the batch that caused it, the way out, and where asked for the numbers of half the micro-batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from runs import HANGS, context, frozen, rows
from shell import batchlab, only_state

from batchlab.results.store.run import Run, RunState, State
from batchlab.runner.launch import killed as control
from batchlab.runner.launch.launch import _guilt
from batchlab.runner.options import SweepOptions
from batchlab.runner.policies import Policies
from batchlab.runner.train.loop import train
from batchlab.runner.train.memory import OutOfMemory, out_of_memory

NO_ROOM = (
    "[enforce fail at alloc_cpu.cpp:114] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
)
MODEL = f"""
import os
import torch
from torch import nn

class Large(nn.Sequential):
    '''Out of memory in a step over more than a few samples at a time.'''

    def __init__(self, shape, classes, few=8, norm=False, drop=0.0, always=False):
        layers = [nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16) if norm else nn.ReLU(), nn.Dropout(drop)]
        super().__init__(*layers, nn.Linear(16, classes))
        self.few = few
        self.always = always

    def forward(self, x):
        if self.training and len(x) > self.few and (self.always or "RANK" in os.environ):
            raise RuntimeError("{NO_ROOM} 8 bytes")
        return super().forward(x)
"""
LARGE = ("model=large", "dataset=digits", "train.device=cpu", "train.epochs=1", "batch_schedule.size=64")


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with that model beside the user's conf."""
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "large.yaml").write_text(
        "name: large\n_target_: large_model.Large\nshape: ${shape}\nclasses: ${classes}\nfew: 8\nnorm: false\n"
        "drop: 0.0\nalways: false\n"
    )
    (tmp_path / "large_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "large_model", raising=False)
    return tmp_path


def test_what_says_that_memory_is_out() -> None:
    assert all(map(out_of_memory, [MemoryError(), torch.OutOfMemoryError("x"), RuntimeError(NO_ROOM)]))
    assert out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"))
    assert not any(map(out_of_memory, [RuntimeError("shape"), ValueError("out of memory"), OSError(12, "memory")]))


def tried(folder: Path, *overrides: str) -> tuple[Run, str]:
    """A run in this process that is out of memory; what it says."""
    run, config = frozen(folder / "runs", *LARGE, "model.always=true", *overrides)
    run.write_state(state="running")
    with pytest.raises(OutOfMemory) as caught:
        train(config, context(run))
    return run, str(caught.value)


def test_it_is_said_with_the_batch_and_the_way_out(large: Path) -> None:
    run, said = tried(large)
    assert said == ("out of memory in a step over a batch of 64, all at once: set train.micro_batch=32, or --retry-oom")
    assert run.read_state().info["out_of_memory"] == {"batch": 64, "part": 64, "half": 32}
    _, said = tried(large, "train.micro_batch=20")
    assert said.startswith("out of memory in a step over a batch of 64, 16 at a time: set train.micro_batch=8")


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("model.norm=true", "BatchNorm sees a micro-batch"),
        ("model.drop=0.5", "random numbers are drawn for each micro-batch"),
        ("optimizer=vr_sgd train.groups=2", "noise is measured between micro-batches"),
    ],
)
def test_where_half_of_it_would_change_numbers_nobody_tries(override: str, why: str, large: Path) -> None:
    run, said = tried(large, *override.split())
    assert said.endswith(f"needs half of it, and gives other numbers ({why})")
    state = RunState(State.FAILED, said, run.read_state().info)
    assert state.info["out_of_memory"]["why"] == why
    assert Policies(SweepOptions(retry_oom=True)).half(state) == 0


def test_one_sample_at_a_time_is_the_end(large: Path) -> None:
    run, said = tried(large, "train.micro_batch=1", "model.few=0")
    assert said.endswith("over a batch of 64, 1 at a time: a smaller model, or a device with more memory")
    assert "half" not in run.read_state().info["out_of_memory"]


def test_an_evaluation_is_said_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, config = frozen(tmp_path)

    def refuse(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("batchlab.runner.train.writer.Writer.evaluate", refuse)
    with pytest.raises(OutOfMemory, match="out of memory at an evaluation: a smaller model, or"):
        train(config, context(run))


def test_at_half_the_micro_batch_the_numbers_are_those_of_half_the_micro_batch(tmp_path: Path) -> None:
    """Bit for bit, and up to rounding those of the whole; the frozen configuration stays."""
    whole, half = frozen(tmp_path / "whole"), frozen(tmp_path / "half", "train.micro_batch=16")
    again = frozen(tmp_path / "again")
    before = again[0].config.read_bytes()
    again[0].write_state(micro_batch=16)
    got = []
    for run, config in (whole, half, again):
        assert train(config, context(run)).state == "done"
        got.append(rows(run))
    assert [{k: v for k, v in row.items() if k != "run_id"} for row in got[1]] == [
        {k: v for k, v in row.items() if k != "run_id"} for row in got[2]
    ]
    assert got[2][-1]["train_loss"] == pytest.approx(got[0][-1]["train_loss"], rel=1e-5)
    assert again[0].config.read_bytes() == before
    assert again[0].read_state().info["micro_batch"] == 16


@pytest.mark.slow
def test_a_sweep_tries_again_at_half_where_asked(large: Path) -> None:
    done = batchlab("sweep", *LARGE, cwd=large)
    assert done.returncode == 1
    state = only_state(large / "runs")
    assert state.state is State.FAILED
    assert "set train.micro_batch=32, or --retry-oom" in str(state.reason)
    done = batchlab("sweep", *LARGE, cwd=large)
    assert (done.returncode, b"failed before" in done.stdout) == (1, True), "nobody asked"
    done = batchlab("sweep", *LARGE, "--retry-oom", cwd=large)
    assert done.returncode == 0, done.stdout
    assert b"again at train.micro_batch=16" in done.stdout
    assert b"again at train.micro_batch=8" in done.stdout
    state = only_state(large / "runs")
    assert (state.state, state.info["micro_batch"]) == (State.DONE, 8)
    assert "out_of_memory" not in state.info


@pytest.mark.parametrize(
    ("codes", "messages", "killed", "guilty"),
    [
        ((1, 1), ("RuntimeError: Connection closed by peer", "OutOfMemory: out of memory in a step"), False, 1),
        ((1, 200), ("RuntimeError: Connection closed by peer", ""), False, 1),
        ((1, -9), ("RuntimeError: Connection closed by peer", ""), True, 1),
        ((1, -9), ("RuntimeError: mine", ""), False, 0),
        ((1, 1), ("RuntimeError: mine", "RuntimeError: Connection closed by peer"), False, 0),
    ],
)
def test_of_ranks_that_fail_together_the_guilty_one_is_named(
    codes: tuple[int, int], messages: tuple[str, str], killed: bool, guilty: int
) -> None:
    reports = [{"message": {"message": text}} if text else {"message": "no error file"} for text in messages]
    failures = [SimpleNamespace(exitcode=c, error_file_data=r) for c, r in zip(codes, reports, strict=True)]
    guilts = [_guilt(failure, killed) for failure in failures]
    assert guilts.index(min(guilts)) == guilty


LIMITED = """
import resource, sys
from pathlib import Path
sys.path[:0] = {path!r}
from runs import context, frozen
from batchlab.runner.train.loop import train
from batchlab.runner.train import loop
run, config = frozen(Path({folder!r}), "model.hidden=[20000]", "batch_schedule.size=1024", "train.micro_batch=1024")
step, taken = loop.step, []
def limited(*given):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 30_000_000, -1))
    return step(*given)
loop.step = limited
try:
    train(config, context(run))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS and /proc")
def test_memory_that_is_really_out(tmp_path: Path) -> None:
    """A hidden layer of 20,000 for 1,024 samples takes 82 MB, and 30 are left."""
    code = LIMITED.format(path=[str(Path(__file__).parent)], folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANGS)
    assert "OutOfMemory out of memory in a step over a batch of 1,024, all at once" in done.stdout, (
        done.stdout + done.stderr
    )


KILLED = """
import os, sys, signal
from batchlab.runner.launch.killed import oom_kills
before = oom_kills()
pid = os.fork()
if pid == 0:
    b"x" * 400_000_000
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), oom_kills() - before)
"""


def test_a_process_that_the_kernel_kills_is_counted(tmp_path: Path) -> None:
    """In a control group of this test's own, where root may make one."""
    mine = next((line for line in Path("/proc/self/cgroup").read_text().splitlines() if ":memory:" in line), "")
    group = control.MOUNTED / "memory" / mine.rpartition(":")[2].lstrip("/") / f"batchlab{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text("100000000")
    except OSError:
        pytest.skip("no control group of memory can be made here")
    command = ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh", sys.executable, "-c", KILLED]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS)
    finally:
        group.rmdir()
    assert done.stdout.split() == ["-9", "1"], done.stdout + done.stderr


def test_a_count_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MOUNTED", tmp_path)
    assert control.oom_kills() == 0
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 7\noom 2\noom_kill 3\noom_group_kill 0\n")
    assert control.oom_kills() == 3

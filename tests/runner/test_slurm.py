"""The slurm executor on submitit's local one, and two nodes played by two processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from runs import TINY, Fleet, Watcher, frozen, one, rows
from shell import TRAIN, batchlab

from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner.commands import sweep
from batchlab.runner.launch.executors.base import executor_for
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.sweep import freeze, run_sweep

LOCAL = ("executor=slurm", "executor.cluster=local")


@pytest.mark.slow
def test_trains_what_the_local_executor_trains(tmp_path: Path, fleet: Fleet) -> None:
    planned = one(*LOCAL, "+measure=full_gradient_norm")
    here = one("+measure=full_gradient_norm")
    assert planned.run_id == here.run_id, "where a run is trained is no part of what it is"
    store = RunStore(tmp_path / "slurm").prepare()
    freeze(store, "s", [planned])
    watcher = Watcher()
    report = run_sweep([planned], store, executor_for([planned.tree]), watcher)
    assert (report.exit_code, report.states[State.DONE]) == (0, 1), watcher.states
    assert rows(store.run(planned.run_id)) == rows(fleet.train(tmp_path / "local", here))


NODE = """
import sys
from batchlab.runner.launch.executors.slurm import Job
sys.exit(Job()(sys.argv[1]))
"""


@pytest.mark.slow
def test_two_nodes_train_one_run(tmp_path: Path, fleet: Fleet) -> None:
    run, _ = frozen(tmp_path / "nodes", "nproc=2", "+measure=full_gradient_norm")
    job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "localhost"}
    job |= {"SLURM_NTASKS": "2", "SLURM_LOCALID": "0", "SUBMITIT_EXECUTOR": "slurm"}
    nodes = [
        subprocess.Popen(
            [sys.executable, "-c", NODE, str(run.folder)],
            env=os.environ | job | {"SLURM_NODEID": str(i), "SLURM_PROCID": str(i)},
        )
        for i in range(2)
    ]
    assert [node.wait(120) for node in nodes] == [0, 0]
    assert run.read_state().state is State.DONE
    assert rows(run) == rows(fleet.train(tmp_path / "one", one("nproc=2", "+measure=full_gradient_norm")))


def test_requests_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"nproc=3 ranks do not divide over executor\.nodes=2"):
        executor_for([one("executor=slurm", "executor.nodes=2", "nproc=3").tree])
    with pytest.raises(ConfigError, match=r"executor\.cluster=moon"):
        executor_for([one("executor=slurm", "executor.cluster=moon").tree])
    with pytest.raises(ConfigError, match="one executor"):
        executor_for([one().tree, one("executor=slurm").tree])


UNREACHABLE = "#!/bin/sh\necho 'sbatch: error: Unable to contact slurm controller' >&2\nexit 1\n"


@pytest.mark.slow
@pytest.mark.parametrize("tools", [(), ("sbatch", "srun")], ids=["no sbatch", "no cluster"])
def test_no_cluster_is_one_line(tools: tuple[str, ...], tmp_path: Path) -> None:
    """The run is left as it was, and the same command goes on where there is a cluster."""
    (tmp_path / "bin").mkdir()
    for tool in tools:
        (tmp_path / "bin" / tool).write_text(UNREACHABLE)
        (tmp_path / "bin" / tool).chmod(0o755)
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin" if tools else str(tmp_path / "bin")
    done = batchlab(*TRAIN, "executor=slurm", cwd=tmp_path, PATH=path)
    assert done.returncode == 2
    assert done.stderr.startswith(b"batchlab: executor=slurm: ")
    assert (b"Unable to contact slurm controller" if tools else b"no sbatch") in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert {run.read_state().state for run in RunStore(tmp_path / "runs").runs()} <= {State.PENDING}


def test_a_dry_run_refuses_what_the_sweep_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"executor=slurm: there is no sbatch and no srun here; run it where jobs can"
    ):
        sweep([*TINY, "executor=slurm"], tmp_path / "runs", SweepOptions(dry_run=True), None)
    assert sweep([*TINY, "executor=slurm", "executor.cluster=local"], tmp_path, SweepOptions(dry_run=True), None) == 0

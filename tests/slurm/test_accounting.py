"""What only a Slurm with accounting has: accounts, QOS and submit limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster import Slurm
from runs import HANGS, TINY, wait_until
from shell import batchlab
from sweeps import PATIENCE, WORKERS, driver, states, told

from batchlab.results.store.queue import queues
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore

pytestmark = [
    *(pytest.mark.slurm, pytest.mark.timeout(PATIENCE)),
    pytest.mark.parametrize("slurm", ["accounted"], indirect=True),
]
TINY_THERE = (*TINY, *WORKERS, "executor.account=lab")


def test_a_submit_limit_is_waited_for(slurm: Slurm, tmp_path: Path) -> None:
    """Two jobs of the QOS are all that the user may have: with none left the sweep waits, with one it goes on."""
    others = [slurm.ask("sbatch", "--parsable", "--qos=few", "-o", "/dev/null", "--wrap", "sleep 9999") for _ in "12"]
    process = driver(*TINY_THERE, "executor.qos=few", "seed=range(0,6)", cwd=tmp_path)
    log = tmp_path / "driver.log"

    def waits() -> bool:
        assert process.poll() is None, log.read_text()
        return "Slurm takes no more jobs now" in log.read_text()

    wait_until(waits)
    assert "QOSMaxSubmitJobPerUserLimit" in " ".join(log.read_text().split())
    store = RunStore(tmp_path / "runs")
    assert states(store) == [State.PENDING] * 6
    slurm.ask("scancel", others[0])
    assert process.wait(HANGS) == 0, log.read_text()
    assert "1 worker of 2: Slurm takes no more now" in log.read_text()
    assert states(store) == [State.DONE] * 6
    assert set(told(store, "ended").values()) == {1}
    assert slurm.calls("sacct") == 0


def test_account_and_qos_are_those_of_the_job(slurm: Slurm, tmp_path: Path) -> None:
    """And `status` tells of them what it tells without accounting, and nothing else."""
    slurm.ask("scontrol", "update", "nodename=ALL", "state=drain", "reason=test")
    command = ("sweep", *TINY_THERE, "executor.qos=few", "seed=0,1", "--name", "s")
    left = batchlab(*command, "--detach", cwd=tmp_path)
    assert left.returncode == 0, left.stderr
    jobs = slurm.ask("squeue", "-h", "-r", "-n", "batchlab", "-o", "%a %q %T").splitlines()
    assert jobs == ["lab few PENDING"] * 2
    status = batchlab("status", "s", cwd=tmp_path)
    assert b"2 runs queued in Slurm: 2 workers" in status.stdout
    assert status.stderr == b""
    slurm.ask("scontrol", "update", "nodename=ALL", "state=resume")
    store = RunStore(tmp_path / "runs")
    wait_until(lambda: states(store) == [State.DONE] * 2)
    status = batchlab("status", "s", cwd=tmp_path)
    assert (b"queued" in status.stdout, status.stderr) == (False, b"")
    assert slurm.calls("sacct") == 0


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("executor.account=nosuch", "see executor.account=nosuch: `sacctmgr show assoc user=$USER`"),
        ("executor.account=others", "see executor.account=others: `sacctmgr show assoc user=$USER`"),
        ("executor.qos=nosuch", "see executor.qos=nosuch: `sacctmgr show assoc user=$USER`"),
        ("executor.partition=nosuch", "see executor.partition=nosuch: `sinfo -s`"),
    ],
)
def test_what_is_not_there_is_one_line(override: str, said: str, slurm: Slurm, tmp_path: Path) -> None:
    done = batchlab("sweep", *TINY, *WORKERS, override, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.decode().strip().splitlines()
    assert said in " ".join(lines)
    assert "the cluster did not take the runs" in " ".join(lines)
    assert slurm.calls("sbatch") == 1
    (queue,) = queues(RunStore(tmp_path / "runs"))
    assert not queue.entries()

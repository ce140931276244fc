"""What the slurm executor asks for, and what Slurm may say to that."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import TINY, one
from shell import in_one_line
from slurms import Slurm, asked, only, submitted

from batchlab.results.store.runs import RunStore
from batchlab.runner.commands import sweep
from batchlab.runner.launch.executors.base import executor_for
from batchlab.runner.launch.executors.slurm import RETRY, SlurmExecutor
from batchlab.runner.launch.slurm.shape import gpus_in
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.schema import ConfigError


def test_a_submit_limit_is_waited_for(slurm: Slurm, tmp_path: Path) -> None:
    slurm.room = 0
    executor = asked(RunStore(tmp_path), 9)
    assert executor.detach() == ""
    tried = slurm.count("sbatch")
    assert tried == 3, "4, 2, 1"
    while slurm.clock < 1000.0 + RETRY - 1:
        executor.wait(1)
        assert executor.detach() == ""
    assert slurm.count("sbatch") == tried
    (said,) = executor.news()
    assert said == (
        "Slurm takes no more jobs now, which is tried again every 60 s: sbatch: error: QOSMaxSubmitJobPerUserLimit"
    )
    slurm.room = 2
    executor.wait(2)
    assert executor.detach() == "9 runs left to Slurm: nothing here need wait for them"
    assert executor.news() == ["Slurm job 1: 2 workers of 4: Slurm takes no more now"]


POLICY = (
    "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
)


@pytest.mark.parametrize(
    ("said", "passes"),
    [
        (f"sbatch: error: QOSMaxSubmitJobPerUserLimit sbatch: error: {POLICY}", True),
        (f"sbatch: error: AssocMaxSubmitJobLimit sbatch: error: {POLICY}", True),
        (f"sbatch: error: AssocGrpSubmitJobsLimit sbatch: error: {POLICY}", True),
        (f"sbatch: error: {POLICY}", True),
        ("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying", True),
        ("sbatch: error: Batch job submission failed: Resource temporarily unavailable", True),
        (f"sbatch: error: QOSMaxWallDurationPerJobLimit sbatch: error: {POLICY}", False),
        (f"sbatch: error: AssocMaxCpuPerJobLimit sbatch: error: {POLICY}", False),
        ("sbatch: error: Batch job submission failed: Invalid qos specification", False),
        ("sbatch: error: Batch job submission failed: Job has invalid qos", False),
        (
            "sbatch: error: Batch job submission failed: Invalid account or account/partition combination",
            False,
        ),
        ("sbatch: error: Unable to find association for this account", False),
        ("sbatch: error: invalid partition specified: q", False),
    ],
)
def test_only_a_limit_that_passes_is_waited_for(said: str, passes: bool, slurm: Slurm, tmp_path: Path) -> None:
    slurm.room, slurm.refusal = 0, said
    executor = asked(RunStore(tmp_path), 1)
    if passes:
        assert executor.detach() == ""
    else:
        with pytest.raises(ConfigError, match="the cluster did not take the runs"):
            executor.detach()
        assert not only(RunStore(tmp_path)).entries()


ACCOUNT = "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified"
MINE = "`sacctmgr show assoc user=$USER` lists what is yours"


@pytest.mark.parametrize(
    ("given", "said", "way"),
    [
        ({"account": "a"}, ACCOUNT, f"see executor.account=a: {MINE}"),
        ({"account": "a", "partition": "p"}, ACCOUNT, f"see executor.account=a, executor.partition=p: {MINE}"),
        ({}, ACCOUNT, f"set executor.account: {MINE}"),
        ({"partition": "p"}, "sbatch: error: invalid partition specified: p", "see executor.partition=p: `sinfo -s`"),
        ({"qos": "q"}, f"QOSMaxWallDurationPerJobLimit {POLICY}", "ask for less by executor.timeout_min"),
        ({}, "sbatch: unrecognized option '--x'", "run it where jobs can be submitted"),
    ],
)
def test_a_refusal_leads_to_its_override(
    given: dict[str, str], said: str, way: str, slurm: Slurm, tmp_path: Path
) -> None:
    slurm.room, slurm.refusal = 0, said
    executor = asked(RunStore(tmp_path), 1, SlurmExecutor(cpus_per_task=1, **given))  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as caught:
        executor.detach()
    assert way in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_slurm_takes_no_longer_is_not_asked_for_forever(slurm: Slurm, tmp_path: Path) -> None:
    """An account that was closed in the middle of a sweep whose workers were lost."""
    executor = asked(RunStore(tmp_path), 2)
    executor.wait(0)
    slurm.room, slurm.refusal = 0, ACCOUNT
    asked(RunStore(tmp_path), 2, executor, first=2)
    over = executor.wait(0)
    assert not over, "two workers are there"
    assert "Slurm takes no further workers" in str(executor.news()[-1])
    slurm.jobs.clear()
    while len(over) < 4:
        over += executor.wait(1)
    assert {end.reason for end in over} == {f"no worker got to it: Slurm takes none any more ({ACCOUNT})"}
    assert not only(RunStore(tmp_path)).entries()
    tried = slurm.count("sbatch")
    for _ in range(200):
        executor.wait(1)
    assert slurm.count("sbatch") == tried


def test_a_controller_that_is_away_is_asked_again(slurm: Slurm, tmp_path: Path) -> None:
    executor = asked(RunStore(tmp_path), 2)
    executor.wait(0)
    slurm.room, slurm.refusal = 0, "sbatch: error: Unable to contact slurm controller (connect failure)"
    slurm.jobs.clear()
    for _ in range(300):
        assert not executor.wait(1)
    assert 3 <= slurm.count("sbatch") - 1 <= 300 / RETRY * 2, "2 and 1 workers at the most, once a minute"
    slurm.room = 10
    for _ in range(70):
        executor.wait(1)
    assert len(slurm.jobs) == 2


def test_what_is_passed_through(slurm: Slurm, tmp_path: Path) -> None:
    slurm.gpus = True
    planned = one(
        *("executor=slurm", "executor.partition=p", "executor.account=a", "executor.qos=q", "executor.constraint=c"),
        *("executor.gres=gpu:2", "executor.extra=[--exclusive,'--nice=10']", "executor.mem_gb=1.5"),
        *("executor.timeout_min=30", "executor.margin_s=90", "train.device=auto"),
    )
    executor = executor_for([planned.tree])
    executor.start(RunStore(tmp_path).prepare().run(planned.run_id), 1)
    executor.wait(0)
    options = set(submitted(slurm))
    asked = {"partition=p", "account=a", "qos=q", "constraint=c", "gres=gpu:2", "nice=10", "mem=1536M", "time=30"}
    assert options >= {f"--{option}" for option in asked} | {"--exclusive", "--requeue", "--signal=B:USR2@90"}
    assert not [option for option in options if "gpus-per-node" in option]


@pytest.mark.parametrize(
    ("device", "cluster", "gpus"), [("cpu", True, 0), ("auto", False, 0), ("auto", True, 2), ("cuda", False, 2)]
)
def test_gpus_are_asked_for_where_runs_can_use_any(
    device: str, cluster: bool, gpus: int, slurm: Slurm, tmp_path: Path
) -> None:
    slurm.gpus = cluster
    planned = one("executor=slurm", "nproc=2", f"train.device={device}")
    executor = executor_for([planned.tree])
    executor.start(RunStore(tmp_path).prepare().run(planned.run_id), 2)
    executor.wait(0)
    assert [o for o in submitted(slurm) if o.startswith(("--gpu", "--gres"))] == (
        [f"--gpus-per-node={gpus}"] if gpus else []
    )


def test_requests_that_cannot_be(slurm: Slurm) -> None:
    with pytest.raises(ConfigError, match=r"nproc=3 ranks do not divide over executor\.nodes=2"):
        executor_for([one("executor=slurm", "executor.nodes=2", "nproc=3").tree])
    with pytest.raises(ConfigError, match=r"nproc=2 needs 8 cores of a node: raise executor\.cpus_per_task=4"):
        executor_for([one("executor=slurm", "executor.cpus_per_task=4", "executor.threads=4", "nproc=2").tree])
    with pytest.raises(ConfigError, match=r"executor\.extra=\[1\]: a list of sbatch's options"):
        executor_for([one("executor=slurm", "executor.extra=[1]").tree])
    with pytest.raises(
        ConfigError, match=r"executor\.margin_s=120 leaves less than a minute of executor\.timeout_min=2"
    ):
        executor_for([one("executor=slurm", "executor.timeout_min=2").tree])
    with pytest.raises(ConfigError, match="one executor"):
        executor_for([one().tree, one("executor=slurm").tree])


def test_gpus_of_a_gres() -> None:
    assert [gpus_in(text) for text in ("gpu:a100:4", "gpu", "gpu:3", "x:2,gpu:h100:2", "shard:gpu:8", "gpu:a100")] == [
        *(4, 1, 3, 2, 0, 1)
    ]


def test_detach_wants_a_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ("sweep", *TINY, "--detach", "--runs", str(tmp_path / "runs"))
    code, said = in_one_line(*command, monkeypatch=monkeypatch, capfd=capfd)
    assert code == 2
    assert said == "batchlab: --detach: executor=local has no queue that could keep the runs; try executor=slurm"
    code, said = in_one_line(*command, "--timeout", "3m", monkeypatch=monkeypatch, capfd=capfd)
    assert (code, said) == (2, "batchlab: --detach leaves nobody to watch over --timeout: leave one of them out")


def test_a_dry_run_refuses_what_the_sweep_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"executor=slurm: there is no sbatch and no squeue and no scancel here; run"):
        sweep([*TINY, "executor=slurm"], tmp_path / "runs", SweepOptions(dry_run=True), None)

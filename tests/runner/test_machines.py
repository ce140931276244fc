"""Several machines without an engine: who leads, who follows, and that the numbers are those of one machine."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pages import DOCS, blocks
from runs import HANGS, TINY, Fleet, frozen, refused, rows
from shell import ENTRY

from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch import launch, machines
from batchlab.runner.launch.executors import torchrun
from batchlab.runner.launch.executors.base import Began, executor_for
from batchlab.runner.launch.executors.torchrun import TorchrunExecutor
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import ConfigError

MEET = ("executor=torchrun", "executor.rdzv_endpoint=127.0.0.1:29500")


@dataclass
class Share:
    """A process that ends when a test says so."""

    role: str
    run: Run
    code: int | None = None
    signals: list[int] = field(default_factory=list)

    def poll(self) -> int | None:
        return self.code

    def send_signal(self, signum: int) -> None:
        self.signals.append(signum)

    def wait(self, timeout: float = 0) -> int:
        return self.code or 0


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch) -> list[Share]:
    """What machines would start, in order."""
    begun: list[Share] = []

    def begin(self: TorchrunExecutor, role: str, run: Run, *, own: bool) -> None:
        begun.append(Share(role, run))
        self.now = run, begun[-1], own  # type: ignore[assignment]
        self.said += [Began(run)] if own else []

    monkeypatch.setattr(TorchrunExecutor, "_begin", begin)
    return begun


def machine(folder: Path, *runs: Run) -> TorchrunExecutor:
    """One with these runs in its queue."""
    made = TorchrunExecutor(rdzv_endpoint="node1:29500")
    made.at(folder)
    for run in runs:
        made.start(run, 2)
    return made


def test_the_first_leads_and_the_others_lend_to_what_it_trains(tmp_path: Path, shares: list[Share]) -> None:
    a, b = (RunStore(tmp_path).run(name).create() for name in ("a", "b"))
    first, second = machine(tmp_path, a, b), machine(tmp_path, a, b)
    assert not [*first.wait(0), *second.wait(0)]
    assert [(share.role, share.run) for share in shares] == [("lead", a), ("lend", a)]
    assert first.round == second.round
    shares[1].code = 0
    with a.hold():  # the leader has not settled it yet
        assert not second.wait(0)
    a.write_state(state="diverged")
    shares[0].code = 0
    assert [end.run for end in (*first.wait(0), *second.wait(0))] == [a, a]
    first.wait(0)
    second.wait(0)
    assert [(share.role, share.run) for share in shares[2:]] == [("lead", b), ("lend", b)]


def test_where_the_leader_is_gone_another_leads_on(tmp_path: Path, shares: list[Share]) -> None:
    a, b = (RunStore(tmp_path).run(name).create() for name in ("a", "b"))
    first, second = machine(tmp_path, a, b), machine(tmp_path, a, b)
    first.wait(0)
    second.wait(0)
    first.close(kill=True)
    shares[1].code = 1
    a.write_state(state="diverged")
    assert [end.run for end in second.wait(0)] == [a]
    second.wait(0)
    assert [(share.role, share.run) for share in shares] == [("lead", a), ("lend", a), ("lead", b)]


def test_who_lends_ranks_to_a_run_that_is_over_stays_to_its_end(tmp_path: Path, shares: list[Share]) -> None:
    """`make chaos`: the lender's sweep was over with the run, and the leader's agent waited for the lender's."""
    a = RunStore(tmp_path).run("a").create()
    first, second, third = machine(tmp_path, a), machine(tmp_path), machine(tmp_path)
    for one in (first, second, third):
        one.wait(0)
    third.close()
    a.write_state(state="diverged")
    second.close()
    first.close(kill=True)
    assert [share.role for share in shares] == ["lead", "lend", "lend"]
    assert [share.signals for share in shares] == [[signal.SIGKILL], [], [signal.SIGTERM]]


def test_a_leader_does_not_wait_for_a_machine_that_was_lost_at_the_end(
    tmp_path: Path, shares: list[Share], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's agents would wait for it for five minutes, with the run done."""
    a, b = (RunStore(tmp_path).run(name).create() for name in ("a", "b"))
    leader = machine(tmp_path, a, b)
    leader.wait(0)
    monkeypatch.setattr(torchrun, "STOP_GRACE", -1)
    leader.wait(0)
    assert not shares[0].signals
    a.write_state(state="diverged")
    leader.wait(0)
    assert set(shares[0].signals) == {signal.SIGTERM}
    shares[0].code = 0
    assert [end.run for end in leader.wait(0)] == [a]
    monkeypatch.setattr(torchrun, "STOP_GRACE", 1000)
    leader.wait(0)
    b.write_state(state="diverged")
    leader.wait(0)
    assert not shares[1].signals


def test_a_run_that_begins_anew_is_followed(tmp_path: Path, shares: list[Share]) -> None:
    (a,) = (RunStore(tmp_path).run(name).create() for name in ("a",))
    first, second = machine(tmp_path, a), machine(tmp_path)
    first.wait(0)
    second.wait(0)
    assert second.news() == ["lending ranks to run a"], "it had nothing of its own to train"
    shares[0].code = 1
    first.wait(0)
    first.start(a, 2)
    first.wait(0)
    second.wait(0)
    assert shares[1].signals, "what waits for the round before is told to end"
    shares[1].code = 0
    second.wait(0)
    second.wait(0)
    assert [share.role for share in shares] == ["lead", "lend", "lead", "lend"]


def test_what_is_over_already_is_not_trained(tmp_path: Path, shares: list[Share]) -> None:
    a = RunStore(tmp_path).run("a").create()
    a.write_state(state="diverged")
    alone = machine(tmp_path, a)
    assert [end.run for end in alone.wait(0)] == [a]
    assert not shares


def test_what_is_queued_when_all_is_stopped_ends_too(tmp_path: Path, shares: list[Share]) -> None:
    a, b = (RunStore(tmp_path).run(name).create() for name in ("a", "b"))
    alone = machine(tmp_path, a, b)
    alone.wait(0)
    alone.stop()
    shares[0].code = 130
    assert [end.run for end in alone.wait(0)] == [b, a]
    assert shares[0].signals


@pytest.mark.parametrize("said", ["{", "[]", '{"run": "../../etc", "round": "1"}', '{"run": "a"}'])
def test_an_announcement_that_is_none_is_passed_over(said: str, tmp_path: Path, shares: list[Share]) -> None:
    leader, follower = machine(tmp_path, RunStore(tmp_path).run("a").create()), machine(tmp_path)
    leader.wait(0)
    (tmp_path / ".machines" / "node1-29500.json").write_text(said)
    follower.wait(0)
    assert [share.role for share in shares] == ["lead"]


def test_what_cannot_be_placed_is_refused() -> None:
    assert "executor.rdzv_endpoint has no value" in refused(*TINY, "executor=torchrun")
    with pytest.raises(ConfigError, match=r"nproc=3 ranks do not divide over executor.nnodes=2 machines"):
        executor_for([p.tree for p in compose([*TINY, *MEET, "nproc=3"])])
    with pytest.raises(ConfigError, match=r"executor.rdzv_endpoint=node1: HOST:PORT"):
        executor_for([p.tree for p in compose([*TINY, MEET[0], "executor.rdzv_endpoint=node1"])])


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize("role", ["lead", "lend"])
def test_what_a_lender_s_agent_says_is_not_the_leader_s_failure(
    role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have the run's folder; the leader's reason was the stop that only the other one had heard."""
    run, _ = frozen(tmp_path)
    files: list[str] = []

    class Agent:
        def __init__(self, command: Any, *, env: dict[str, str], stdout: Any, **how: Any) -> None:
            files.extend((Path(env["TORCHELASTIC_ERROR_FILE"]).name, Path(stdout.name).name))

        def wait(self) -> int:
            run.write_state(state="interrupted")
            return 0

    monkeypatch.setattr(launch.subprocess, "Popen", Agent)
    monkeypatch.setattr(signal, "signal", lambda *_: signal.SIG_DFL)
    monkeypatch.setattr(machines.sys, "argv", ["machines", role, str(run.folder), "2", "--rdzv-id", "x"])
    with suppress(SystemExit):
        machines.main()
    suffix = f"-{os.uname().nodename}" if role == "lend" else ""
    assert files == [f"error{suffix}.json", f"torchrun{suffix}.log"]


@pytest.mark.slow
def test_two_machines_give_the_numbers_of_one(tmp_path: Path, fleet: Fleet) -> None:
    """The page's command, twice at a time; both machines are this one."""
    (command,) = blocks((DOCS / "machines.md").read_text(), "bash")
    words = shlex.split(command.replace("\\\n", " "))[1:]
    where = {"node1:29500": f"127.0.0.1:{free_port()}", "/shared/runs": str(tmp_path / "runs")}
    for written, here in where.items():
        words = [word.replace(written, here) for word in words]
    more = ["executor.local_addr=127.0.0.1"]
    environment: dict[str, Any] = {"cwd": tmp_path, "env": os.environ | {"GLOO_SOCKET_IFNAME": "lo"}}
    both = [subprocess.Popen([*ENTRY, *words, *more], stdout=subprocess.PIPE, **environment) for _ in range(2)]
    said = [process.communicate(timeout=HANGS)[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("this machine leads 2 machines" in text for text in said) >= 1, said
    asked = [word for word in words[1:] if "=" in word and not word.startswith("executor")]
    plans = compose(asked)
    assert len(plans) == 2
    for planned in plans:
        there, alone = RunStore(tmp_path / "runs").run(planned.run_id), fleet.train(tmp_path / "alone", planned)
        assert (there.read_state().state, there.read_state().info["hardware"]["ranks"]) == (State.DONE, 2)
        assert rows(there) == rows(alone)

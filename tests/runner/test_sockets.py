"""A run on one machine listens to that machine alone, and a run of one rank to nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs import TINY, wait_until
from shell import ENTRY

from batchlab.results.store.runs import RunStore

LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
"""127.0.0.1, ::1 and the first of them as the kernel writes it in tcp6, as /proc/net spells them."""
LISTENS = "0A"
MANY_STEPS = ("train.epochs=100_000", "log.evaluate_every=10")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets are looked up in /proc")


def tree(process: int) -> Iterator[int]:
    """A process and all below it."""
    yield process
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from tree(int(child))


def listening(processes: set[int]) -> set[str]:
    """The addresses, as /proc/net spells them, that some of these processes accept connections at."""
    inodes = set()
    for process in processes:
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            try:
                inodes.add(os.readlink(descriptor))
            except OSError:  # closed meanwhile
                continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == LISTENS and f"socket:[{rest[5]}]" in inodes:
                found.add(local.partition(":")[0])
    return found


def test_a_socket_that_anybody_can_reach_is_seen() -> None:
    import socket

    with socket.create_server(("", 0)), socket.create_server(("127.0.0.1", 0)):
        assert listening({os.getpid()}) == {"00000000", "0100007F"}


@pytest.mark.parametrize(("ranks", "where"), [(1, set()), (2, {"0100007F"})])
def test_the_ranks_of_one_machine_meet_on_its_loopback_interface(ranks: int, where: set[str]) -> None:
    from batchlab.runner.launch.rendezvous import OneMachine

    before = listening({os.getpid()})
    meeting = OneMachine("a1b2", ranks).next_rendezvous()
    meeting.store.set("key", "value")
    assert meeting.store.get("key") == b"value"
    assert (meeting.rank, meeting.world_size) == (0, 1)
    assert listening({os.getpid()}) - before == where


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["fork", "torchrun"])
@pytest.mark.parametrize("nproc", [1, 2])
def test_nothing_listens_beyond_the_loopback_interface(nproc: int, launcher: str, tmp_path: Path) -> None:
    """Looked at while the ranks train: the store of the agent, gloo's sockets, whatever torch opens beside."""
    asked = (
        "train",
        *[t for t in TINY if "epochs" not in t],
        *MANY_STEPS,
        f"nproc={nproc}",
        f"executor.launcher={launcher}",
    )
    driver = subprocess.Popen([*ENTRY, *asked], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:

        def training() -> bool:
            assert driver.poll() is None, "it ended by itself"
            progress = [run.read_progress() for run in RunStore(tmp_path / "runs").runs()]
            return any(said.get("samples") for said in progress)

        wait_until(training)
        processes = set(tree(driver.pid))
        commands = [Path(f"/proc/{p}/cmdline").read_bytes().replace(b"\0", b" ") for p in processes]
        assert len(processes) >= 3 + nproc, commands  # the command, the warm process, the agent, its ranks
        found = listening(processes)
    finally:
        driver.terminate()
        driver.wait()
    assert found <= LOOPBACK
    assert bool(found) == (nproc > 1), "one rank meets nobody"

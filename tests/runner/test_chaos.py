"""Kills at random moments; `make chaos` has a hundred for each engine (CHAOS_KILLS), and prints what came of them."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import pytest
from chaos import OFTEN, WORK, Storm, Tally, check
from chaos_engines import ENGINES, ROWS, below
from runs import Fleet, Watcher

from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.config import compose

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
KILLS = int(os.environ.get("CHAOS_KILLS", "100"))


@pytest.mark.chaos
@pytest.mark.timeout(0)
@pytest.mark.parametrize(("name", "nproc"), ROWS)
def test_kills_at_random_moments(name: str, nproc: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with ENGINES[name].around(nproc) as chosen:
        tally = Storm(tmp_path, ENGINES[name], nproc, seed=nproc, chosen=chosen).rage(KILLS)
    with capfd.disabled():
        print(f"\n{name}, {nproc} {'rank' if nproc == 1 else 'ranks'}: {tally}", flush=True)
    assert not tally.faults


@pytest.mark.parametrize(
    ("nproc", "together"),
    [(1, 1), pytest.param(1, 2, marks=pytest.mark.slow), pytest.param(2, 1, marks=pytest.mark.slow)],
)
def test_a_few_kills(nproc: int, together: int, tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short form: agents and ranks of the warm process that the tests share."""
    monkeypatch.setattr(fleet.executor, "together", together)
    plans = compose([*WORK, *OFTEN, "seed=range(0,2)", f"nproc={nproc}"])
    fleet.sweep(tmp_path / "calm", plans, slots=2)
    chance, tally, store = random.Random(nproc), Tally(), RunStore(tmp_path / "storm")
    due = 0

    def strike() -> None:
        nonlocal due
        running = [run for run in store.runs() if run.read_state().state is State.RUNNING]
        if tally.kills.total() == 5 or not running:
            return
        due -= 1
        if due > 0:
            return
        due = chance.randrange(1, 5)
        agent = int(chance.choice(running).read_state().info["pid"])
        ranks = [pid for level in below(agent) for pid in level]
        victim, chosen = chance.choice([("agent", [agent]), ("rank", ranks[:1]), ("group", [agent, *ranks])])
        for pid in chosen:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return
        tally.kills[victim] += bool(chosen)

    while tally.commands < 20 and any(store.run(p.run_id).read_state().state is not State.DONE for p in plans):
        fleet.sweep(store.root, plans, slots=2, watcher=Watcher(on_tick=strike), options=SweepOptions(retry=True))
        tally.commands += 1
    check(store, RunStore(tmp_path / "calm"), plans, tally, ENGINES["local, together"].tolerance * (together > 1))
    assert not tally.faults, tally
    assert tally.kills.total() > 0, tally

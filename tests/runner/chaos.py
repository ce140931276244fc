"""Kills at random moments of sweeps, and what must hold after the same command has been given until all is done.

Every run is done once, its rows are bit for bit those of a sweep that nobody disturbed, no process is left, and no
temporary file.
"""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from chaos_engines import MARK, Engine, marked
from runs import HANGS, rows
from shell import ENTRY

from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner.plan.config import Planned, compose

WORK = ("dataset=digits", "model=mlp", "model.hidden=[16]", "train.epochs=8", "batch_schedule.size=64")
OFTEN = ("train.device=cpu", "train.checkpoint_seconds=0", "log.evaluate_every=0.5")
SEEDS = "seed=range(0,6)"
SAID = ("a fault of batchlab", "Traceback (most recent call last)")
"""What no command says, whatever was killed."""
LATEST = 5.0
"""Seconds after the start of a command until which it is killed where that is not in the middle of training."""


@dataclass
class Tally:
    """What happened, and what is wrong.

    Attributes:
        kills: By victim.
        commands: How often the command was given.
        runs: That are done.
        rows: That were compared.
        rounded: Others that were, and are equal but for rounding.
        faults: What must not be, one line each.
    """

    kills: Counter[str] = field(default_factory=Counter)
    commands: int = 0
    runs: int = 0
    rows: int = 0
    rounded: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        each = ", ".join(f"{n} {victim}" for victim, n in sorted(self.kills.items()))
        equal = f"{self.rows} rows bit-equal" + (f", {self.rounded} but for rounding" if self.rounded else "")
        done = f"{self.runs} runs done once, {equal}" if not self.faults else f"faults: {self.faults}"
        return f"{self.kills.total()} kills ({each}), the command given {self.commands} times: {done}"


class Storm:
    """Sweeps of one engine that are killed again and again.

    Args:
        root: A folder for all of it.
        engine: Of `ENGINES`.
        nproc: Ranks of a run.
        seed: Of the moments and victims.
        chosen: Overrides that choose the engine.
    """

    def __init__(self, root: Path, engine: Engine, nproc: int, seed: int, chosen: Sequence[str]) -> None:
        self.root, self.engine, self.chosen = root, engine, chosen
        self.work = [*WORK, *OFTEN, SEEDS, f"nproc={nproc}"]
        self.random = random.Random(seed)
        self.tally = Tally()
        self.mark = uuid.uuid4().hex

    def rage(self, kills: int) -> Tally:
        """Kill so often; each sweep that comes to its end all the same is checked, and another begins.

        What it must come to is what this machine trains undisturbed, each run alone.
        """
        calm, plans = self.root / "calm", compose(self.work)
        alone = [*ENTRY, "sweep", *self.work, "executor.fuse=off", "--runs", str(calm)]
        done = subprocess.run(alone, capture_output=True, timeout=HANGS)
        assert done.returncode == 0, done.stdout + done.stderr
        sweeps = 0
        while self._goes_on(kills):
            runs = self.root / f"storm{sweeps}"
            self._until_done(runs, kills)
            self._none_left()
            check(RunStore(runs), RunStore(calm), plans, self.tally, self.engine.tolerance)
            (self.root / "tally.txt").write_text(f"{self.tally}\n")
            if not self.tally.faults:
                shutil.rmtree(runs)
            sweeps += 1
        return self.tally

    def _goes_on(self, kills: int) -> bool:
        return self.tally.kills.total() < kills and not self.tally.faults

    def _until_done(self, runs: Path, kills: int) -> None:
        """Give the commands until each has ended well; somebody is killed while there are kills left."""
        commands: list[subprocess.Popen[bytes] | None] = [None] * self.engine.commands
        missing = set(range(self.engine.commands))
        while missing and not self.tally.faults:
            for place in missing:
                commands[place] = commands[place] or self._give(runs, place)
            alive = [command for place in missing if (command := commands[place])]
            while self._goes_on(kills) and all(command.poll() is None for command in alive):
                self._strike(alive)
            self._await(partial(_any_ended, alive), "the command does not end")
            for place in list(missing):
                command = commands[place]
                if command is not None and command.poll() is not None:
                    commands[place] = None
                    if not self.engine.lasting:
                        self._none_left(place)
                    if command.returncode == 0:
                        missing.discard(place)
        if any(fault in self._said().read_text(errors="replace") for fault in SAID):
            self.tally.faults.append(f"see {self._said()}")

    def _said(self) -> Path:
        return self.root / "said.txt"

    def _give(self, runs: Path, place: int) -> subprocess.Popen[bytes]:
        self.tally.commands += 1
        with self._said().open("ab") as said:
            return subprocess.Popen(
                [*ENTRY, "sweep", *self.work, *self.chosen, "--retry", "--runs", str(runs)],
                stdout=said,
                stderr=said,
                stdin=subprocess.DEVNULL,
                env=os.environ | {MARK: f"{self.mark}.{place}"},
                start_new_session=True,
            )

    def _strike(self, commands: Sequence[subprocess.Popen[bytes]]) -> None:
        """Kill somebody at a random moment: of the start of the commands, or of the training of runs."""
        pids = [command.pid for command in commands]
        alive = lambda: all(command.poll() is None for command in commands)  # noqa: E731
        victim = self.random.choice((*self.engine.victims, "group"))
        first, last = self.engine.victims[0], self.engine.victims[-1]
        until = self.random.choice((first, last)) if victim in (first, "group") else victim
        self._sleep(self.random.uniform(0.1, LATEST) if until == first else 0, alive)
        deadline = time.monotonic() + HANGS
        while alive() and until not in self.engine.find(pids, self.mark):
            if time.monotonic() > deadline:
                self.tally.faults.append(f"there never was a process of this kind: {until}")
                return
            time.sleep(0.02)
        self._sleep(self.random.uniform(0, 2), alive)
        found = self.engine.find(pids, self.mark)
        among = found.get(victim, []) if victim != "group" else [pid for level in found.values() for pid in level]
        if not among or not alive():
            return
        for pid in among if victim == "group" else [self.random.choice(among)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.tally.kills[victim] += 1
        if victim in ("group", self.engine.victims[0]):
            self._await(lambda: not alive(), "a killed command lives")

    def _sleep(self, seconds: float, alive: Callable[[], bool]) -> None:
        moment = time.monotonic() + seconds
        while time.monotonic() < moment and alive():
            time.sleep(0.01)

    def _await(self, condition: Callable[[], object], otherwise: str) -> None:
        """Wait; where it never comes that is a fault, and everything is killed."""
        deadline = time.monotonic() + HANGS
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.05)
        if condition():
            return
        here = [pid for pid in marked(self.mark) if os.path.exists(f"/proc/{pid}")]
        self.tally.faults.append(f"{otherwise}: {[' '.join(_words(pid)) for pid in here]}")
        for pid in here:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _none_left(self, place: int | str = "") -> None:
        """Every process of a command that has ended ends too."""
        self._await(lambda: not marked(f"{self.mark}.{place}"), "orphans")


def _any_ended(commands: Sequence[subprocess.Popen[bytes]]) -> bool:
    return any(command.poll() is not None for command in commands)


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:6]
    except OSError:
        return ["gone"]


def close(own: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]], tolerance: float) -> bool:
    """Whether rows are the same but for rounding."""
    return len(own) == len(expected) and all(
        one.keys() == other.keys()
        and all(
            one[key] == other[key]
            or (isinstance(one[key], float) and math.isclose(one[key], other[key], rel_tol=tolerance))
            for key in one
        )
        for one, other in zip(own, expected, strict=True)
    )


def check(store: RunStore, calm: RunStore, plans: Sequence[Planned], tally: Tally, tolerance: float = 0.0) -> None:
    """See that every run is done once, and to the same rows as in a store that nobody disturbed."""
    found = {run.run_id for run in store.runs()}
    if found != {planned.run_id for planned in plans}:
        tally.faults.append(f"runs: {sorted(found)}")
    for planned in plans:
        run = store.run(planned.run_id)
        state = run.read_state()
        if state.state is not State.DONE:
            tally.faults.append(f"{run.run_id} is {state.state}: {state.reason}")
            continue
        own, expected = rows(run), rows(calm.run(planned.run_id))
        same = repr(own) == repr(expected)  # NaN is itself
        if not same and not (tolerance and close(own, expected, tolerance)):
            tally.faults.append(f"{run.run_id} has other rows: {len(own)} for {len(expected)}")
        tally.runs += 1
        tally.rows += len(own) if same else 0
        tally.rounded += 0 if same else len(own)
    for path in store.root.rglob("*"):
        named = path.name.startswith(".") and path.parent != store.root
        if path.is_file() and (named or path.suffix == ".tmp") and ".sweeps" not in path.parts[:-1]:
            tally.faults.append(f"left behind: {path.relative_to(store.root)}")

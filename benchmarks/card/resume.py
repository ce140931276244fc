"""(e) Two ranks on one card, and runs that are stopped or killed, resumed, and compared bit for bit.

The runs go through `batchlab train` as a user's do, several at a time, for only their numbers count here. Convolutions
on a card need not give the same bits twice, so an undisturbed run is repeated too: a resume is held against that.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml

from batchlab.results.store.run import Run
from batchlab.results.store.runs import RunStore
from card.part import Part

TIMES = ("train_seconds", "eval_seconds")
"""Columns that differ from run to run."""


class Command:
    """`batchlab train` in a process of its own, with a folder of runs of its own."""

    def __init__(self, part: Part, name: str, overrides: list[str]) -> None:
        self.runs, self.overrides, self.part = part.work / "resume" / name, overrides, part
        self.log = part.work / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin, or go on."""
        code = "from batchlab.runner.cli import main; main()"
        command = [sys.executable, "-c", code, "train", *self.overrides, "--runs", str(self.runs)]
        environment = os.environ | {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "PYTHONUNBUFFERED": "1"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.part.work / "user", env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def wait(self) -> int:
        """Until it has ended; its exit code."""
        assert self.process is not None
        return self.process.wait(max(1.0, self.part.left))

    def stop(self, number: int, share: float) -> float:
        """Send a signal once a share of the samples has been seen; returns the share at which it was."""
        assert self.process is not None
        while self.process.poll() is None and self.part.left > 0:
            for run in RunStore(self.runs).runs():
                progress = run.read_progress()
                seen = progress.get("samples", 0) / max(1, progress.get("total", 1))
                ready = number != signal.SIGKILL or run.checkpoint.exists()
                if seen >= share and ready:
                    self.process.send_signal(number)
                    return float(seen)
            time.sleep(0.05)
        raise RuntimeError(f"it ended before it could be stopped: {self.said()}")

    def said(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(errors="replace")[-400:] if self.log.exists() else ""

    @property
    def run(self) -> Run:
        """The one run."""
        (run,) = RunStore(self.runs).runs()
        return run

    def frames(self) -> dict[str, pd.DataFrame]:
        """Rows of evaluations and of steps, without times."""
        state = self.run.read_state()
        if state.state != "done":
            raise RuntimeError(f"the run is {state.state} ({state.reason}): {self.said()}")
        read = {name: pd.read_parquet(self.run.sealed(name)) for name in ("metrics", "steps")}
        return {name: frame.drop(columns=[c for c in TIMES if c in frame]) for name, frame in read.items()}


def difference(a: Command, b: Command) -> tuple[bool, str]:
    """Whether two runs have the same rows to the last bit, and if not where they part first."""
    first, second = a.frames(), b.frames()
    for name in ("steps", "metrics"):
        x, y = first[name], second[name]
        if list(x.columns) != list(y.columns) or len(x) != len(y):
            return False, f"{name}: {x.shape} against {y.shape}"
        different = ~((x == y) | (x.isna() & y.isna()))
        if different.any(axis=None):
            row = int(different.any(axis=1).to_numpy().argmax())
            columns = [str(c) for c in x.columns[different.iloc[row]]]
            gap = x[columns[0]].iloc[row], y[columns[0]].iloc[row]
            return False, f"{name} from row {row + 1} of {len(x)} on: {', '.join(columns[:3])}, {gap[0]} and {gap[1]}"
    return True, f"{len(first['steps'])} steps and {len(first['metrics'])} evaluations, parameters by their hash"


def resumes(part: Part) -> None:
    """Straight runs and stopped ones, with PyTorch's defaults and with deterministic convolutions."""
    folder = part.work / "user" / "conf" / "measure"
    folder.mkdir(parents=True)
    for name, deterministic in (("fingerprint", False), ("fingerprint_deterministic", True)):
        content = {"name": name, "_target_": "card.fingerprint.Fingerprint", "deterministic": deterministic}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    options: dict[str, Any] = {
        "train__epochs": 30 if part.smoke else 3,
        "log__evaluate_every": 10 if part.smoke else 1.5,
        "log__steps": "true",
        "lr_schedule": "cosine",
        "train__precision": "bfloat16",
        "train__channels_last": "true",
        "train__checkpoint_seconds": 0.3 if part.smoke else 2.0,
    }
    if part.smoke:
        options["model"] = "mlp"
    common = part.overrides(size=128, **options)
    plain, fixed = "+measure=fingerprint", "+measure=fingerprint_deterministic"
    chosen = {"straight": plain, "stopped": plain}
    if not part.smoke:  # a command takes two slow cores ten seconds
        chosen |= {"straight again": plain, "straight, deterministic": fixed, "killed, deterministic": fixed}
    commands = {
        name: Command(part, name.replace(", ", "-").replace(" ", "-"), [*common, measure])
        for name, measure in chosen.items()
    }
    disturbed = {"stopped": signal.SIGTERM, "killed, deterministic": signal.SIGKILL}
    disturbed = {name: number for name, number in disturbed.items() if name in commands}
    for command in commands.values():
        command.start()
    notes: dict[str, str] = {}
    for name, number in disturbed.items():
        try:
            share = commands[name].stop(number, 0.3)
            code = commands[name].wait()
        except Exception as error:  # one that cannot be stopped leaves the other to be looked at
            part.add(f"failed: {name}", note=f"{type(error).__name__}: {error}"[:300])
            continue
        notes[name] = f"signal {int(number)} at {100 * share:.0f} %, exit code {code}"
        late = time.monotonic() + 10
        while commands[name].run.held() and time.monotonic() < late:
            time.sleep(0.1)  # ranks of a killed command die with it, which takes them a moment
        if not commands[name].run.checkpoint.exists():
            notes[name] += ", no checkpoint: from its beginning"
        commands[name].start()
    for name, command in commands.items():
        code = command.wait()
        if code:
            print(f"    {name}: exit code {code}\n{command.said()}", flush=True)
    pairs = [
        ("straight again", "straight", "an undisturbed run, repeated"),
        ("stopped", "straight", "stopped and resumed"),
        ("killed, deterministic", "straight, deterministic", "killed and resumed, deterministic convolutions"),
    ]
    for a, b, title in pairs:
        if a not in commands:
            continue
        part.attempt(title, partial(judge, part, commands[a], commands[b], title, notes.get(a, "")))


def judge(part: Part, a: Command, b: Command, title: str, note: str) -> None:
    """Write whether two runs are the same run."""
    same, where = difference(a, b)
    part.add(f"same bits: {title}", float(same), "1 is yes", note="; ".join(filter(None, [where, note])))


def ranks(part: Part) -> None:
    """A few steps on two ranks and on one, and how far their parameters are apart: what is summed in another order."""
    cards = torch.cuda.device_count() if part.device.type == "cuda" else 0
    backend = "nccl" if cards > 1 else "gloo"
    steps = 6 if part.smoke else 40
    seconds: dict[int, float] = {}
    states: dict[int, list[torch.Tensor]] = {}
    for world in (1, 2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        out = part.work / f"ranks{world}.pt"
        processes = []
        for rank in range(world):
            place = f"cuda:{rank if cards > 1 else 0}" if cards else "cpu"
            environment = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            environment |= {"RANK": str(rank), "WORLD_SIZE": str(world)}
            arguments = [str(out), place, backend, str(steps), json.dumps(part.overrides(**rank_options(world)))]
            processes.append(subprocess.Popen([sys.executable, "-m", "card.rank", *arguments], env=environment))
        codes = [process.wait(max(1.0, part.left)) for process in processes]
        if any(codes):
            raise RuntimeError(f"ranks ended with codes {codes}")
        content = torch.load(out, map_location="cpu", weights_only=True)
        seconds[world], states[world] = content["seconds"], content["parameters"]
    apart = sum(float((a - b).double().square().sum()) for a, b in zip(states[1], states[2], strict=True)) ** 0.5
    size = sum(float(a.double().square().sum()) for a in states[1]) ** 0.5
    where = f"{backend}, {'two cards' if cards > 1 else 'one card' if cards else 'CPU'}"
    part.add(f"two ranks: distance of parameters after {steps} steps", apart / size, "relative", note=where)
    part.add(
        "two ranks: seconds of a step", seconds[2], "s", peer="one rank", ratios=[seconds[2] / seconds[1]], note=where
    )


def rank_options(world: int) -> dict[str, Any]:
    """Options of the run on `world` ranks: no BatchNorm, whose statistics would be those of a rank's share."""
    options: dict[str, Any] = {"model": "resnet20", "model__norm": "group", "size": 256, "nproc": world}
    return options | {"optimizer": "nshb", "optimizer__lr": 0.05}


def measure(part: Part) -> None:
    """Resumes first."""
    part.attempt("resume", partial(resumes, part))
    for file in sorted(Path(part.work).glob("*.log")):
        if "rror" in (text := file.read_text(errors="replace")):
            print(f"    {file.name}: {text[-1500:]}", flush=True)
    part.attempt("two ranks", partial(ranks, part), 0 if part.smoke else 15)

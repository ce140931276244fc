"""Everything that a graphics card is needed for, measured in one call that keeps to its time.

    python benchmarks/gpu.py --out DIR [--minutes 8.5] [--images FILE.npz] [--parts a,e,d,b,c,g,f] [--smoke]

Seven parts, each in a process of its own with a time limit, in the order of importance: (a) an epoch of ResNet-18
against a bare loop, (e) two ranks and resume, (d) host synchronisations, (b) optimizers and norm tests, (c) the loader,
(g) runs that train together, (f) as much of `sgdm_schedules` and `vrgd` as still fits. A part that fails is reported,
and the rest go on. Rows are in DIR/gpu.parquet after every part, what the parts print is in DIR/gpu.log, the runs of
(f), packed, in DIR/runs.tar.xz, and a table comes last. `--smoke` tries every line of it on the CPU in a minute or two.

Images are those of FILE.npz (x_train, y_train, x_test, y_test; uint8, N x 32 x 32 x 3), or else cifar10.npz in
BATCHLAB_DATA, or else random ones, on which (f) is left out.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from card.images import prepare
from card.rows import Rows, table

HERE = Path(__file__).resolve().parent
TITLES = {
    "a": "an epoch of ResNet-18 against a bare loop",
    "b": "what a step of the optimizers and the norm tests costs",
    "c": "the loader",
    "d": "host synchronisations",
    "e": "two ranks on a card; checkpoint and resume",
    "f": "sgdm_schedules and vrgd",
    "g": "runs that train together",
}
CAPS = {"a": 185.0, "e": 90.0, "d": 75.0, "b": 70.0, "c": 60.0, "g": 60.0, "f": 600.0}
"""Seconds that a part may take at most; the order is that of importance, and the last has what is left."""
KEPT_FOR_F = 100.0
"""Seconds that the parts before it leave to (f)."""
BUSY = 4
"""Times as long `--smoke` may take for each of them: on a card nobody else is at work, in a test suite many are."""
LEAST = 20.0
"""A part with less is not begun."""
CLOSING = 12.0
"""Seconds kept for the end: the last part's processes to stop, the table, the file."""


def main() -> None:
    """Run the parts one after the other, or one of them where this is its process."""
    options = parsed()
    if options.part:
        from card.part import run_part

        run_part(options.part, options.out, options.work, options.seconds, smoke=options.smoke)
        return
    began = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = Rows(options.out)
    rows.clear()
    work = Path(tempfile.mkdtemp(prefix="batchlab-gpu-"))
    try:
        with (options.out / "gpu.log").open("w", buffering=1) as log:
            say(log, f"Python {platform.python_version()}, {os.cpu_count()} cores, {options.minutes:g} minutes")
            say(log, prepare(work, options.images, smoke=options.smoke))
            chosen = [name for name in CAPS if name in options.parts.split(",")]
            for place, name in enumerate(chosen):
                left = 60 * options.minutes - (time.monotonic() - began) - CLOSING
                others = KEPT_FOR_F if "f" in chosen[place + 1 :] else 0.0
                cap = CAPS[name] * (BUSY if options.smoke else 1)
                seconds = min(cap, max(left - others, min(left, 1.5 * LEAST)))
                if seconds < LEAST:
                    rows.add(name, "left out", note=f"{left:.0f} s were left")
                    continue
                say(log, f"\n== ({name}) {TITLES[name]}: at most {seconds:.0f} s")
                start = time.monotonic()
                problem = part(name, options, work, seconds, log)
                took = time.monotonic() - start
                rows.add(name, "seconds of this part", took, "s", note=problem or "")
                say(log, f"== ({name}) {problem or 'ended'} after {took:.0f} s")
                rows.write_parquet()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    rows.write_parquet()
    text = table(rows.read())
    (options.out / "table.txt").write_text(text + "\n")
    print(text, flush=True)
    print(f"{time.monotonic() - began:.0f} s in all; {options.out / 'gpu.parquet'}", flush=True)


def part(name: str, options: argparse.Namespace, work: Path, seconds: float, log: object) -> str | None:
    """Run a part in a process group of its own; returns what went wrong with it."""
    command = [sys.executable, str(Path(__file__).resolve()), "--part", name, "--work", str(work)]
    command += ["--out", str(options.out.resolve()), "--seconds", f"{seconds:.0f}", *(["--smoke"] * options.smoke)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": path(), "BATCHLAB_RUNS": str(work / "runs")}
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )

    def copy() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            say(log, line.rstrip("\n"))

    reader = threading.Thread(target=copy, daemon=True)
    reader.start()
    problem: str | None = None
    try:
        code = process.wait(seconds)
        problem = None if code == 0 else f"failed: exit code {code}"
    except subprocess.TimeoutExpired:
        problem = f"stopped at its limit of {seconds:.0f} s"
    finally:
        end_group(process)  # also what a part left behind: nothing of it may share the card with the next
    reader.join(2)
    return problem


def end_group(process: subprocess.Popen[str]) -> None:
    """End a part and all processes that it started in its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            break
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            continue
        time.sleep(0.2)
    process.poll()


def path() -> str:
    """PYTHONPATH of a part: this folder first, which the processes it starts import from too."""
    return os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])


def say(log: object, text: str) -> None:
    """To the screen and into the log, at once."""
    print(text, flush=True)
    print(text, file=log, flush=True)  # type: ignore[call-overload]


def parsed() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8.5)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--parts", default="a,b,c,d,e,f,g")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--part", choices=list(CAPS), help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""What a run costs before it trains: launch from a sweep, the torchrun command for the same work, compose and validate,
`--help`, `status`.

    python benchmarks/bench_launch.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import yaml

from batchlab.results.store.run import Run
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.executors.base import executor_for
from batchlab.runner.launch.executors.local import LocalExecutor
from batchlab.runner.plan.config import Planned, compose
from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.plan.validate import validate
from batchlab.runner.train.loop import train
from batchlab.runner.train.rank import Context

WORK = ["dataset=digits", "model=resnet8", "batch_schedule.size=32", "train.samples=32", "train.device=cpu"]


def frozen(root: Path, planned: Planned) -> Run:
    """A run ready to be trained."""
    run = RunStore(root).run(planned.run_id)
    run.write_config(yaml.safe_dump(planned.tree))
    return run


def timed(action: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def launched(executor: LocalExecutor, run: Run) -> None:
    """From the executor's start to the end of a run of one step."""
    executor.start(run, 1)
    while not executor.wait(10):
        pass
    assert run.read_state().state == "done", run.read_state()


def command(*arguments: str) -> None:
    """batchlab, in a process of its own."""
    code = "from batchlab.runner.cli import main; main()"
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Print a line per figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    plans = compose([*WORK, f"seed=range(0,{repeats + 1})"])
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        executor = executor_for([p.tree for p in plans])
        assert isinstance(executor, LocalExecutor)
        executor.warm_up()
        here: list[float] = []
        fork: list[float] = []
        run_command: list[float] = []
        for i, planned in enumerate(plans):
            run = frozen(root / "here", planned)
            config, context = RunConfig.load(run.config), Context(run, 0, 1, torch.device("cpu"))
            here.append(timed(lambda config=config, context=context: train(config, context)))  # type: ignore[misc]
            run = frozen(root / "fork", planned)
            executor.launcher = "fork"
            fork.append(timed(lambda run=run: launched(executor, run)))  # type: ignore[misc]
            if 0 < i < 4:
                run = frozen(root / "torchrun", planned)
                executor.launcher = "torchrun"
                run_command.append(timed(lambda run=run: launched(executor, run)))  # type: ignore[misc]
        executor.close()
        here, fork = here[1:], fork[1:]  # the first warms up
        over = statistics.median(f - h for f, h in zip(fork, here, strict=True))
        ratio = statistics.median(run_command) / statistics.median(fork)
        print(f"one step in this process        {statistics.median(here):7.3f} s")
        print(f"the same launched from a sweep  {statistics.median(fork):7.3f} s   {over:+.3f} s (target < 0.5)")
        print(f"the same by torchrun            {statistics.median(run_command):7.3f} s   {ratio:.1f} x (target 10)")

        grid = [*WORK[:2], "seed=range(0,100)", "optimizer=shb,nshb", "optimizer.lr=0.1,0.2,0.3,0.4,0.5"]
        thousand: list[Planned] = []
        seconds = timed(lambda: thousand.extend(compose(grid)))
        print(f"compose {len(thousand)} runs               {seconds:7.3f} s")
        checked = timed(lambda: validate(thousand))
        print(f"  and validate them             {seconds + checked:7.3f} s (target < 5)")
        for planned in thousand:
            run = RunStore(root / "many").run(planned.run_id).create()
            run.write_state(state="done")
        asked = [timed(lambda: command("--help")) for _ in range(repeats)]
        print(f"batchlab --help                 {statistics.median(asked):7.3f} s (target < 0.35)")
        asked = [timed(lambda: command("status", "--runs", str(root / "many"))) for _ in range(repeats)]
        print(f"batchlab status, 1,000 runs     {statistics.median(asked):7.3f} s (target < 1)")


if __name__ == "__main__":
    main()

"""One run on this machine's share of several: the leader settles its state, the others lend their ranks.

python -m batchlab.runner.launch.machines lead|lend RUN NNODES TORCHRUN-ARGUMENTS...
"""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path

from batchlab.results.store.run import Run
from batchlab.runner.launch.launch import Interrupted, LaunchFailure, run_job, torchrun
from batchlab.runner.plan.schema import RunConfig

TRIES = 10
MISSED = ("Rendezvous", "DistNetworkError", "DistStoreError")
"""How torchrun's errors begin when machines did not meet, as when the store of the run before was still there."""


def launch(run: Run, config: RunConfig, *, meet: tuple[str, ...], nodes: int, node: int | str) -> None:
    """`torchrun`, again where machines missed each other.

    Raises:
        As `torchrun`.
    """
    for left in reversed(range(TRIES)):
        try:
            torchrun(run, config, meet=meet, nodes=nodes, node=node)
        except LaunchFailure as error:
            if not left or not any(word in error.reason for word in MISSED):
                raise
            time.sleep(1)
        else:
            return


def main() -> None:
    """Train; what torchrun says is in the run's logs."""
    role, folder, nodes, *meet = sys.argv[1:]
    run = Run(Path(folder))
    node = 0 if role == "lead" else f"-{os.uname().nodename}"  # what a lender's agent says is not the leader's failure
    share = partial(launch, meet=tuple(meet), nodes=int(nodes), node=node)
    if role == "lead":
        sys.exit(run_job(run, share))
    try:
        share(run, RunConfig.load(run.config))
    except Interrupted:
        return
    except LaunchFailure as error:  # the leader says why in the run's state
        print(error, flush=True)


if __name__ == "__main__":
    main()

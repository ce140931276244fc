"""The command of one rank under torchrun; torch is imported only once the rank dies with its agent.

torchrun --standalone --nproc-per-node 2 -m batchlab.runner.launch.rank runs/<run_id>
"""

import os
import signal
import sys

from batchlab.runner.launch.process import AGENT, die_with_parent


def main() -> None:
    """Train as the rank that the environment says. An agent that is killed meanwhile takes its ranks with it."""
    agent = os.environ.pop(AGENT, None)  # none where somebody else's torchrun starts it
    die_with_parent(signal.SIGKILL, int(agent) if agent else None)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # inherited from torchrun, which is deaf to it
    from batchlab.runner.launch.worker import rank_main

    rank_main(sys.argv[1])


if __name__ == "__main__":
    main()

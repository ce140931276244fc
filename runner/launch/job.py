"""One run in a process of its own, which dies with the one that started it; its exit code is the run's.

python -m batchlab.runner.launch.job runs/<run_id> [<pid of the parent>]
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from batchlab.runner.launch.process import die_with_parent


def main() -> None:
    """Train it: torch is imported once, and ranks are forked. What was cut off goes on from its checkpoint."""
    path, *parent = sys.argv[1:]
    die_with_parent(signal.SIGKILL, int(parent[0]) if parent else None)
    from batchlab.results.store import exhausted
    from batchlab.runner.launch import warm
    from batchlab.runner.launch.server import train

    code = 1
    try:
        warm.imports()
        (code,) = train([Path(path)], "fork")
    except BaseException as error:
        code = exhausted.code_of(error) or code
        traceback.print_exc()
    finally:
        with suppress(Exception):  # a log on a full disk
            sys.stderr.flush()
        os._exit(code)  # torch takes seconds to tidy up a process that has nothing to tidy


if __name__ == "__main__":
    main()

"""What a run imports is there before it is forked: each module that is not costs every run anew."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from runs import frozen

from batchlab.results.store.run import State
from batchlab.runner.launch.executors.local import LocalExecutor
from batchlab.runner.plan.schema import read_tree

SCRIPT = """
import json, os, sys
from pathlib import Path
from batchlab.runner.launch import server, warm, worker

folder, *targets = sys.argv[1:]
warm.imports(targets)
before, train = set(sys.modules), worker.rank_main

def rank_main(*paths):
    try:
        return train(*paths)
    finally:
        (Path(folder) / "imported.json").write_text(json.dumps(sorted(set(sys.modules) - before)))

worker.rank_main = rank_main
if (pid := os.fork()) == 0:
    try:
        server.train([Path(folder)], "fork")
    finally:
        os._exit(0)
os.waitpid(pid, 0)
os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides", [(), ("dataset=breast_cancer", "model=logistic", "optimizer=adam")], ids=["digits", "breast_cancer"]
)
def test_a_run_imports_nothing(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run, _ = frozen(tmp_path, *overrides)
    executor = LocalExecutor(devices=1)
    executor.check([read_tree(run.config)])
    subprocess.run([sys.executable, "-c", SCRIPT, str(run.folder), *executor.preload], check=True, timeout=300)
    assert run.read_state().state is State.DONE
    assert json.loads((run.folder / "imported.json").read_text()) == []

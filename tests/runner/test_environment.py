"""An environment that is not ours: another program's settings, an outer job's, names without an address."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from runs import HANGS, TINY, wait_until
from shell import ENTRY, TRAIN, batchlab, only_state

from batchlab.results.store.record import read_stream
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.environment import launched

OUTER = {
    "PET_NPROC_PER_NODE": "3",
    "PET_NNODES": "2",
    "PET_RDZV_ENDPOINT": "nowhere.invalid:1",
    "PET_RDZV_ID": "outer",
    "PET_MASTER_ADDR": "nowhere.invalid",
    "TORCHELASTIC_RUN_ID": "outer",
    "TORCHELASTIC_RESTART_COUNT": "4",
    "TORCHELASTIC_ERROR_FILE": "/nowhere/error.json",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
    "TORCHELASTIC_SIGNALS_TO_HANDLE": "NONE",
    "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "soon",
    "RANK": "3",
    "LOCAL_RANK": "3",
    "WORLD_SIZE": "8",
    "LOCAL_WORLD_SIZE": "8",
    "GROUP_RANK": "1",
    "MASTER_ADDR": "nowhere.invalid",
    "MASTER_PORT": "22",
    "GLOO_SOCKET_IFNAME": "nowhere0",
}
"""What is left where batchlab is started inside a job of torchrun."""
FOREIGN = {
    "log level in lower case": {"LOGLEVEL": "debug"},
    "log level empty": {"LOGLEVEL": ""},
    "log level by number": {"LOGLEVEL": "10"},
    "no log level": {"LOGLEVEL": "verbose"},
    "warnings are errors": {"PYTHONWARNINGS": "error"},
    "no temporary folder": {"TMPDIR": "/nowhere"},
    "threads": {"OMP_NUM_THREADS": "many", "MKL_NUM_THREADS": "many"},
    "terminal": {"COLUMNS": "wide", "LINES": "", "TERM": "dumb", "NO_COLOR": "1"},
    "safe path": {"PYTHONSAFEPATH": "1"},
    "outer job": OUTER,
}


@pytest.mark.slow
@pytest.mark.parametrize("environment", FOREIGN.values(), ids=FOREIGN.keys())
def test_the_run_happens_as_elsewhere(environment: dict[str, str], tmp_path: Path) -> None:
    done = batchlab(*TRAIN, cwd=tmp_path, **environment)
    state = only_state(tmp_path / "runs")
    assert (done.returncode, state.state) == (0, State.DONE), state
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("nproc", "launcher"), [(2, "fork"), (1, "torchrun"), (2, "torchrun")])
def test_an_outer_job_is_none_of_ours(nproc: int, launcher: str, tmp_path: Path) -> None:
    done = batchlab(*TRAIN, f"nproc={nproc}", f"executor.launcher={launcher}", cwd=tmp_path, **OUTER)
    state = only_state(tmp_path / "runs")
    assert (done.returncode, state.state) == (0, State.DONE), state
    assert state.info["hardware"]["ranks"] == nproc


def test_what_a_launched_process_is_given() -> None:
    given = launched({"HOME": "/home/me", "LOGLEVEL": " info ", "PYTHONOPTIMIZE": "2"} | OUTER)
    assert {key: given[key] for key in ("HOME", "LOGLEVEL")} == {"HOME": "/home/me", "LOGLEVEL": "INFO"}
    assert not [key for key in given if key.startswith(("PET_", "TORCHELASTIC_", "TORCH_ELASTIC_"))]
    assert "PYTHONOPTIMIZE" not in given
    assert given["GLOO_SOCKET_IFNAME"] in ("lo", "lo0")
    assert launched(given) == given
    assert launched(OUTER, nodes=2)["GLOO_SOCKET_IFNAME"] == "nowhere0", "two nodes do not meet on a loopback"


@pytest.mark.parametrize("level", ["debug", "DEBUG", "notset", "", "verbose", "10"])
def test_no_launched_process_says_what_torch_does_inside(level: str) -> None:
    assert "LOGLEVEL" not in launched({"LOGLEVEL": level})


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["TORCH_LOGS", "TORCH_DISTRIBUTED_DEBUG"])
def test_what_torch_refuses_is_one_line(variable: str, tmp_path: Path) -> None:
    done = batchlab(*TRAIN, cwd=tmp_path, **{variable: "nonsense"})
    assert done.returncode == 2
    assert variable.encode() in done.stderr
    assert done.stderr.count(b"\n") == 1, done.stderr


STRICT_MEASURE = """
from batchlab.runner.measures import Measure

class Strict(Measure):
    def measure(self, probe):
        try:
            assert False
        except AssertionError:
            print("±")
            return {"strict": 1.0}
        raise RuntimeError("assertions are left out")
"""


@pytest.mark.slow
@pytest.mark.parametrize("level", ["1", "2"])
def test_assertions_are_carried_out(level: str, tmp_path: Path) -> None:
    """PYTHONOPTIMIZE would take them away, from Hydra's grammar first; and a rank may print what a terminal cannot."""
    (tmp_path / "conf" / "measure").mkdir(parents=True)
    (tmp_path / "conf" / "measure" / "strict.yaml").write_text("name: strict\n_target_: strict_measure.Strict\n")
    (tmp_path / "strict_measure.py").write_text(STRICT_MEASURE, encoding="utf-8")
    foreign = {"PYTHONOPTIMIZE": level, "PYTHONIOENCODING": "ascii"}
    done = batchlab("sweep", *TINY, "+measure=strict", "seed=range(0,1)", cwd=tmp_path, **foreign)
    state = only_state(tmp_path / "runs")
    assert (done.returncode, state.state) == (0, State.DONE), state
    (log,) = (tmp_path / "runs").glob("*/log/rank0.log")
    assert "±" in log.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_python_without_assertions_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-O", *ENTRY[1:], "sweep", "--dry-run", "seed=range(0,2)"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=HANGS)
    assert done.returncode == 2
    assert b"PYTHONOPTIMIZE" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.slow
def test_help_is_whole_without_docstrings(tmp_path: Path) -> None:
    said = [batchlab("--help", cwd=tmp_path, PYTHONOPTIMIZE=level).stdout for level in ("", "2")]
    assert said[0] == said[1]


def namespace(*kinds: str) -> tuple[str, ...]:
    """A prefix that unshares them; the test is skipped where that is not allowed."""
    prefix = ("unshare", *kinds)
    if shutil.which("unshare") is None or subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("namespaces cannot be made here")
    return prefix


NAMELESS = 'mount --bind /dev/null /etc/hosts && hostname nobody-knows-me && ! getent hosts localhost && exec "$@"'


def nameless() -> tuple[str, ...]:
    """A prefix that gives a machine where neither localhost nor the host's own name has an address."""
    prefix = (*namespace("--mount", "--uts"), "sh", "-c", NAMELESS, "sh")
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("names have addresses here, whatever /etc/hosts says")
    return prefix


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["fork", "torchrun"])
@pytest.mark.parametrize("nproc", [1, 2])
def test_names_without_an_address(nproc: int, launcher: str, tmp_path: Path) -> None:
    arguments = (*TRAIN, f"nproc={nproc}", f"executor.launcher={launcher}")
    done = batchlab(*arguments, cwd=tmp_path, prefix=nameless())
    state = only_state(tmp_path / "runs")
    assert (done.returncode, state.state) == (0, State.DONE), state


@pytest.mark.slow
@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_where_names_have_no_address(ended_by: signal.Signals, tmp_path: Path) -> None:
    command = [*nameless(), *ENTRY, "train", *TINY[:3], "train.epochs=5000"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    store = RunStore(tmp_path / "runs")
    wait_until(lambda: process.poll() or any(read_stream(run, "metrics") for run in store.runs()))
    process.send_signal(ended_by)
    assert process.wait(HANGS) == 130
    assert only_state(tmp_path / "runs").state is State.INTERRUPTED


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["fork", "torchrun"])
def test_a_machine_that_does_not_reach_itself(launcher: str, tmp_path: Path) -> None:
    arguments = (*TRAIN, "nproc=2", f"executor.launcher={launcher}")  # one rank meets nobody
    done = batchlab(*arguments, cwd=tmp_path, prefix=namespace("--net"))
    state = only_state(tmp_path / "runs")
    assert (done.returncode, state.state) == (1, State.FAILED)
    assert "cannot reach itself at 127.0.0.1" in (state.reason or "")


DEAF = """
import os, signal, time
from batchlab.runner.launch import server

def deaf(path, launcher):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(1, b'{"deaf": 1}\\n')
    time.sleep(10_000)

server.STOP_GRACE = 0.1
server.train = deaf
server.Server(os.dup(0), os.dup(1)).serve()
"""


def test_a_run_that_hears_no_signal_is_killed(tmp_path: Path) -> None:
    """An agent may wait inside a library, where Python's signal handlers are not called."""
    process = subprocess.Popen([sys.executable, "-c", DEAF], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None

    def tell(**command: object) -> None:
        process.stdin.write(json.dumps(command).encode() + b"\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]

    tell(start=["runs/a"], launcher="fork", env={})
    heard = [json.loads(process.stdout.readline()) for _ in range(3)]
    assert {"deaf": 1} in heard
    tell(stop="runs/a")
    assert json.loads(process.stdout.readline()) == {"ended": "runs/a", "code": -signal.SIGKILL}
    process.stdin.close()
    assert process.wait(HANGS) == 0
    process.stdout.close()


@pytest.mark.slow
def test_no_home(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "HOME"}
    done = subprocess.run([*ENTRY, *TRAIN], cwd=tmp_path, env=environment, capture_output=True, timeout=HANGS)
    assert done.returncode == 0, done.stderr


def test_a_folder_that_was_removed(tmp_path: Path) -> None:
    script = 'cd "$1"; rmdir "$1"; shift; exec "$@"'
    (tmp_path / "gone").mkdir()
    done = batchlab(*TRAIN, cwd=tmp_path, prefix=("sh", "-c", script, "sh", str(tmp_path / "gone")))
    assert done.returncode == 2
    assert done.stderr.decode() == "batchlab: the current folder was removed: change to one that is there\n"

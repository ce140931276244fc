"""From Enter to the first run: what is said at once, and what is not imported for it."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from rich.console import Console
from runs import HANGS, TINY
from torch import nn
from torch.optim import Optimizer

from batchlab.runner import console
from batchlab.runner.plan.uncompiled import KEPT, uncompiled

HEAVY = (
    "torch._dynamo",
    "torch._inductor",
    "sympy",
    "pandas",
    "scipy",
    "sklearn",
    "matplotlib",
    "torchvision",
    "numba",
)
"""What runs of an MLP on digits need for nothing before they train."""
BATCHNORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def in_child(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, where nothing is imported yet."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANGS, check=False)


@pytest.mark.slow
def test_checking_runs_imports_nothing_that_it_does_not_need() -> None:
    """Of torch's optimizers, of ours below torch's class, and of one around another; groups need nothing more."""
    done = in_child(f"""
import sys
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.fuse import grouped
from batchlab.runner.plan.validate import validate
plans = compose({[*TINY, "optimizer=adam,nshb,vr_momentum,ab2", "train.groups=8", "seed=0,1"]!r})
assert validate(plans) == [] and len(plans) == 8
assert "torch" in sys.modules
assert len(grouped(plans, None, 1).groups) < len(plans)
print([name for name in {HEAVY!r} if name in sys.modules])
import torch
method = torch.optim.Optimizer.add_param_group.__wrapped__
assert not hasattr(method, {KEPT!r}), "torch is as it was"
torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
assert "torch._dynamo" in sys.modules, "elsewhere torch does as it always does"
""")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_a_model_without_memory_gets_some_as_it_is_shared() -> None:
    """What an optimizer is tried on."""
    from batchlab.runner.plan.optimizer import _with_memory

    with torch.device("meta"):
        model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False), nn.BatchNorm1d(5))
        model[1].weight = model[0].weight
        model[2].bias.requires_grad_(False)
    _with_memory(model)
    assert model[1].weight is model[0].weight
    assert [(n, p.shape, p.requires_grad) for n, p in model.named_parameters()] == [
        ("0.weight", (5, 3), True),
        ("2.weight", (5,), True),
        ("2.bias", (5,), False),
    ]
    assert {t.device.type for t in (*model.parameters(), *model.buffers())} == {"cpu"}
    assert [*model.state_dict()] == ["0.weight", "1.weight", *(f"2.{name}" for name in BATCHNORM)]


def test_torch_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where something else of the process had asked for the compiler before."""
    method = Optimizer.add_param_group.__wrapped__  # type: ignore[attr-defined]
    before = vars(method).get(KEPT)
    monkeypatch.delattr(method, KEPT, raising=False)
    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    with suppress(KeyError), uncompiled():
        assert vars(method)[KEPT] is method
        raise KeyError
    assert KEPT not in vars(method)
    monkeypatch.undo()
    with uncompiled():
        assert before is None or vars(method)[KEPT] is before
    assert vars(method).get(KEPT) is before


def test_what_is_checked_is_said_before_torch_is_there(tmp_path: Path) -> None:
    done = in_child(f"""
import os, sys
from batchlab.runner import cli, training
from batchlab.runner.launch.executors.local import LocalExecutor
LocalExecutor.warm_up = lambda self: None
def check(plans):
    print("late" if "torch" in sys.modules else "at once", file=sys.stderr, flush=True)
    os._exit(0)
training.check = check
sys.argv = ["batchlab", "sweep", *{TINY!r}, "seed=1,2", "--runs", {str(tmp_path)!r}]
cli.main()
""")
    assert (done.stdout, done.stderr) == ("checking 2 runs ...\n", "at once\n")


def test_a_terminal_shows_it_until_it_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(console, "ERR", Console(file=screen, force_terminal=True, width=80, _environ={"TERM": "xterm"}))
    with console.busy("checking 12 runs"):
        print("an answer that goes into a file")
        console.ERR.print("warning: of a user's own")
    shown = screen.getvalue()
    assert "checking 12 runs ..." in shown
    assert shown.index("warning: of a user's own") < shown.rindex("\x1b[2K"), "above it, and then it is wiped away"
    assert capsys.readouterr().out == "an answer that goes into a file\n"


@pytest.mark.parametrize(("logged", "said"), [(True, "composing ...\n"), (False, "")])
def test_elsewhere_it_is_a_line_of_progress_or_nothing(
    logged: bool, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with console.busy("composing", logged=logged):
        pass
    assert capsys.readouterr() == (said, "")


@pytest.mark.slow
def test_the_interpreter_ends_without_a_search_among_all_of_torch() -> None:
    """Only among what came after it: what others count at the end is counted."""
    done = in_child("""
import gc, sys
from batchlab.runner.training import import_torch
import_torch()
frozen = gc.get_freeze_count()
import_torch()
print("torch" in sys.modules, frozen > 100_000, gc.get_freeze_count() == frozen, len(gc.get_objects()) < frozen / 10)
""")
    assert done.stdout == "True True True True\n"


def test_a_run_alone_is_not_asked_what_it_could_train_with() -> None:
    """That would import what tells it."""
    done = in_child("""
import sys
from types import SimpleNamespace
from batchlab.runner.before import Before
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.config import Planned
from batchlab.runner.policies import Policies
from batchlab.runner.waiting import Waiting
waiting = Waiting(SimpleNamespace(together=None), Policies(SweepOptions()))
waiting.add(Before([Planned("aa", {}, (), {})]))
print(len(waiting), "torch" in sys.modules)
""")
    assert (done.stdout, done.stderr) == ("1 False\n", "")

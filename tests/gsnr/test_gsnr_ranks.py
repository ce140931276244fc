"""Two real gloo processes and a lone one, on the same groups: the same path, and one all-reduce per step."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

WORKER = Path(__file__).with_name("ranks.py")
STEPS = 6


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ranks = {"first": 0, "second": 1}
    processes = {
        name: subprocess.Popen(
            [sys.executable, str(WORKER), str(rank), str(folder / "store"), str(folder / name)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, rank in ranks.items()
    }
    alone = runpy.run_path(str(WORKER))
    found = {"alone": {target.__name__: alone["train"](target, 0, 1) for target in alone["MAKE"]}}
    for process in processes.values():
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    return found | {name: torch.load(folder / name) for name in ranks}


NAMES = ["LARS", "LAMB", "VRSGD", "VRMomentum", "VRAdam", "VRAdamW", "VRLARS", "VRLAMB"]


@pytest.mark.parametrize("name", NAMES)
def test_the_ranks_agree_bit_for_bit_after_each_step(results: dict[str, dict[str, Any]], name: str) -> None:
    (first, _), (second, _) = results["first"][name], results["second"][name]
    assert len(first) == STEPS
    for a, b in zip(first, second, strict=True):
        assert all(torch.equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_ranks_do_what_one_process_does(results: dict[str, dict[str, Any]], name: str) -> None:
    (together, _), (alone, _) = results["first"][name], results["alone"][name]
    for a, b in zip(together, alone, strict=True):
        for p, q in zip(a, b, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_takes_one_all_reduce(results: dict[str, dict[str, Any]], name: str) -> None:
    assert [results[run][name][1] for run in ("first", "second", "alone")] == [STEPS, STEPS, 0]

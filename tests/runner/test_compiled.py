"""Compiled models and batches that grow: how often the compiler is called, and that the numbers stay."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from runs import frozen, rows, trained
from torch._dynamo.testing import CompileCounterWithBackend

pytestmark = pytest.mark.slow
GROWS = ("batch_schedule=exponential", "batch_schedule.initial=1", "batch_schedule.factor=2", "train.precision=float64")


def compiled(monkeypatch: pytest.MonkeyPatch, folder: Path, *overrides: str) -> tuple[int, set[int]]:
    """Train eagerly and compiled, to the same rows; graphs that were compiled, and sizes of batches."""
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")  # all but the C++ that its graphs would become
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    ends = []
    for value in ("false", "true"):
        run, config = frozen(folder / value, *overrides, f"train.compile={value}", "log.steps=true")
        assert trained(run, config) == "done"
        ends.append(rows(run))
    assert len(ends[0]) == len(ends[1]) > 1
    for plain, other in zip(*ends, strict=True):
        numbers = {key: value for key, value in plain.items() if isinstance(value, float)}
        assert {key: other[key] for key in numbers} == pytest.approx(numbers, rel=1e-9)
    steps: list[dict[str, Any]] = pq.read_table(run.steps).to_pylist()
    return counter.frame_count, {step["batch_size"] for step in steps}


RESNET = ("model=resnet8", "model.width=4", "train.groups=2")


@pytest.mark.parametrize("model", [("train.micro_batch=200",), RESNET], ids=["mlp", "resnet8"])
def test_one_graph_for_all_sizes(model: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32 a convolution of fewer than 16 samples takes another path, which is compiled apart."""
    graphs, sizes = compiled(monkeypatch, tmp_path, *GROWS, *model)
    assert len(sizes) > 8
    assert graphs == 1

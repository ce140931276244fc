"""No process that forks ranks may ask the CUDA runtime anything: on a machine with a GPU no run could start after."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from batchlab.runner.launch import launch
from tests.runner.runs import frozen


def test_the_agent_asks_no_accelerator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's LaunchConfig does, to bind ranks to memory, where nobody keeps it from it."""
    asked: list[str] = []
    for module in (torch.cuda, torch.accelerator):
        monkeypatch.setattr(module, "is_available", partial(asked.append, module.__name__))
    monkeypatch.setattr("torch.distributed.launcher.elastic_launch", lambda *_: lambda *_: None)
    monkeypatch.setattr("torch.distributed.launcher.api.elastic_launch", lambda *_: lambda *_: None)
    launch.elastic(*frozen(tmp_path, "dataset=digits", "model=mlp"))
    assert not asked


def test_the_answer_is_there_again_after() -> None:
    before = torch.cuda.is_available
    with launch.untouched_accelerators():
        assert not torch.cuda.is_available()
    assert torch.cuda.is_available is before

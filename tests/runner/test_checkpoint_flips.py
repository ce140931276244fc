"""A bit that flips in a checkpoint or a frozen configuration is found before it becomes a number; two are kept."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from runs import Fleet, Watcher, context, frozen, one, rows, trained

from batchlab.results.show.status import read_status
from batchlab.results.store.run import Run, State, Stream
from batchlab.results.store.runs import RunStore
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.identity import canonical
from batchlab.runner.plan.schema import ConfigError, read_tree
from batchlab.runner.train import kept
from batchlab.runner.train.tuned import _once

OFTEN = ("train.epochs=1", "batch_schedule.size=32", "train.checkpoint_seconds=0.0")
"""A checkpoint every 8 steps."""
FOUND = object()


def flip(path: Path, content: bytes, place: int) -> None:
    """Write a file with one bit of its content flipped."""
    changed = bytearray(content)
    changed[place // 8] ^= 1 << place % 8
    path.write_bytes(changed)


def same(one: Any, two: Any) -> bool:
    """Whether two states hold the same, bit for bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == two.dtype and one.shape == two.shape and torch.equal(one, two)
    if isinstance(one, dict):
        return list(one) == list(two) and all(same(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(two) and len(one) == len(two) and all(map(same, one, two))
    return bool(one == two) and type(one) is type(two)


@pytest.mark.parametrize("version", ["now", "earlier"])
def test_in_a_checkpoint(version: str, tmp_path: Path) -> None:
    """Those of earlier versions have no digest: the checksums of their ZIP are looked at."""
    run, config = frozen(tmp_path)
    assert trained(run, config, stop_after=3) == "interrupted"
    here = context(run)
    expected = kept.read(here)
    if version == "earlier":
        torch.save(expected, run.checkpoint)
    content = run.checkpoint.read_bytes()
    places = random.Random(0).sample(range(8 * len(content)), 300)
    answers: list[Any] = []
    for place in places:
        flip(run.checkpoint, content, place)
        try:
            answers.append(kept.read(here))
        except ConfigError:
            answers.append(FOUND)
    found = sum(answer is FOUND for answer in answers)
    silent = sum(answer is not FOUND and not same(answer, expected) for answer in answers)
    print(f"checkpoint.pt ({version}): of {len(places)} flips {found} are found, {silent} end in something else")
    assert silent == 0
    assert version == "earlier" or found > len(places) - 5, "all but those in the mark of the digest"


def test_the_one_before_is_gone_on_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, config = frozen(tmp_path / "whole", *OFTEN)
    assert trained(whole, config) == "done"
    run, config = frozen(tmp_path / "runs", *OFTEN)
    assert trained(run, config, stop_after=20) == "interrupted"
    assert run.checkpoints == [run.checkpoint, run.checkpoint_before]
    flip(run.checkpoint, run.checkpoint.read_bytes(), 8 * 5000)
    assert trained(run, config) == "done"
    assert "is damaged (it is not what was written): going on from checkpoint.before.pt" in capsys.readouterr().out
    assert rows(run) == rows(whole)
    assert not run.checkpoints
    (warning,) = run.read_state().info["warnings"]
    assert warning == f"{run.checkpoint} is damaged (it is not what was written): went on from the one before it"
    notes = [note for sheet in read_status(RunStore(tmp_path / "runs")).sheets() for note in sheet.notes]
    assert warning in notes


def test_the_sweep_says_so(tmp_path: Path, fleet: Fleet) -> None:
    """A line when the run ends; of what was said in an earlier sweep none."""
    planned = one(*OFTEN)
    run, config = frozen(tmp_path, *OFTEN)
    assert trained(run, config, stop_after=20) == "interrupted"
    run.warn("of an earlier sweep")
    flip(run.checkpoint, run.checkpoint.read_bytes(), 8 * 5000)
    _, watcher = fleet.sweep(tmp_path, [planned])
    assert run.read_state().state is State.DONE
    assert watcher.notes == [
        f"{run.checkpoint} is damaged (it is not what was written): went on from the one before it"
    ]


@pytest.mark.slow
def test_all_ranks_go_on_from_the_same_one(tmp_path: Path, fleet: Fleet) -> None:
    planned = one("train.epochs=6", "batch_schedule.size=32", "train.checkpoint_seconds=0", "nproc=2")
    whole = fleet.train(tmp_path / "whole", planned)
    run = RunStore(tmp_path / "parts").run(planned.run_id)

    def interfere() -> None:
        if len(run.checkpoints) == 2 and run.read_state().state is State.RUNNING and not stopped:
            stopped.append(run.read_state().info["pid"])
            os.kill(stopped[0], signal.SIGTERM)

    stopped: list[int] = []
    fleet.sweep(tmp_path / "parts", [planned], slots=4, watcher=Watcher(on_tick=interfere))
    assert run.read_state().state is State.INTERRUPTED
    flip(run.checkpoint, run.checkpoint.read_bytes(), 8 * 5000)
    fleet.sweep(tmp_path / "parts", [planned], slots=4)
    assert run.read_state().state is State.DONE
    assert len(run.read_state().info["warnings"]) == 1
    assert rows(run) == rows(whole)


def test_killed_between_the_two(tmp_path: Path) -> None:
    """Only the one before is there, for an instant."""
    run, config = frozen(tmp_path, *OFTEN)
    assert trained(run, config, stop_after=20) == "interrupted"
    run.checkpoint.unlink()
    assert trained(run, config) == "done"
    assert "warnings" not in run.read_state().info


def test_both_damaged_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    run, config = frozen(tmp_path, *OFTEN)
    assert trained(run, config, stop_after=20) == "interrupted"
    for path in run.checkpoints:
        flip(path, path.read_bytes(), 8 * 5000)
    with pytest.raises(
        ConfigError, match=r"checkpoint.pt is damaged .*before.pt is damaged .*: delete checkpoint\.pt and "
    ):
        trained(run, config)
    assert len(run.checkpoints) == 2, "they stay"
    for path in run.checkpoints:
        path.unlink()
    assert trained(run, config) == "done"


@pytest.mark.parametrize("stream", ["steps", "metrics"])
@pytest.mark.parametrize("flipped", [False, True])
def test_rows_that_are_gone_are_trained_again_from_the_one_before(
    stream: Stream, flipped: bool, tmp_path: Path
) -> None:
    """A power cut may take the end of the rows that the latest checkpoint knows of."""
    often = (*OFTEN, "log.steps=true", "log.evaluate_every=0.05")
    whole, config = frozen(tmp_path / "whole", *often)
    assert trained(whole, config) == "done"
    run, config = frozen(tmp_path / "runs", *often)
    assert trained(run, config, stop_after=20) == "interrupted"
    path = run.stream(stream)
    content = path.read_bytes()
    if flipped:
        flip(path, content, 8 * (len(content) - 30))
    else:
        path.write_bytes(content[:-30])
    assert trained(run, config) == "done"
    assert rows(run) == rows(whole)
    (warning,) = run.read_state().info["warnings"]
    assert warning.startswith(f"{run.checkpoint} knows of rows that are gone ({path} ")
    assert warning.endswith("): went on from the one before it")


def test_rows_that_no_checkpoint_can_do_without(tmp_path: Path) -> None:
    run, config = frozen(tmp_path, *OFTEN, "log.steps=true")
    assert trained(run, config, stop_after=20) == "interrupted"
    run.stream("steps").write_bytes(b"")
    way_out = rf"delete checkpoint\.pt and checkpoint\.before\.pt in {run.folder} to train this run from its beginning"
    with pytest.raises(
        ConfigError, match=rf"steps\.jsonl has 0 rows of 24\), .*steps\.jsonl has 0 rows of .*: {way_out}"
    ):
        trained(run, config)
    run.checkpoint.unlink()
    with pytest.raises(ConfigError, match=r"before\.pt knows of rows .*: delete checkpoint\.before\.pt in "):
        trained(run, config)
    run.checkpoint_before.unlink()
    assert trained(run, config) == "done"


def test_in_a_frozen_configuration(tmp_path: Path) -> None:
    run, _ = frozen(tmp_path)
    content, expected = run.config.read_bytes(), read_tree(run.config)
    silent = found = neutral = 0
    places = random.Random(0).sample(range(8 * len(content)), 1500)
    for place in places:
        flip(run.config, content, place)
        try:
            tree = read_tree(run.config)
        except ConfigError as error:
            assert str(run.config) in str(error)  # noqa: PT017
            found += 1
            continue
        silent += canonical(tree) != canonical(expected)
        neutral += tree != expected
    print(f"config.yaml: of {len(places)} flips {found} are found, {neutral} change no number, {silent} others")
    assert silent == 0


def test_a_configuration_of_another_run_is_not_trained(tmp_path: Path) -> None:
    run, _ = frozen(tmp_path)
    other, _ = frozen(tmp_path, "optimizer.lr=0.5")
    run.config.write_bytes(other.config.read_bytes())
    with pytest.raises(
        ConfigError, match=rf"not what was frozen: .* run {other.run_id}; the same sweep command writes"
    ):
        read_tree(run.config)


@pytest.mark.parametrize("choice", ["optimizer=adam", "lr_schedule=cosine", "+measure=[gsnr]", "optimizer.lr=1e-7"])
def test_what_was_frozen_is_known_again(choice: str, tmp_path: Path) -> None:
    (planned,) = compose([choice])
    run = Run(tmp_path / planned.run_id)
    run.write_config(yaml.safe_dump(planned.tree, sort_keys=False))
    assert read_tree(run.config) == planned.tree


def test_in_a_step_size_that_was_found_before(tmp_path: Path) -> None:
    """It is found again where what is kept of it is not what was written."""
    found: list[float] = []

    def find() -> float:
        found.append(0.25)
        return found[-1]

    assert _once(tmp_path, ["key"], find) == _once(tmp_path, ["key"], find) == 0.25
    assert len(found) == 1
    (path,) = (tmp_path / ".tuned").iterdir()
    content = path.read_bytes()
    for place in range(8 * len(content)):
        flip(path, content, place)
        assert _once(tmp_path, ["key"], find) == 0.25
    assert len(found) == 1 + 8 * len(content)

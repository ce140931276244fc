"""Ray in particular: a node that dies, folders that are not shared, no cluster, no Ray. The rest is every engine's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from rays import nodes
from runs import TINY, Fleet, Watcher, one, rows

from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.executors import on_ray
from batchlab.runner.launch.executors.base import executor_for
from batchlab.runner.launch.ray_cluster.place import Place
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.sweep import freeze, run_sweep

LONG = ("train.epochs=400", "train.checkpoint_seconds=0.1", "log.evaluations=3")


@pytest.mark.slow
def test_a_run_whose_node_dies_goes_on_on_another_bit_for_bit(tmp_path: Path, fleet: Fleet) -> None:
    with nodes(1, 1) as cluster:
        chosen = ("executor=ray", f"executor.address='{cluster.address}'")
        plans = compose([*TINY[:3], "train.device=cpu", *LONG, *chosen, "seed=0,1"])
        store = RunStore(tmp_path / "ray").prepare()
        freeze(store, "s", plans)
        killed: list[bool] = []

        def kill() -> None:
            if not killed and all(store.run(p.run_id).checkpoint.exists() for p in plans):
                killed.append(True)
                cluster.kill(0)

        watcher = Watcher(on_tick=kill)
        executor = executor_for([p.tree for p in plans])
        report = run_sweep(plans, store, executor, watcher)
        executor.close()
    assert (report.exit_code, report.states[State.DONE]) == (0, 2), (watcher.states, watcher.notes)
    assert all("goes on from its checkpoint on another node" in said for said in watcher.notes)
    (moved,) = [p for p in plans if any(p.run_id in said for said in watcher.notes)]
    assert len(list((store.run(moved.run_id).log / "agent").iterdir())) == 2, "it was launched on both"
    here = fleet.train(tmp_path / "here", one(*LONG, f"seed={moved.tree['seed']}"))
    assert rows(store.run(moved.run_id)) == rows(here)


@pytest.mark.slow
def test_what_does_not_fit_the_cluster_is_refused_and_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with nodes(1) as cluster:
        there = ("executor=ray", f"executor.address='{cluster.address}'")
        with pytest.raises(ConfigError, match=r"nproc=2: the largest node of the Ray cluster has 1 CPUs"):
            executor_for([one(*there, "nproc=2").tree])
        with pytest.raises(ConfigError, match=r"train\.device=cuda: no node of the Ray cluster has a GPU"):
            executor_for([one(*there, "train.device=cuda").tree])
    monkeypatch.setattr(on_ray, "PATIENCE", 15.0)  # Ray's own is longer than a test's
    with pytest.raises(ConfigError, match=r"executor=ray: no Ray cluster at executor\.address=") as caught:
        executor_for([one(*there).tree])
    assert "\n" not in str(caught.value)


def test_a_folder_that_a_node_does_not_see(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--runs must name a folder that all nodes share"):
        Place().train(str(tmp_path / "elsewhere"), str(tmp_path), {}, again=False)


def test_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"executor=ray needs Ray: pip install 'batchlab\[ray\]'"):
        executor_for([one("executor=ray").tree])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("executor.threads=0", "executor.threads=0"),
        ("executor.max_parallel=0", "executor.max_parallel=0"),
        ("executor.retries=-1", "executor.retries=-1"),
    ],
)
def test_keys_that_make_no_sense(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        executor_for([one("executor=ray", override).tree])

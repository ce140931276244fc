"""Composing per choice of groups and copying gives what Hydra gives when it composes every run in full."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose as hydra_compose
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from batchlab.results.axes import SEVERAL
from batchlab.runner.plan.conf.files import PACKAGED, axes, hydra_session
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.identity import canonical
from batchlab.runner.plan.interpolation import resolve
from batchlab.runner.plan.schema import ConfigError, RunConfig

GROUPS = {
    "optimizer": ["shb", "nshb", "adam", "adagrad"],
    "lr_schedule": ["constant", "cosine", "growth"],
    "batch_schedule": ["constant", "exponential"],
    "model": ["mlp", "resnet8"],
}
PLAIN = {
    "seed": ["0", "3"],
    "optimizer.lr": ["1e-2", "1", "0.5"],
    "train.epochs": ["3", "2.5"],
    "train.samples": ["null", "100"],
    "+note": ["hello", "[1,2]"],
    "+dataset.extra.deep": ["1"],
    "train.micro_batch": ["7"],
}
CHOICES = {**GROUPS, **PLAIN}


def in_full(overrides: list[str]) -> dict[str, Any]:
    """One run as Hydra composes it, with the names and types that batchlab adds."""
    with hydra_session():
        config = hydra_compose("config", overrides)
    tree = OmegaConf.to_container(config, resolve=True)
    assert isinstance(tree, dict)
    tree.pop("experiment", None)
    for axis in SEVERAL:
        tree[axis] = {name: yaml.safe_load((PACKAGED / axis / f"{name}.yaml").read_text()) for name in tree[axis]}
    return {str(k): v for k, v in tree.items()}


@settings(max_examples=12, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(CHOICES)), st.integers(0, 3), max_size=6))
def test_equals_hydra(picks: dict[str, int]) -> None:
    overrides = [f"{key}={CHOICES[key][i % len(CHOICES[key])]}" for key, i in picks.items()]
    (planned,) = compose(overrides)
    assert planned.tree == in_full(overrides)


def test_grid_equals_hydra_run_by_run() -> None:
    plans = compose(["optimizer=shb,adam", "lr_schedule=glob(c*)", "seed=range(0,2)", "optimizer.lr=0.1,0.2"])
    assert len(plans) == 16
    for planned in plans:
        tree = planned.tree
        said = [f"optimizer={tree['optimizer']['name']}", f"lr_schedule={tree['lr_schedule']['name']}"]
        assert tree == in_full([*said, f"seed={tree['seed']}", f"optimizer.lr={tree['optimizer']['lr']}"])
    assert plans[1].overrides == ("optimizer=shb", "lr_schedule=constant", "seed=0", "optimizer.lr=0.2")


def test_a_thousand_runs() -> None:
    plans = compose(["seed=range(0,100)", "optimizer=shb,nshb", "optimizer.lr=0.1,0.2,0.3,0.4,0.5"])
    assert len({p.run_id for p in plans}) == len(plans) == 1000
    found = {(p.tree["seed"], p.tree["optimizer"]["name"], p.tree["optimizer"]["lr"]) for p in plans}
    assert found == {(s, o, r / 10) for s in range(100) for o in ("shb", "nshb") for r in range(1, 6)}
    blocks = {key: len({id(p.tree[key]) for p in plans}) for key in ("optimizer", "train", "measure")}
    assert blocks == {"optimizer": 10, "train": 2, "measure": 2}, "the trees share what runs of one optimizer share"


@pytest.mark.slow
@pytest.mark.parametrize(
    "grid",
    [
        ["optimizer=shb,adamw", "optimizer.lr=0.1,0.2", "seed=0,1", "+note=a,b", "log.gsnr=true,false"],
        ["model=mlp,logistic", "train.epochs=1,${seed}", "seed=2,3", "dataset.validation=0,0.1"],
        ["~measure=scores", "+measure=gsnr,auc", "optimizer.lr=${train.epochs},0.5", "nproc=1,2", "+a.b=1,2"],
    ],
)
def test_what_runs_share_changes_none(grid: list[str]) -> None:
    """Each run of a grid, block by block, is what it is when it is composed alone; so is its identity."""
    for planned in compose(grid):
        (alone,) = compose(planned.overrides if "scores" not in grid[0] else [grid[0], *planned.overrides])
        assert (alone.tree, list(alone.tree), alone.run_id) == (planned.tree, list(planned.tree), planned.run_id)
        text = json.dumps(canonical(planned.tree), sort_keys=True, separators=(",", ":"))
        assert planned.run_id == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_the_same_run_twice_is_one_run() -> None:
    assert len(compose(["optimizer.lr=0.1,1e-1,0.2"])) == 2


def test_the_frozen_file_reads_back_as_it_was() -> None:
    (planned,) = compose(["optimizer.lr=1e-05", "+note='1e-1'", "train.samples=1000"])
    again = yaml.safe_load(yaml.safe_dump(planned.tree, sort_keys=False))
    assert again == planned.tree
    assert RunConfig.of(again).extra == {"note": "1e-1"}


NEEDED = {
    "npz": ["file"],
    "libsvm": ["path"],
    "csv": ["path", "target"],
    "frame": ["frame", "target"],
    "image_folder": ["path"],
    "torch_dataset": ["data"],
    "huggingface": ["path"],
}
"""Keys of a user's own data, which nobody else can know."""


def test_every_choice_of_every_axis_composes() -> None:
    offered = axes()
    del offered["experiment"]
    for i in range(max(map(len, offered.values()))):
        picked = {axis: names[i % len(names)] for axis, names in offered.items()}
        needed = [f"dataset.{key}=some" for key in NEEDED.get(picked["dataset"], ())]
        needed += ["executor.rdzv_endpoint=some:29500"] if picked["executor"] == "torchrun" else []
        (planned,) = compose([*(f"{axis}={name}" for axis, name in picked.items()), *needed])
        assert all(list(planned.tree[axis]) == [picked.pop(axis)] for axis in SEVERAL)
        assert {axis: planned.tree[axis]["name"] for axis in picked} == picked


MEASURED = {
    "": ["scores"],
    "+measure=gsnr": ["scores", "gsnr"],
    "+measure=[gsnr,scores,parameters]": ["scores", "gsnr", "parameters"],
    "measure=[gsnr]": ["gsnr"],
    "measure=train_accuracy": ["train_accuracy"],
    "~measure=scores": [],
    "measure=[]": [],
    "log.gsnr=true": ["scores", "gsnr"],
    "~log.gsnr": ["scores"],
    "+measure=gsnr ~log.gsnr": ["scores"],
    "+measure=gsnr ~measure=scores": ["gsnr"],
    "~measure=scores +measure=gsnr": ["gsnr"],
    "+measure=gsnr +measure=parameters": ["scores", "gsnr", "parameters"],
    "+measure=gsnr measure=[train_accuracy]": ["train_accuracy", "gsnr"],
    "~measure=parameters log.gsnr=true measure=[scores,parameters]": ["scores", "gsnr"],
    "experiment=vrgd_toy": ["scores", "parameters"],
    "experiment=vrgd_toy log.parameters=false +measure=gsnr": ["scores", "gsnr"],
}


@pytest.mark.parametrize("overrides", MEASURED)
def test_what_is_measured_is_a_list_of_choices(overrides: str) -> None:
    (planned,) = compose(overrides.split())
    assert list(planned.tree["measure"]) == MEASURED[overrides]
    assert not planned.tree["log"].keys() & {"gsnr", "parameters"}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("measure=score", "did you mean scores?"),
        ("+measure=[gsnr,nothing]", "measure has no choice 'nothing'"),
        ("~measure=gsnr", "gsnr is not measured; measured are scores"),
        ("~measure", "~measure: write ~measure=NAME; measured are scores$"),
        ("measure=[1]", "measure takes names"),
        ("measure.scores.split=train", "there is no key measure.scores.split"),
        ("+measure.foo=1", r"measure\.foo=1: foo is not measured; measured are scores: \+measure=foo adds it"),
        ("++measure.foo.bins=1", r"\+measure=foo adds it"),
        ("measure.gsnr.key=1", r"\+measure=gsnr adds it"),
        ("~measure.gsnr", "gsnr is not measured; measured are scores$"),
        ("~measure.scores", "~measure=scores leaves it out"),
        ("measure.scores=3", r"measure\.scores is a block of keys"),
        ("log.gsnr=7", "it is now .measure=gsnr"),
        ("log.gsmr=true", "there is no key log.gsmr"),
    ],
)
def test_a_measure_that_there_is_not(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        compose([override])


def test_a_plain_choice_of_measures_is_given_once() -> None:
    for overrides in (["measure=[gsnr]", "measure=scores"], ["++measure=[gsnr]", "+measure=gsnr", "measure=scores"]):
        with pytest.raises(ConfigError, match="measure is given twice"):
            compose(overrides)


def test_only_what_varies_sets_runs_apart() -> None:
    plans = compose(["+measure=gsnr,parameters", "~measure=scores"])
    assert [p.overrides for p in plans] == [("+measure=gsnr",), ("+measure=parameters",)]


def test_a_sweep_over_measures() -> None:
    assert [list(p.tree["measure"]) for p in compose(["measure=[scores],[scores,gsnr]"])] == [
        ["scores"],
        ["scores", "gsnr"],
    ]


def test_interpolations() -> None:
    (planned,) = compose(["seed=3", "+copy=${seed}", "+many=[1,${seed},{a:${seed}}]", "optimizer.lr=${train.epochs}"])
    assert planned.tree["copy"] == 3
    assert planned.tree["many"] == [1, 3, {"a": 3}]
    assert planned.tree["optimizer"]["lr"] == 10
    with pytest.raises(ConfigError, match="nowhere"):
        compose(["+copy=${nowhere}"])


def test_missing_values_are_named() -> None:
    with pytest.raises(ConfigError, match=r"dataset\.file has no value: give one with dataset\.file=\.\.\."):
        compose(["dataset=npz"])
    with pytest.raises(ConfigError, match=r"b has no value"):
        resolve({"a": 1, "b": [1, "???"]})


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["optimizer=adm"], "did you mean adam"),
        (["optimizer=glob(zz*)"], "matches nothing"),
        (["~optimizer"], "cannot be left out"),
        (["optimiser=adam"], "did you mean"),
        (["+optimizer=adam"], "optimizer"),
    ],
)
def test_a_wrong_choice_names_the_near_one(overrides: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        compose(overrides)
    assert "\n" not in str(caught.value)


def user_conf(folder: Path, files: dict[str, str]) -> None:
    """A user's own folder of YAML files."""
    for name, text in files.items():
        path = folder / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_users_conf_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = "_target_: somewhere.Mine\nlr: 0.5\nwidth: ${model.hidden}\nneeds: ???\nnone: null\n"
    user_conf(tmp_path, {"optimizer/mine.yaml": new, "optimizer/adam.yaml": "name: adam\n_target_: my.Adam\nlr: 7.0\n"})
    monkeypatch.chdir(tmp_path)
    assert "mine" in axes()["optimizer"]
    (planned,) = compose(["optimizer=mine", "model=mlp", "optimizer.needs=4", "optimizer.none=word"])
    assert planned.tree["optimizer"] == {
        "name": "mine", "_target_": "somewhere.Mine", "lr": 0.5, "width": [128, 128], "needs": 4, "none": "word",
    }  # fmt: skip
    (planned,) = compose(["optimizer=mine", "optimizer.needs=x", "optimizer.width=3"])
    assert planned.tree["optimizer"]["width"] == 3
    assert compose(["optimizer=adam"])[0].tree["optimizer"]["lr"] == 7.0
    monkeypatch.chdir(tmp_path.parent)
    assert compose(["optimizer=adam"])[0].tree["optimizer"]["lr"] != 7.0


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("measure: gsnr", ["gsnr"]),
        ("measure: null", []),
        ("measure: [gsnr, gsnr]", ["gsnr"]),
        ("log: {gsnr: true, parameters: false, train_accuracy: null}", ["scores", "gsnr"]),
        ("measure: null\nlog: {gsnr: true}", ["gsnr"]),
    ],
)
def test_what_an_experiment_measures(
    text: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_conf(tmp_path, {"experiment/mine.yaml": f"# @package _global_\n{text}\n"})
    monkeypatch.chdir(tmp_path)
    (planned,) = compose(["experiment=mine"])
    assert list(planned.tree["measure"]) == names
    assert planned.tree["log"].keys() == {"evaluate_every", "evaluations", "steps"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("measure: 3", "measure takes names"),
        ("measure: {gsnr: true}", "conf/experiment/mine.yaml: .*Cannot merge"),
        ("measure: [scores, 1]", "measure takes names"),
        ("measure: [scores, nothing]", "measure has no choice 'nothing'"),
        ('log: {gsnr: "false"}', r"log\.gsnr must be true or false, got 'false' \(it is now measure=gsnr\)"),
        ("log: {gsnr: '${seed}'}", "it is now measure=gsnr"),
        ("log: {parameters: yes please}", "it is now measure=parameters"),
        ("log: {gsnr: 1}", "it is now measure=gsnr"),
        ("log: null", "log must be a block of keys"),
    ],
)
def test_what_an_experiment_cannot_measure(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_conf(tmp_path, {"experiment/mine.yaml": f"# @package _global_\n{text}\n"})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=said):
        compose(["experiment=mine"])


def test_a_config_yaml_of_0_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the user's own, written when what is measured was said in the log block."""
    text = (PACKAGED / "config.yaml").read_text()
    switches = "  full_gradient_norm: false\n  full_gradient_norm_paper: false\n  train_accuracy: true\n  gsnr: false\n"
    user_conf(tmp_path, {"config.yaml": text.replace("measure: [scores]\n", "") + switches})
    monkeypatch.chdir(tmp_path)
    (planned,) = compose(["+measure=gsnr"])
    assert list(planned.tree["measure"]) == ["scores", "train_accuracy", "gsnr"]
    monkeypatch.chdir(tmp_path.parent)
    assert compose(["+measure=[train_accuracy,gsnr]"])[0].run_id == planned.run_id


def test_an_empty_file_and_another_programs_conf_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_conf(tmp_path, {"optimizer/empty.yaml": ""})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"optimizer=empty: the file is empty"):
        compose(["optimizer=empty"])
    user_conf(tmp_path, {"config.yaml": "db: mysql\n"})
    with pytest.raises(ConfigError, match=r"config\.yaml: .* is missing"):
        compose([])
    user_conf(tmp_path, {"config.yaml": "db: [mysql\n"})
    with pytest.raises(ConfigError, match=r"config\.yaml, line 2: not YAML"):
        compose([])

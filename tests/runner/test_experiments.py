"""Experiments take effect or are refused: nothing that one says is dropped silently."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import refused

from batchlab.runner.plan.conf import files
from batchlab.runner.plan.conf.files import compose_groups, hydra_session
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import ConfigError

HEAD = "# @package _global_\n"
MINE = "conf/experiment/mine.yaml"


@pytest.fixture(autouse=True)
def _beside_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(text: str, place: str = MINE) -> None:
    """A file of the user's own."""
    path = Path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


REFUSED = {
    "train:\n  epochs: 1\n": f"{MINE}: train has no effect there: the first line must be `# @package",
    "# of mine\nseed: 1\n": f"{MINE}: seed has no effect there: the first line must be `# @package",
    f"seed: 1\n{HEAD}": f"{MINE}: seed has no effect there",
    "defaults: [override /model: mlp]\nseed: 1\n": f"{MINE}: the first line must be `# @package _global_`",
    f"{HEAD}defaults: [/experiment/inner]\n": "conf/experiment/inner.yaml: seed has no effect there",
    f"{HEAD}defaults: [override /optimizer: nope]\n": f"{MINE}: `override /optimizer: nope`: optimizer "
    "has no choice 'nope'; there are: ab2, ",
    f"{HEAD}defaults: [override /optimizer: adm]\n": f"{MINE}: `override /optimizer: adm`: optimizer "
    "has no choice 'adm'; did you mean adam",
    f"{HEAD}defaults: [override /optimizer: ]\n": f"{MINE}: `override /optimizer:` names no choice; there are: ab2, ",
    f"{HEAD}defaults: [override /optimzer: adam]\n": f"{MINE}: In 'experiment/mine': Could not override",
    f"{HEAD}defaults: [middle]\n": "conf/experiment/middle.yaml: `override /model: nope`: model has no choice",
    f"{HEAD}experiment: inner\n": f"{MINE}: experiment names a file",
    f"{HEAD}trian:\n  epochs: 1\n": f"{MINE}, trian: a new key trian would mean nothing to the run: did "
    "you mean train=...?",
    f"{HEAD}epochs: 1\n": f"{MINE}, epochs: a new key epochs would mean nothing to the run: did you mean "
    "train.epochs=...?",
    f"{HEAD}metrics: [f1]\n": f"{MINE}, metrics: a new key metrics would",
    "# @package trian\nepochs: 1\n": f"{MINE}, trian: a new key trian would",
    "# @package train\ntrian: 1\n": f"{MINE}: train.trian: there is no such key",
    f"{HEAD}train: {{epohcs: 1}}\n": f"{MINE}: train.epohcs: there is no such key",
    f"{HEAD}train: {{epochs: fast}}\n": f"{MINE}: train.epochs must be a number, got",
    f"{HEAD}log: {{steps: 3}}\n": f"{MINE}: log.steps must be true or false, got 3",
    f"{HEAD}seed: -1\n": f"{MINE}: seed=-1 must be at least 0",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_would_have_no_effect_is_refused(text: str) -> None:
    put(text)
    put("seed: 1\n", "conf/experiment/inner.yaml")
    put(f"{HEAD}defaults: [override /model: nope]\n", "conf/experiment/middle.yaml")
    Path("conf/experiment/neighbour.yaml").write_bytes(b"\xff: nobody asks for it")
    said = refused("experiment=mine")
    assert said.startswith(REFUSED[text])


def test_a_packaged_one_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("seed: 1\n", "elsewhere/experiment/mine.yaml")
    monkeypatch.setattr(files, "conf_file", lambda group, name: Path(f"elsewhere/{group}/{name}.yaml"))
    with pytest.raises(ConfigError, match=r"^elsewhere/experiment/mine\.yaml: seed has no effect there"):
        files.check_placed({"seed": 1}, [files.conf_file("experiment", "mine")])


@pytest.mark.parametrize("place", ["conf/optimizer/mine.yaml", "conf/config.yaml"])
def test_other_files_of_the_users_too(place: str) -> None:
    packaged = (files.PACKAGED / "config.yaml").read_text()
    put(
        f"{HEAD}optimizer: {{_target_: torch.optim.SGD, lr: 0.1}}\ntrian: {{epochs: 1}}\n"
        if "mine" in place
        else f"{packaged}\ntrian: {{epochs: 1}}\n",
        place,
    )
    assert refused(*["optimizer=mine"] * ("mine" in place)).startswith(f"{place}, trian: a new key trian would")


@pytest.mark.parametrize("head", ["#@package _global_\n", "\n  #  @package _global_\n", f"{HEAD}# of mine\n"])
def test_what_hydra_takes_for_a_header_is_one(head: str) -> None:
    put(f"{head}train: {{epochs: 3}}\n")
    assert compose(["experiment=mine"])[0].tree["train"]["epochs"] == 3


@pytest.mark.parametrize("text", ["note: first", "note: {by: me, of: [1, 2]}", "purpose: null", "fold: 3"])
def test_a_note_on_purpose_is_kept(text: str) -> None:
    put(f"{HEAD}{text}\ntrain: {{epochs: 3}}\n")
    (planned,) = compose(["experiment=mine"])
    assert planned.tree["train"]["epochs"] == 3
    assert text.partition(":")[0] in planned.tree


def test_a_value_that_is_not_known_yet_is_checked_later() -> None:
    put(f"{HEAD}train: {{epochs: '???', groups: '${{seed}}'}}\nseed: 4\n")
    assert compose(["experiment=mine", "train.epochs=3"])[0].tree["train"]["groups"] == 4


def test_all_that_are_packaged_pass() -> None:
    with hydra_session() as loader:
        for name in files.choices(loader, "experiment"):
            assert compose_groups((f"experiment={name}",))

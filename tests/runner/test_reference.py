"""docs/reference is what the code says, and has all of it."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import typer.main

from batchlab.results.compare.metrics import Metric
from batchlab.runner import cli
from batchlab.runner.line.offered import GROUPS, files
from batchlab.runner.plan.schema import LogOptions, TrainOptions
from batchlab.runner.reference import choices, numbers, pages, picture, wings
from batchlab.runner.reference.write import FOLDER, HOUSE, PICTURE, ROOT, architecture, texts, write

AGAIN = "`make reference` writes it again"


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return texts()


def test_the_pages_are_what_the_code_says(made: dict[str, str]) -> None:
    there = {path.name: path.read_text() for path in (ROOT / FOLDER).glob("*.md")}
    assert there.keys() == made.keys(), AGAIN
    for name, text in made.items():
        assert there[name] == text, f"{name}: {AGAIN}"


def test_the_picture_and_its_table_are_of_these_sources() -> None:
    page = (ROOT / HOUSE).read_text()
    assert architecture(page) == page, AGAIN
    drawn = unescape(re.sub(r"\s+", " ", (ROOT / PICTURE).read_text()))
    assert "; ".join(picture.said()) in drawn, AGAIN
    assert all(f">{picture.label(wing)}<" in drawn for wing in wings.wings()), AGAIN


def test_in_a_room_what_is_imported_stands_lower() -> None:
    for room in wings.ROOMS:
        height = wings.levels(room)
        for a, b in wings.arrows():
            if a[0] == b[0] == room and b[1]:
                assert height[a[1]] > height[b[1]]


def test_every_choice_of_every_axis_is_there_once(made: dict[str, str], monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no ./conf of anybody's
    headings = [line for text in made.values() for line in text.splitlines() if line.startswith("## ")]
    for group in GROUPS:
        for name in files(group):
            assert headings.count(f"## {name}") == sum(name in files(other) for other in GROUPS), name


def test_every_key_has_a_meaning_and_a_type() -> None:
    """A key that is new needs a comment in its file, or a line in its docstring."""
    for group in GROUPS:
        if group != "experiment":  # whose keys are those of others
            for choice in choices.choices(group):
                assert choice.said, f"{group}={choice.name} has no comment at its head"
                for key in choice.keys:
                    assert key.meaning, f"{group}={choice.name}: {key.name} has no comment"
                    assert key.kind, f"{group}={choice.name}: {key.name}"


@pytest.mark.parametrize(("block", "kind"), [("train", TrainOptions), ("log", LogOptions)])
def test_the_configuration_has_every_key_of_its_blocks(block: str, kind: Any, made: dict[str, str]) -> None:
    listed = re.findall(rf"^\| `{block}\.(\w+)` \| [^|]+ \| [^|]+ \| \S", made["configuration.md"], re.MULTILINE)
    assert sorted(listed) == sorted(kind.__dataclass_fields__)


def test_every_command_has_its_options(made: dict[str, str]) -> None:
    parts = dict(re.findall(r"^## batchlab ([\w ]+)\n(.*?)(?=^## |\Z)", made["commands.md"], re.MULTILINE | re.DOTALL))
    group: Any = typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        for full, one in [(f"{name} {n}", c) for n, c in getattr(command, "commands", {}).items()] or [(name, command)]:
            for option in (p for p in one.params if p.param_type_name == "option" and "--help" not in p.opts):
                assert re.search(rf"^\| `[^`]*{max(option.opts, key=len)}\b", parts[full], re.MULTILINE), option.opts


def test_every_metric_of_the_page_can_be_read(made: dict[str, str]) -> None:
    shown = re.findall(r"`((?:\w+:)?NAME(?:>=NUMBER)?)`", made["metrics.md"])
    assert len(shown) == 11
    for text in shown:
        metric = Metric.parse(text.replace("NAME", "test_loss").replace("NUMBER", "0.5"))
        assert str(metric) == text.replace("NAME", "test_loss").replace("NUMBER", "0.5")


def test_what_a_file_says_of_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "optimizer" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(
        "# Mine: a # b.\n# More of it.\nname: mine\n_target_: elsewhere.Mine\nlr: 0.1 # how far\n"
        "path: ??? # which # file\nblock:\n  inner: null\n  deep: [1, 2] # two\nmomentum: 0.9\n"
    )
    choice = choices.read(path)
    assert (choice.name, choice.said, choice.target) == ("mine", "Mine: a # b. More of it.", "elsewhere.Mine")
    assert [(key.name, key.kind, key.default, key.meaning) for key in choice.keys] == [
        ("lr", "number", "0.1", "how far"),
        ("path", "text", "required", "which # file"),
        ("block.inner", "any, or null", "null", ""),
        ("block.deep", "list", "[1, 2]", "two"),
        ("momentum", "number", "0.9", "share of the last step's direction that is kept"),
    ]


def test_cells_cannot_break_their_table() -> None:
    assert pages.cell("a | b_c_ <x> `p|q_r` [0, 1] :math:`x_i^2`") == r"a \| b_c\_ \<x> `p\|q_r` \[0, 1\] $x_i^2$"
    assert pages.cell("see docs/own.md") == "see [own](../own.md)"


@pytest.mark.filterwarnings("ignore")
def test_examples_of_the_docstrings() -> None:
    import doctest

    for module in (choices, numbers, wings):
        done = doctest.testmod(module)
        assert done.attempted
        assert not done.failed


def test_what_is_no_more_is_removed(tmp_path: Path) -> None:
    gone = tmp_path / FOLDER / "gone.md"
    gone.parent.mkdir(parents=True)
    gone.touch()
    assert {path.name for path in write(tmp_path)} == {path.name for path in gone.parent.glob("*")}
    assert not gone.exists()

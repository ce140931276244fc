"""What docs/own.md shows runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pages import DOCS, bash, blocks, write_block

from batchlab.runner.plan.config import compose

PAGE = (DOCS / "own.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
MOST = 20
"""Lines of an example, its YAML included."""


def written(section: str, folder: Path) -> list[str]:
    """The section's files, put where their first lines say; the first example's lines."""
    lines: list[str] = []
    for language in ("python", "yaml"):
        for place, block in enumerate(blocks(SECTIONS[section], language)):
            write_block(block, folder)
            if place == 0:
                lines += [line for line in block.splitlines()[1:] if line.strip()]
    return lines


@pytest.mark.parametrize("section", SECTIONS)
def test_an_example_is_short(section: str, tmp_path: Path) -> None:
    assert 0 < len(written(section, tmp_path)) <= MOST


def test_other_names_for_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written("A model", tmp_path)
    monkeypatch.chdir(tmp_path)
    (planned,) = compose(["model=tv_resnet18"])
    assert planned.tree["model"] == yaml.safe_load(Path("conf/model/tv_resnet18.yaml").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_the_commands_run(section: str, tmp_path: Path) -> None:
    written(section, tmp_path)
    (script,) = blocks(SECTIONS[section], "bash")
    said = bash(script, tmp_path)
    means = [float(mean) for mean in re.findall(r"^ \S+\s+\*?([\d.]+) ±", said, re.MULTILINE)]
    assert len(means) == 2, said
    assert all(50 < mean < 100 for mean in means)

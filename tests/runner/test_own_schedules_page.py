"""What docs/own-schedules.md shows runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import DOCS, bash, blocks, write_block
from runs import one

from batchlab.optimizers.clock import Clock
from batchlab.runner.plan.schedules import make_rates
from batchlab.runner.plan.validate import validate

PAGE = (DOCS / "own-schedules.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
MOST = 20
"""Lines of an example, its first YAML included."""


@pytest.fixture(autouse=True)
def _written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's files, put where their first lines say."""
    for section in SECTIONS:
        for block in (*blocks(SECTIONS[section], "python"), *blocks(SECTIONS[section], "yaml")):
            write_block(block, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("section", SECTIONS)
def test_an_example_is_short(section: str) -> None:
    code = [line for block in blocks(SECTIONS[section], "python") for line in block.splitlines()[1:] if line.strip()]
    assert len(code) + len(blocks(SECTIONS[section], "yaml")[0].splitlines()[1:]) <= MOST


@pytest.mark.parametrize("path", re.findall(r"^# conf/(.*)\.yaml$", PAGE, re.MULTILINE))
def test_every_schedule_of_the_page_can_run(path: str) -> None:
    assert validate([one(path.replace("/", "="), "train.epochs=3")]) == []


def test_what_the_page_says_of_them() -> None:
    def rates(name: str, times: tuple[float, ...]) -> list[float]:
        made = make_rates(one(f"lr_schedule={name}").tree["lr_schedule"])
        return [made.factor(Clock(round(100 * t), round(10 * t), 100, 400, 40)) for t in times]

    assert rates("sawtooth", (0, 0.25, 0.5, 1, 1.75)) == [1, 0.75, 0.5, 1, 0.25]
    assert rates("cooled", (0, 1.99, 2, 3)) == [1, 1, 0.1, 0.1]
    assert rates("halving", (0, 0.99, 1, 2.5)) == [1, 1, 0.5, 0.25]
    cycle = rates("torch_cycle", tuple(t / 10 for t in range(40)))
    assert cycle.index(max(cycle)) == round(0.3 * 40 - 1)
    assert cycle[-1] == pytest.approx(4e-6)
    assert rates("warm_cosine", (0, 1)) == pytest.approx([0.1, 1.0])


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_the_commands_run(section: str, tmp_path: Path) -> None:
    (script,) = blocks(SECTIONS[section], "bash")
    said = bash(script, tmp_path)
    means = [float(mean) for mean in re.findall(r"^ \S+\s+\*?([\d.]+) ±", said, re.MULTILINE)]
    assert len(means) == script.split()[2].count(",") + 1, said
    assert all(50 < mean < 100 for mean in means)

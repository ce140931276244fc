"""What docs/engines.md shows runs as it stands; the engine of its example is found by its entry point."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pages import DOCS, bash, blocks, write_block
from rays import nodes
from runs import TINY, one
from shell import in_one_line

from batchlab.runner.launch.executors.base import executor_for
from batchlab.runner.line import offered
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import ConfigError

PAGE = (DOCS / "engines.md").read_text()
RAY, OWN = blocks(PAGE, "bash")
MOST = 20
"""Lines of the example."""


def installed(folder: Path) -> None:
    """The example and its entry point, as a package's installation leaves them."""
    (block,) = blocks(PAGE, "python")
    (declared,) = blocks(PAGE, "toml")
    write_block(block, folder)
    about = folder / "nicely-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: nicely\nVersion: 1.0\n")
    name, _, value = declared.splitlines()[1].partition(" = ")
    value = value.strip('"')
    (about / "entry_points.txt").write_text(f"[batchlab.executors]\n{name} = {value}\n")


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the example is installed."""
    installed(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "nicely", raising=False)
    return tmp_path


def test_the_example_is_short() -> None:
    (block,) = blocks(PAGE, "python")
    assert len([line for line in block.splitlines()[1:] if line.strip()]) <= MOST


def test_an_entry_point_is_a_choice(
    there: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (planned,) = compose([*TINY, "executor=nicely", "executor.niceness=5"])
    assert planned.tree["executor"] == {"name": "nicely", "_target_": "nicely.Nicely", "niceness": 5}
    assert planned.run_id == one().run_id, "where a run is trained is no part of what it is"
    assert executor_for([planned.tree]).niceness == 5  # type: ignore[attr-defined]
    code, said = in_one_line("show", "--axes", monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0
    assert "executor: local, nicely, " in said
    assert "nicely" in offered.values("executor")
    with pytest.raises(ConfigError, match=r"executor\.nicenes"):
        compose([*TINY, "executor=nicely", "executor.nicenes=5"])


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("class Nicely:\n    def __init__(self, host): ...", "host must have a default"),
        ("raise RuntimeError('no')", "RuntimeError: no"),
        ("", "AttributeError"),
    ],
)
def test_an_entry_point_that_does_not_hold(code: str, said: str, there: Path) -> None:
    (there / "nicely.py").write_text(code)
    with pytest.raises(ConfigError, match=rf"executor=nicely of the entry point nicely:Nicely: .*{said}"):
        compose([*TINY, "executor=nicely"])
    assert one().tree["executor"]["name"] == "local", "who does not choose it hears nothing of it"


@pytest.mark.slow
def test_the_example_trains(there: Path) -> None:
    assert "done: runs/" in bash(OWN, there, PYTHONPATH=f"{there}:{':'.join(sys.path[1:])}")


@pytest.mark.slow
def test_the_commands_of_ray(tmp_path: Path) -> None:
    with nodes(1, 1) as cluster:
        said = bash(RAY, tmp_path, RAY_ADDRESS=cluster.address)
    assert "2 of 2 runs" in said

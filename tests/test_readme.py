"""What README.md shows runs as it stands."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()
OWN_OPTIMIZER = "from torch.optim import SGD as MyOptimizer\n"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def shell(script: str, folder: Path) -> str:
    environment = os.environ | {
        "BATCHLAB_RUNS": str(folder / "runs"),
        "BATCHLAB_DATA": str(folder / "data"),
        "PYTHONPATH": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(["bash", "-ec", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.filterwarnings("ignore")
def test_the_plain_loop_runs() -> None:
    block, _ = blocks("python")
    space: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), space)
    assert space["step"] == 2


@pytest.mark.slow
def test_the_first_example_goes_on_until_its_time_is_over(tmp_path: Path) -> None:
    """Whole it takes minutes; cut short it says where every pair stands, or that it has only tuned so far."""
    printed = shell(blocks("bash")[0].rstrip() + " --max-minutes 0.3 --max-seeds 3", tmp_path)
    assert "declared: looks at 3 seeds, smallest effect 0.5\n" in printed
    assert "the same command goes on" in printed or "each pair, and what was decided" in printed


@pytest.mark.slow
def test_the_two_commands_make_the_table(tmp_path: Path) -> None:
    printed = shell(blocks("bash")[2], tmp_path)
    rows = [line.split() for line in printed.splitlines() if line.strip().startswith(("shb", "nshb"))]
    assert sorted(row[0] for row in rows) == ["nshb", "shb"]


@pytest.mark.slow
def test_the_lines_from_python_sweep_compare_and_read(tmp_path: Path) -> None:
    _, block = blocks("python")
    shown = "print(table)\nprint(sorted(set(frame['seed'])), len(frame))\n"
    (tmp_path / "notebook.py").write_text(block + shown)
    printed = shell("python notebook.py", tmp_path)
    rows = [line.split() for line in printed.splitlines() if line.strip().startswith(("shb", "nshb"))]
    assert sorted(row[0] for row in rows) == ["nshb", "shb"]
    assert printed.splitlines()[-1] == "[0, 1, 2] 9", "3 seeds, each evaluated where it begins and after 2 epochs"


@pytest.mark.slow
def test_an_optimizer_of_ones_own_is_one_yaml_file(tmp_path: Path) -> None:
    assert shutil.which("bash")
    (yaml,) = blocks("yaml")
    path = tmp_path / yaml.splitlines()[0].removeprefix("# ")
    path.parent.mkdir(parents=True)
    path.write_text(yaml)
    (tmp_path / "my_package.py").write_text(OWN_OPTIMIZER)
    printed = shell(blocks("bash")[3].rstrip() + " --dry-run\nbatchlab show --axes", tmp_path)
    assert "30 runs, all valid" in printed
    assert "mine" in printed

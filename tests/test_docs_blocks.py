"""Every command and program that a page shows is run by a test, or says here why none runs it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest
import typer.main

from batchlab.runner import cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = ("bash", "sh", "console", "python", "sql")
PAPERS = ("adadagrad", "dasvrda", "numerical_sgd", "sgdm_schedules", "vrgd")
COMMANDS = "tests/runner/test_docs_commands.py::test_the_commands_of_a_page_run"

RUN = {
    "README.md": {
        "bash": [
            "tests/test_readme.py::test_the_first_example_goes_on_until_its_time_is_over",
            "not run: installs from the network; `.ci/run` makes the same targets",
            "tests/test_readme.py::test_the_two_commands_make_the_table",
            "tests/test_readme.py::test_an_optimizer_of_ones_own_is_one_yaml_file",
        ],
        "python": [
            "tests/test_readme.py::test_the_plain_loop_runs",
            "tests/test_readme.py::test_the_lines_from_python_sweep_compare_and_read",
        ],
    },
    "CONTRIBUTING.md": {"bash": ["not run: the targets of the Makefile, which `.ci/run` makes"]},
    "docs/accelerator.md": {"bash": ["tests/test_gpu_benchmark.py::test_smoke_has_the_rows_of_every_part"]},
    "docs/api/reading.md": {"python": ["tests/results/test_reading_page.py::test_the_page"]},
    "docs/archives.md": {
        "bash": ["tests/runner/test_archives.py::test_the_commands_of_the_page_run"],
        "python": ["tests/runner/test_archives.py::test_the_page_runs_in_python"],
    },
    "docs/callbacks.md": {
        "bash": [
            "tests/runner/test_callbacks_page.py::test_the_commands_of_the_exporters",
            "tests/runner/test_callbacks_page.py::test_the_example_of_ones_own",
        ],
        "python": ["tests/runner/test_callbacks_page.py::test_the_example_of_ones_own"],
    },
    "docs/crossing.md": {
        "bash": [
            "not run: minutes to hours; tests/runner/test_crossing_recipe.py composes each scale, and runs its first"
        ]
    },
    "docs/engines.md": {
        "bash": [
            "tests/runner/test_engines_page.py::test_the_commands_of_ray",
            "tests/runner/test_engines_page.py::test_the_example_trains",
        ],
        "python": ["tests/runner/test_engines_page.py::test_the_example_trains"],
    },
    "docs/finite-sum.md": {
        "bash": [COMMANDS],
        "python": ["tests/finite_sum/test_finite_sum_docs.py::test_blocks_of_the_page_run"] * 4,
    },
    "docs/gradient-noise.md": {"python": ["tests/moments/test_gradient_noise_page.py::test_the_page_runs"] * 3},
    "docs/grids.md": {"bash": ["tests/runner/test_grids_page.py::test_the_commands_run"] * 6},
    "docs/identity.md": {"bash": [COMMANDS]},
    "docs/integrators.md": {"python": ["tests/integrators/test_integrators_page.py::test_the_page_runs"] * 4},
    "docs/machines.md": {"bash": ["tests/runner/test_machines.py::test_two_machines_give_the_numbers_of_one"]},
    "docs/measures.md": {
        "bash": [COMMANDS, COMMANDS, COMMANDS, "tests/runner/test_measures_page.py::test_a_macro_f1_of_ones_own"],
        "python": ["tests/runner/test_measures_page.py::test_a_macro_f1_of_ones_own"],
    },
    "docs/notebook.md": {
        "python": ["tests/runner/test_notebook_page.py::test_the_page"],
        "sql": ["tests/runner/test_notebook_page.py::test_the_page"] * 2,
    },
    "docs/own-data.md": {
        "bash": ["tests/runner/test_own_data_page.py::test_the_commands_run"] * 6,
        "python": [
            "tests/runner/test_own_data_page.py::test_the_commands_run",
            "tests/runner/test_own_data_page.py::test_the_commands_run",
            "tests/runner/test_own_data_page.py::test_tiny_imagenet_of_its_archive",
        ],
    },
    "docs/own-schedules.md": {
        "bash": ["tests/runner/test_own_schedules_page.py::test_the_commands_run"] * 3,
        "python": ["tests/runner/test_own_schedules_page.py::test_the_commands_run"] * 2,
    },
    "docs/own.md": {
        "bash": ["tests/runner/test_own_page.py::test_the_commands_run"] * 2,
        "python": ["tests/runner/test_own_page.py::test_the_commands_run"] * 2,
    },
    **{f"docs/papers/{paper}.md": {"bash": [COMMANDS]} for paper in PAPERS},
    "docs/performance.md": {
        "bash": [
            COMMANDS,
            COMMANDS,
            COMMANDS,
            "not run: installs from the network; tests/test_installation.py has what pip is asked for",
            "not run: installs from the network; tests/test_installation.py has what pip is asked for",
        ]
    },
    "docs/plots.md": {"bash": ["tests/runner/test_plots_page.py::test_the_commands_run"] * 4},
    "docs/policies.md": {"bash": ["tests/runner/test_policies_page.py::test_the_commands_run"]},
    "docs/rivals.md": {
        "bash": ["tests/runner/test_rivals_page.py::test_the_commands_run"],
        "python": ["tests/runner/test_rivals_page.py::test_the_example_is_judged_by_its_average"],
    },
    "docs/server.md": {"bash": [COMMANDS, COMMANDS]},
    "docs/slurm.md": {"bash": ["tests/runner/test_slurm.py::test_the_page_s_example"]},
    "docs/store.md": {"python": ["tests/runner/test_store_page.py::test_a_copied_file_is_checked_alone"]},
    "docs/tutorial.md": {
        "bash": ["tests/runner/test_tutorial.py::test_it_ends_with_a_verdict"] * 3,
        "python": ["tests/runner/test_tutorial.py::test_it_ends_with_a_verdict"] * 4,
    },
    "docs/vrgd.md": {"bash": [COMMANDS], "python": ["tests/gsnr/test_vrgd_page.py::test_the_page_runs"] * 3},
    "docs/workloads.md": {
        "bash": ["tests/runner/test_workloads_page.py::test_the_commands_run"],
        "python": ["tests/runner/test_workloads_page.py::test_a_click_log_of_ones_own"],
    },
}
"""Page -> language -> what runs each of its blocks, in their order."""


def fenced(text: str) -> Counter[str]:
    """How many blocks a page has of each language."""
    return Counter(re.findall(r"^```(\w+)\n.*?^```", text, re.MULTILINE | re.DOTALL))


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def test_every_block_is_run_or_says_why_not() -> None:
    there = {name_of(page): {k: n for k, n in fenced(page.read_text()).items() if k in PROGRAMS} for page in PAGES}
    listed = {page: {language: len(tests) for language, tests in blocks.items()} for page, blocks in RUN.items()}
    assert listed == {page: blocks for page, blocks in there.items() if blocks}


@pytest.mark.parametrize("page", RUN)
def test_what_runs_a_block_is_there_and_reads_the_page(page: str) -> None:
    for said in {test for tests in RUN[page].values() for test in tests}:
        if said.startswith("not run: "):
            continue
        place, _, test = said.partition("::")
        code = (ROOT / place).read_text()
        assert test in {node.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef)}
        assert Path(page).name in code or place == "tests/test_gpu_benchmark.py"


def test_the_common_test_has_every_block_that_is_left_to_it() -> None:
    code = ast.parse((ROOT / COMMANDS.partition("::")[0]).read_text())
    keys = [key for node in ast.walk(code) if isinstance(node, ast.Dict) for key in node.keys]
    cases = [str(key.value) for key in keys if isinstance(key, ast.Constant)]
    listed = Counter(f"docs/{case.split()[0]}" for case in cases if case.split()[0].endswith(".md"))
    left = {page: sum(test == COMMANDS for tests in blocks.values() for test in tests) for page, blocks in RUN.items()}
    assert listed == {page: times for page, times in left.items() if times}


def test_no_command_hides_in_an_indented_block() -> None:
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        assert not re.findall(r"\n\n    (?:\$ )?(?:batchlab|make|python|pip|git) .*", text), page


GROUP = typer.main.get_command(cli.app)


def options_of(words: list[str]) -> tuple[str, set[str]] | None:
    """The command that a line is of, and its options; None for a word that is none."""
    found = GROUP
    path = []
    for word in words[:2]:
        commands = getattr(found, "commands", {})
        if word not in commands:
            break
        found = commands[word]
        path.append(word)
    return (" ".join(path), {opt for p in found.params for opt in p.opts} | {"--help", "-h"}) if path else None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_that_a_page_names_are_those_of_the_command(page: Path) -> None:
    """In a block or within a sentence: `batchlab COMMAND ... --option`."""
    text = re.sub(r"\\\n\s*", " ", page.read_text())
    shown = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"(?<!`)`([^`]*)`(?!`)", text.replace("\n", " "))
    for said in re.split(r"\n|&&", "\n".join([*shown, *inline])):
        line = said.strip().removeprefix("batchlab ")
        if line == said.strip():
            continue
        line = " ".join(re.sub(r"[^\s'\"]*'[^']*'|\s#.*", " ", line).split())
        words = [word for word in re.split(r"[\s|]+", line) if word]
        if not words or words[0].startswith("-") or (asked := options_of(words)) is None:
            assert not words or words[0] in ("--version", "--help", "--install-completion", "--traceback"), line
            continue
        command, known = asked
        for option in re.findall(r"(?<![\w-])--?[a-z][\w-]*", line):
            assert option in known | {"--traceback"}, f"{command} has no {option}: {line}"

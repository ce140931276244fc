"""The reference page of commands, options and exit codes, as Markdown."""

from __future__ import annotations

from enum import EnumMeta
from typing import Any, get_args

import typer.main

from batchlab.runner import cli, exits
from batchlab.runner.reference.pages import MARK, cell, code, table

CODES = {
    0: "all that was asked for is there",
    exits.FAILED: "some run failed or was cut off, or something went wrong after runs were started",
    exits.WRONG: "the request was wrong, and nothing was started",
    exits.INTERRUPTED: "interrupted (Ctrl-C, at any moment)",
}
USUAL = ("--help", "--install-completion", "--show-completion")


def page() -> str:
    """The page."""
    group = typer.main.get_command(cli.app)
    return "\n".join(
        [
            "# Commands\n",
            MARK,
            "`--help` after a command prints the same. `--traceback`, anywhere on the line, shows where an error came "
            "from; `batchlab --version` says which batchlab it is.\n",
            *_each(group, "batchlab"),
            "## Exit codes\n",
            table(("code", "meaning"), [(f"`{number}`", said) for number, said in CODES.items()]),
            "## Environment\n",
            table(
                ("variable", "meaning"),
                [
                    ("`BATCHLAB_RUNS`", "the folder of runs, in place of `--runs`"),
                    ("`BATCHLAB_DATA`", "the folder of data sets, `~/.cache/batchlab` without it"),
                    ("`BATCHLAB_CIFAR10_URL` and the like", "a mirror of what is downloaded"),
                ],
            ),
        ]
    )


def _each(group: Any, path: str) -> list[str]:
    said = []
    for name, command in group.commands.items():
        full = f"{path} {name}"
        if hasattr(command, "commands"):
            said += _each(command, full)
        else:
            said += _command(command, full)
    return said


def _command(command: Any, full: str) -> list[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and max(p.opts, key=len) not in USUAL]
    usage = " ".join([full, *(p.metavar or p.name.upper() for p in arguments), *(["[OPTION]..."] if options else [])])
    rows = [(f"`{p.metavar or p.name}`", cell(p.help or ""), "") for p in arguments]
    rows += [(_option(p), cell(p.help or ""), _default(p)) for p in options]
    said = [f"## {full}\n", f"{cell((command.help or '').strip())}\n", f"```text\n{usage}\n```\n"]
    return [*said, table(("", "what it does", "default"), rows)] if rows else said


def _option(option: Any) -> str:
    flags = ", ".join(sorted(option.opts, key=len))
    value = "" if option.is_flag else f" {option.metavar or _choices(option)}"
    more = ", repeatable" if option.multiple and "may be repeated" not in (option.help or "") else ""
    return code(f"{flags}{value}") + more


def _choices(option: Any) -> str:
    """The words that an option without a metavar takes, as typer of any version knows them."""
    described = getattr(option, "type_descriptor", None)
    if described is None:
        return "|".join(getattr(option.type, "choices", ())) or option.name.upper()
    kinds = [described.annotation, *get_args(described.annotation)]
    return next(("|".join(kind) for kind in kinds if isinstance(kind, EnumMeta)), option.name.upper())


def _default(option: Any) -> str:
    value = option.default() if callable(option.default) else option.default
    return "" if value is None or value is False or value == () else code(str(getattr(value, "value", value)))

"""No option that is given twice is silently kept once: refused, or all of them are taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from shell import in_one_line

from batchlab.runner import cli


def options(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every option of every command, but for --help."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from options(inner, *path, name)
    if not getattr(command, "commands", None):
        yield from ((path, option) for option in command.params if option.param_type_name == "option")


EVERY = [(path, option) for path, option in options(typer.main.get_command(cli.app)) if not option.multiple]
REPEATED = {max(o.opts, key=len) for _, o in options(typer.main.get_command(cli.app)) if o.multiple}


@pytest.mark.parametrize(
    ("path", "option"), EVERY, ids=lambda part: " ".join(part) if isinstance(part, tuple) else max(part.opts, key=len)
)
def test_twice_is_refused(
    path: tuple[str, ...], option: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    name = max(option.opts, key=len)
    value = [] if option.is_flag else ["5"]
    given = [option.opts[0], *value, name, *value]
    code, said = in_one_line(*path, *given, monkeypatch=monkeypatch, capfd=capfd)
    assert (code, said) == (2, f"batchlab: {name} is given twice: give it once")


def test_what_may_be_repeated() -> None:
    """Each of these is taken as often as it is given."""
    axes = {"--rows", "--cols", "--hue", "--baseline", "--metric"}
    assert {*axes, "--where", "--or", "--from", "--tune", "--smallest", "--zip", "--skip"} == REPEATED

"""Options that are given twice are refused: click would silently keep the last of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand

Command = TypeVar("Command", bound=Callable[..., Any])


class Once(TyperCommand):
    """A command whose options stand once on a line, but for those that are declared as repeatable."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse a command line.

        Raises:
            ValueError: An option is given twice, naming it and what was kept apart.
        """
        _, _, order = self.make_parser(ctx).parse_args([*args])
        single = [p for p in order if p.param_type_name == "option" and not p.multiple and not getattr(p, "count", 0)]
        for option, times in Counter(single).items():
            if times > 1:
                name = max(option.opts, key=len)
                raise ValueError(f"{name} is given {'twice' if times == 2 else f'{times} times'}: give it once")
        return super().parse_args(ctx, args)


class App(typer.Typer):
    """A Typer whose commands are `Once`."""

    def command(self, name: str | None = None, **given: Any) -> Callable[[Command], Command]:
        """As typer's."""
        return super().command(name, **{"cls": Once} | given)

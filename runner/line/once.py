"""Options that are given twice, and options that there are not, are refused in one line that says what to write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

Command = TypeVar("Command", bound=Callable[..., Any])


class Once(TyperCommand):
    """A command whose options stand once on a line, but for those that are declared as repeatable."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse a command line; click would silently keep the last of what is given twice.

        Raises:
            ValueError: There are two places to read from; an option is given twice, naming it and what was kept apart,
                or without a value, as an unset variable of a shell's leaves it, or it is none of this command; an
                override where there are only conditions.
        """
        if ctx.resilient_parsing:  # to complete it
            return super().parse_args(ctx, args)
        try:
            values, left, order = self.make_parser(ctx).parse_args([*args])
        except Exception as error:
            if type(error).__name__ != "NoSuchOption":  # click's, or the copy of it that newer typers bring along
                raise
            raise ValueError(self._unknown(str(getattr(error, "option_name", "")), args)) from error
        single = [p for p in order if p.param_type_name == "option" and not p.multiple and not getattr(p, "count", 0)]
        for option, times in Counter(single).items():
            if times > 1:
                name = max(option.opts, key=len)
                raise ValueError(f"{name} is given {'twice' if times == 2 else f'{times} times'}: give it once")
        given = {max(option.opts, key=len) for option in order if option.param_type_name == "option"}
        if {"--from", "--runs"} <= given and self.name != "reproduce":  # whose plots go into the folder of runs
            raise ValueError(
                "--from reads archives, --runs a folder: leave one of them out (`batchlab runs merge` puts the runs of "
                "archives into a folder)"
            )
        for option in order:  # a path that is empty would be the folder here
            if option.param_type_name == "option" and values.get(option.name) in ("", [""]):
                name = max(option.opts, key=len)
                raise ValueError(f"{name} '': it takes {option.metavar or 'a value'}; leave it out for the usual one")
        if any("=" in text for text in left) and any("--where" in p.opts for p in self.params):
            raise ValueError(f"{self.name} takes no overrides: write --where {left[0]}")
        return super().parse_args(ctx, args)

    def _unknown(self, option: str, args: list[str]) -> str:
        from batchlab.runner.line.mistyped import unknown_option

        options = [max(p.opts, key=len) for p in self.params if p.param_type_name == "option"]
        overrides = any(p.name == "overrides" for p in self.params)
        return unknown_option(str(self.name), option, args, options, overrides)


class Group(TyperGroup):
    """Commands, before whose names an option of theirs may not stand."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse a command line up to the command's name.

        Raises:
            ValueError: An option that there is not, naming a command that has it.
        """
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            option = str(getattr(error, "option_name", ""))
            having = [name for name, one in self.commands.items() if any(option in p.opts for p in one.params)]
            if type(error).__name__ != "NoSuchOption" or not having:
                raise
            meant = next((text for text in args if text in having), having[0])
            way = f"{ctx.command_path} {meant} {option} ..."
            raise ValueError(f"{option} stands after the command, as in `{way}`") from error


class App(typer.Typer):
    """A Typer whose commands are `Once`."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**{"cls": Group} | given)

    def command(self, name: str | None = None, **given: Any) -> Callable[[Command], Command]:
        """As typer's; parameters that are blocks of options are spread."""
        register = super().command(name, **{"cls": Once} | given)

        def command(function: Command) -> Command:
            from batchlab.runner.line.blocks import spread

            register(spread(function))
            return function

        return command

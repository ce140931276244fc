"""Options that several commands share and that make one object: declared once, spread over the command's own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Any, get_args

from batchlab.runner.line import flags
from batchlab.runner.options import Deciding, GridOptions, SweepOptions


@dataclass(frozen=True, init=False)
class Block:
    """Options that make an object of a dataclass, each of the name of its field and with the field's default.

    Attributes:
        kind: The dataclass.
        options: Field -> how its option is declared.
    """

    kind: Any
    options: dict[str, Any]

    def __init__(self, kind: type, **options: Any) -> None:
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "options", options)

    def parameters(self) -> list[inspect.Parameter]:
        """The parameters that typer makes options of."""
        defaults = {field.name: field.default for field in fields(self.kind)}
        return [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=declared)
            for name, declared in self.options.items()
        ]


def spread(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command whose parameters that are annotated with a `Block` are that block's options, for typer."""
    signature = inspect.signature(command, eval_str=True)
    blocks = {name: block for name, p in signature.parameters.items() if (block := _block(p.annotation))}
    if not blocks:
        return command
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        parameters += blocks[name].parameters() if name in blocks else [parameter]

    @functools.wraps(command)
    def called(**given: Any) -> Any:
        made = {
            name: block.kind(**{field: given.pop(field) for field in block.options}) for name, block in blocks.items()
        }
        return command(**given, **made)

    called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


def _block(annotation: Any) -> Block | None:
    return next((one for one in get_args(annotation)[1:] if isinstance(one, Block)), None)


AGAIN = {
    "retry": flags.Retry,
    "retries": flags.Retries,
    "retry_oom": flags.RetryOom,
    "timeout": flags.Timeout,
    "trust_code": flags.TrustCode,
}
MANY = {
    "dry_run": flags.DryRun,
    "jobs_per_device": flags.JobsPerDevice,
    "fuse": flags.Fuse,
    "max_runs": flags.MaxRuns,
    "stop_after": flags.StopAfter,
}
Trained = Annotated[SweepOptions, Block(SweepOptions, **AGAIN, rerun=flags.Rerun, profile=flags.Profile)]
Swept = Annotated[
    SweepOptions,
    Block(SweepOptions, **AGAIN, **MANY, on_error=flags.Failing, rerun=flags.Rerun, detach=flags.Detach),
]
Decided = Annotated[SweepOptions, Block(SweepOptions, **AGAIN, **MANY)]
Looks = Annotated[
    Deciding, Block(Deciding, max_seeds=flags.MaxSeeds, max_minutes=flags.MaxMinutes, smallest=flags.SmallestEffect)
]
Grid = Annotated[
    GridOptions,
    Block(
        GridOptions,
        zip=flags.Zip,
        skip=flags.Skip,
        draws=flags.Draws,
        search=flags.SearchBy,
        search_seed=flags.SearchSeed,
        max_grid=flags.MaxGrid,
    ),
]

"""The callbacks of one run, called in order."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

import torch
from torch import Tensor, nn

from batchlab.results.store.record import read_stream
from batchlab.results.store.run import Run, State
from batchlab.runner.callbacks import Watched
from batchlab.runner.callbacks.callback import Row
from batchlab.runner.measures.untouched import untouched
from batchlab.runner.plan.build import build
from batchlab.runner.plan.schema import ConfigError, Node, read_tree


class Watchers:
    """Every rank has them, so that all know what is asked of a step; only rank 0's are ever called.

    Args:
        nodes: name -> node of each, as `RunConfig.callback`.
        run: whose they are; None on other ranks.

    Raises:
        ConfigError: one of them refuses its arguments.
    """

    def __init__(self, nodes: Mapping[str, Node], run: Run | None) -> None:
        self.called: dict[str, Any] = {name: build(node, "callback") for name, node in nodes.items()}
        self.at_step = any(hasattr(callback, "on_step") for callback in self.called.values())
        self.run = run
        self.model: nn.Module | None = None
        self._started: list[str] = []

    def start(self, model: nn.Module | None, *, anew: bool = False) -> None:
        """The run begins or goes on; its rows are those that stay.

        Args:
            model: that trains, if one does.
            anew: it is told from its beginning, whatever there is of it.
        """
        self.model = model
        if self.run is None or not self.called:
            return
        rows = [] if anew else read_stream(self.run, "metrics")
        watched = Watched(self.run.run_id, self.run.folder, read_tree(self.run.config), rows, model)
        for name in self.called:
            self._started.append(name)  # before: one that fails in it may have something open
            self._call(name, "on_start", watched)

    def step(self, row: Row) -> None:
        """A step was taken."""
        self._all("on_step", dict(row))

    def evaluate(self, row: Row) -> None:
        """The run was evaluated."""
        self._all("on_evaluate", dict(row))

    def end(self, state: State, reason: str | None = None) -> None:
        """The process stops to train this run. After a failure, what they raise themselves is not asked for."""
        with suppress(ConfigError) if state is State.FAILED else ExitStack():
            while self._started:
                self._call(self._started.pop(0), "on_end", str(state), reason)

    def _all(self, method: str, *arguments: Any) -> None:
        if self.run is not None:
            for name in self.called:
                self._call(name, method, *arguments)

    def _call(self, name: str, method: str, *arguments: Any) -> None:
        """Call one, which leaves no trace in training.

        Raises:
            ConfigError: it failed, or changed a parameter.
        """
        called = getattr(self.called[name], method, None)
        if called is None:
            return
        before = parameters_of(self.model)
        with untouched(self.model) if self.model is not None else ExitStack():
            try:
                called(*arguments)
            except (Exception, SystemExit) as error:  # a bare KeyError would not say whose it is
                text = f"{type(error).__name__}: {error}".removesuffix(": ")
                raise ConfigError(f"callback={name}: {method}: {text}") from error
        after = parameters_of(self.model, copied=False)
        changed = [key for key in {**before, **after} if not _same(before.get(key), after.get(key))]
        if changed:
            raise ConfigError(
                f"callback={name}: {method} changed the parameter {changed[0]}, and a callback only watches: what "
                "changes a run is an optimizer, a schedule or a model of its own"
            )


Kept = tuple[nn.Parameter, Tensor, bool]
BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def parameters_of(model: nn.Module | None, *, copied: bool = True) -> dict[str, Kept]:
    """Each parameter, its values and whether it is trained, by name.

    Args:
        model: whose; None has none.
        copied: the values are copies; otherwise they are those that may still change.
    """
    named = model.named_parameters() if model is not None else ()
    return {
        key: (parameter, parameter.detach().clone() if copied else parameter.detach(), parameter.requires_grad)
        for key, parameter in named
    }


def _same(one: Kept | None, other: Kept | None) -> bool:
    """Whether a parameter is the one it was, bit for bit: of a run that diverged NaN is NaN."""
    if one is None or other is None or one[0] is not other[0] or one[2] != other[2]:
        return False
    bits = BITS.get(one[1].element_size())
    if bits is None:  # complex numbers of double precision
        return torch.equal(one[1], other[1])
    return torch.equal(one[1].view(bits), other[1].view(bits))

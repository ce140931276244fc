"""An evaluation of stacked models: what the measures of each would compute alone, computed for all at once."""

from __future__ import annotations

import torch
from torch import Tensor

from batchlab.datasets.dataset import Split
from batchlab.runner.measures.probe import Known
from batchlab.runner.train.gradient import autocast
from batchlab.runner.train.modes import modes_of
from batchlab.runner.train.together.group import Group
from batchlab.runner.train.together.stack import losses_of


class Look:
    """Has ready for the measures what they say that they ask for, and what they asked for before."""

    def __init__(self) -> None:
        self.noted: set[Known] = set()

    def ahead(self, group: Group) -> None:
        """Compute what will be asked of every replica.

        Args:
            group: whose replicas are about to be evaluated.
        """
        asked = self.noted | _declared(group)
        if not asked or any(modes_of(session.optimizer) for session in group.sessions):
            return  # a schedule-free optimizer is judged at other weights than those of the stack
        norms = [split for what, split in asked if what == "norm"]
        for split in norms:
            self._norms(group, split)
        for what, split in sorted(asked):
            if what == "outputs" and not (split in norms and group.lead.probe.plain):
                self._outputs(group, split)

    def note(self, group: Group, place: int) -> None:
        """Learn from a replica that was evaluated what its measures ask for."""
        self.noted |= {known for known in group.sessions[place].probe.known if known[0] in ("outputs", "norm")}

    @torch.no_grad()
    def _outputs(self, group: Group, split: Split) -> None:
        """The outputs of a split, of all replicas."""
        outputs: list[Tensor] = []
        targets: list[Tensor] = []
        for x, y in group.lead.probe.batches(split):
            with autocast(group.device, group.lead.config.train.precision):
                outputs.append(group.stack.forward(x, training=False).to(group.dtype))
            targets.append(y)
        if outputs:
            self._share(group, split, torch.cat(outputs, 1), torch.cat(targets))

    def _norms(self, group: Group, split: Split) -> None:
        """The norms of the full gradient, and the outputs that come with them; see `Probe.full_gradient_norm`."""
        parameters = list(group.stack.parameters.values())
        total = [torch.zeros_like(p) for p in parameters]
        outputs: list[Tensor] = []
        targets: list[Tensor] = []
        n = group.lead.dataset.n
        for x, y in group.lead.probe.batches(split):
            out = group.stack.forward(x, training=False)
            losses = losses_of(group.lead.probe.criterion, out, y.expand(len(out), *y.shape))
            gradients = torch.autograd.grad(losses.sum() * (1 / n), parameters, materialize_grads=True)
            torch._foreach_add_(total, gradients)
            outputs.append(out.detach())
            targets.append(y)
        squares = torch.stack([torch.linalg.vector_norm(t.flatten(1), dim=1).double().square() for t in total])
        for session, norm in zip(group.sessions, squares.sum(0).sqrt().tolist(), strict=True):
            session.probe.ahead["norm", split] = norm
        if group.lead.probe.plain and outputs:
            self._share(group, split, torch.cat(outputs, 1), torch.cat(targets))

    @torch.no_grad()
    def _share(self, group: Group, split: Split, outputs: Tensor, targets: Tensor) -> None:
        """Give each probe its outputs, (m, ...), and what `Probe.score` makes of them."""
        probe = group.lead.probe
        several = targets.expand(len(outputs), *targets.shape)
        losses = losses_of(probe.evaluation, outputs, several).double().sum(1)
        right = (outputs.argmax(-1) == several).flatten(1).sum(1) if probe.dataset.classes is not None else losses * 0
        sums = torch.stack([losses, right.double(), torch.full_like(losses, len(targets))], 1).tolist()
        for session, own, mine in zip(group.sessions, outputs, sums, strict=True):
            session.probe.ahead["outputs", split] = (own, targets)
            session.probe.ahead["sums", split] = tuple(mine)


def _declared(group: Group) -> set[Known]:
    """What the measures that are due say that they ask for, as far as it can be shared.

    So that the first evaluation after a kill is computed as it would have been without one.
    """
    asked: set[Known] = set()
    for measure in group.lead.measures.values():
        if measure.when == "evaluation" or (measure.when == "trained" and group.lead.clock.steps):
            asked |= set(measure.asks(group.lead.probe))
    named = {("outputs" if what == "sums" else what, split) for what, split in asked}
    return {known for known in named if known[0] in ("outputs", "norm")}

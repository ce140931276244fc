"""Which runs could train together in one process: those that take the same steps over other numbers."""

from __future__ import annotations

import hashlib
import json
from functools import cache

from batchlab.optimizers.needs import Closure, Moments, needs_of
from batchlab.optimizers.scope import scope_of
from batchlab.runner.plan.build import is_solver
from batchlab.runner.plan.loss import own_loss
from batchlab.runner.plan.optimizer import stand_in
from batchlab.runner.plan.schedules import make_sizes
from batchlab.runner.plan.schema import AUTO, TUNED, Node
from batchlab.runner.plan.uncompiled import uncompiled

APART = ("seed", "optimizer", "lr_schedule")
"""What runs of one key may differ in."""
OURS = "batchlab."
"""Where the solvers are of which it is known that a run leaves nothing behind for the next one in its process."""


def why_alone(tree: Node) -> str:
    """Why a run trains alone, in words that a dry run shows; empty where it may train with others of its `key`.

    Args:
        tree: the whole configuration of a valid run.
    """
    train = tree["train"]
    if is_solver(tree["optimizer"]):
        if tree.get("callback"):
            return "callbacks"
        return "" if str(tree["optimizer"]["_target_"]).startswith(OURS) else "a solver of one's own"
    if int(tree["nproc"]) > 1:
        return "several ranks"
    if train["compile"]:
        return "a compiled model"
    if train["micro_batch"] == AUTO:
        return f"train.micro_batch={AUTO}"
    if train["micro_batch"] == "auto":
        return "train.micro_batch=auto"
    if train["channels_last"]:
        return "channels_last"
    if tree.get("callback"):
        return "callbacks"
    if own_loss(train["loss"]):
        return "a loss of its own"
    return _of_schedule(_text(tree["batch_schedule"])) or _of_optimizer(_text(_less_rate(tree["optimizer"])))[0]


def key(tree: Node) -> str:
    """What runs that train together have in common, as a digest.

    Args:
        tree: the whole configuration of a run.
    """
    common = {name: value for name, value in tree.items() if name not in APART}
    if is_solver(tree["optimizer"]):
        return _digest(_text([common, _of_solver(tree["optimizer"])]))
    text = _text([common, _of_optimizer(_text(_less_rate(tree["optimizer"])))[1]])
    return _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _of_solver(node: Node) -> object:
    """What runs of solvers in one process have in common of the solver: they take their turns, each about as long.

    Where the step is tuned all of it, so that the first one's search is that of the others.
    """
    return node if node.get("step_size") == TUNED else node["_target_"]


def _less_rate(node: Node) -> Node:
    """An optimizer but for its learning rate."""
    return {name: value for name, value in node.items() if name != "lr"}


@cache
def _of_optimizer(text: str) -> tuple[str, str]:
    """Why runs of an optimizer train alone, and what those that train together must have in common of it."""
    with uncompiled():  # else torch imports its compiler, which takes seconds here and again at the exit
        optimizer = stand_in(json.loads(text))
    needs, scope = needs_of(optimizer), scope_of(optimizer)
    if isinstance(needs, Closure):  # it takes several gradients a step: all of the group must
        return ("" if scope == "elements" else "closures that look at a whole model"), text
    if isinstance(needs, Moments):
        if needs.estimator not in (None, "groups"):
            return "per-sample statistics", ""
        return "", repr(needs)
    return "", ""


@cache
def _of_schedule(text: str) -> str:
    schedule = make_sizes(json.loads(text))
    if isinstance(needs_of(schedule), Moments) or not schedule.deterministic:
        return "a batch that adapts"
    return ""


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)

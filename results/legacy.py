"""What batchlab 0.1 said otherwise: before `measure` was an axis, its choices were switches in the `log` block.

Its override keys (`log.gsnr=true`), its frozen files and its identities hold, and its runs are read in today's terms: a
run that was trained then is the same run now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SWITCHES = {
    "train_accuracy": "TrainScores",
    "batchnorm_reestimated": "ReestimatedBatchNorm",
    "full_gradient_norm": "FullGradientNorm",
    "full_gradient_norm_paper": "PaperGradientNorm",
    "gsnr": "LayerGSNR",
    "parameters": "Parameters",
}
"""Measures that were switches, by the name that both have, and their classes."""
ALWAYS = {"scores": "Scores"}
LATER = {"batchlab.datasets.images.npz": "vocabulary", "batchlab.datasets.tabular.libsvm": "standardize"}
"""Keys that data sets were given later, by their readers."""


def switch(key: str) -> str | None:
    """The measure that an override key of old turned on and off; None for other keys.

    >>> switch("log.gsnr"), switch("log.steps")
    ('gsnr', None)
    """
    block, _, name = key.partition(".")
    return name if block == "log" and name in SWITCHES else None


def upgraded(tree: dict[str, Any]) -> dict[str, Any]:
    """A frozen configuration in today's terms; one that is already is returned as it is."""
    log = tree.get("log")
    if "measure" in tree or not isinstance(log, Mapping):
        return tree
    chosen = [*ALWAYS, *(name for name in SWITCHES if log.get(name))]
    measure = {name: _node(name) for name in chosen}
    return tree | {"log": {k: v for k, v in log.items() if k not in SWITCHES}, "measure": measure}


def identified(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree as its identity is taken: packaged measures as the switches they were, any other under `measure`.

    A key that 0.1 did not have is left out where it says nothing.
    """
    tree = _without_silent(_without_marks(_without_stairs(tree)))
    measure, log = tree.get("measure"), tree.get("log")
    if not isinstance(measure, Mapping) or not isinstance(log, Mapping):
        return tree
    plain = {name for name in (*ALWAYS, *SWITCHES) if measure.get(name) == _node(name)}
    own = {name: node for name, node in measure.items() if name not in plain}
    own |= {name: None for name in ALWAYS if name not in measure}
    rest = {key: value for key, value in tree.items() if key != "measure"}
    rest["log"] = {**log, **{name: name in plain for name in SWITCHES}}
    return rest | ({"measure": own} if own else {})


def _without_stairs(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree without `lr_schedule.warmup_stairs`, which 0.1 did not have, where it says nothing."""
    node = tree.get("lr_schedule")
    if not isinstance(node, Mapping) or not str(node.get("_target_")).startswith("batchlab.optimizers."):
        return dict(tree)
    if node.get("warmup_stairs") is not None and node.get("warmup_every") is None:
        return dict(tree)
    return {**tree, "lr_schedule": {key: value for key, value in node.items() if key != "warmup_stairs"}}


def _without_marks(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree without `log.evaluations`, which 0.1 did not have, where it says nothing."""
    log = tree.get("log")
    if not isinstance(log, Mapping) or log.get("evaluations") is not None:
        return dict(tree)
    return {**tree, "log": {key: value for key, value in log.items() if key != "evaluations"}}


def _without_silent(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree without a key of a data set's that 0.1 did not have, where it says nothing."""
    node = tree.get("dataset")
    key = LATER.get(str(node.get("_target_"))) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping) or key is None or node.get(key):
        return dict(tree)
    return {**tree, "dataset": {name: value for name, value in node.items() if name != key}}


def _node(name: str) -> dict[str, Any]:
    return {"name": name, "_target_": f"batchlab.runner.measures.{(ALWAYS | SWITCHES)[name]}"}

"""Whether there is memory for a model where it trains, asked before anything is made."""

from __future__ import annotations

from torch import nn

from batchlab.datasets.memory import check_fits
from batchlab.runner.plan.build import arguments
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.schema import RunConfig

LOCAL = "batchlab.runner.launch.executors.local.LocalExecutor"
"""The executor whose machine is this one."""


def check_memory(config: RunConfig, model: nn.Module) -> None:
    """See that a model's weights, and on the CPU their gradients, fit into memory.

    Each is on the CPU first. What activations and an optimizer's averages take comes on top and is not counted, so that
    what is refused could not have worked.

    Args:
        config: of the run.
        model: perhaps on the meta device.

    Raises:
        ConfigError: they do not.
    """
    if config.executor.get("_target_") != LOCAL:
        return
    numbers = sum(p.numel() for p in model.parameters()) + sum(b.numel() for b in model.buffers())
    copies = 2 if config.train.device == "cpu" else 1
    needed = numbers * (8 if config.train.precision == "float64" else 4) * copies
    what = "weights and gradients" if copies == 2 else "weights"
    keys = ", ".join(f"model.{key}" for key in arguments(config.model))
    name = f"model={config.model['name']}"
    try:
        check_fits(
            f"{name} has {numbers:,} numbers, whose {what} take", needed, f"make it smaller{f' ({keys})' * bool(keys)}"
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error

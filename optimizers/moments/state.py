"""All that a forward pass may leave behind in a model, kept so that the pass can be taken back."""

from __future__ import annotations

import random
import sys
from collections import deque
from typing import Any

import torch
from torch import Tensor, nn

from batchlab.optimizers.moments.inside import CONTAINERS, modules_in, within

MODULE = frozenset(vars(nn.Module()))  # attributes that are the module's own business


class ModelState:
    """A model's buffers, plain attributes, modes and random states at one moment.

    Plain containers are kept at any depth, with the tensors in them; of other objects that are no tensors or generators
    the objects are kept, not their contents.

    Args:
        parts: the modules, and functions (criteria), whose modules are meant.
        device: whose random state is kept beside the CPU's, Python's and NumPy's; None keeps no random states.
        parameters: also keep the parameters that are trained.
    """

    def __init__(self, *parts: object, device: torch.device | None = None, parameters: bool = False) -> None:
        modules = dict.fromkeys(m for part in parts for m in modules_in(part))
        plain = [m for m in modules if not isinstance(m, torch.jit.ScriptModule)]
        self._attributes = [(m, _attributes(m), dict(m._buffers)) for m in plain]
        given = (value for _, attributes, _ in self._attributes for k, value in attributes.items() if k not in MODULE)
        held = list(within(given))
        own = [t for t in held if isinstance(t, Tensor) and not isinstance(t, nn.Parameter) and t.grad_fn is None]
        buffers = [b for m in modules for b in m.buffers(recurse=False)]
        trained = [p for m in modules for p in m.parameters(recurse=False) if p.requires_grad and parameters]
        self._tensors = [(t, t.detach().clone()) for t in {id(t): t for t in (*own, *buffers, *trained)}.values()]
        self._containers = [(v, v.copy()) for v in held if type(v) in CONTAINERS]
        numpy = sys.modules.get("numpy")
        self._arrays = [(v, v.copy()) for v in held if numpy is not None and isinstance(v, numpy.ndarray)]
        self._generators = [(g, g.get_state()) for g in held if isinstance(g, torch.Generator)]
        self._device = device
        self._random: list[Any] | None = None if device is None else random_states(device)

    def drawn(self) -> list[Any]:
        """The random states now, those of the model's own generators included: equal to others where none was moved."""
        assert self._device is not None
        return [*random_states(self._device), *(g.get_state() for g, _ in self._generators)]

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back; what was kept stays kept."""
        for module, attributes, buffers in self._attributes:
            now = vars(module)
            for name in [name for name in _attributes(module) if name not in attributes]:
                del now[name]
            now.update(attributes)
            now["_buffers"].clear()
            now["_buffers"].update(buffers)
        for container, contents in self._containers:
            container.clear()
            (container.extend if isinstance(container, (list, deque)) else container.update)(contents)
        for array, content in self._arrays:
            array[...] = content
        for tensor, before in self._tensors:
            if not torch.equal(tensor, before):  # a copy counts as a change where something was kept of the tensor
                tensor.copy_(before)
        for generator, state in self._generators:
            generator.set_state(state)
        if self._random is not None and self._device is not None:
            set_random_states(self._device, self._random)


def _attributes(module: nn.Module) -> dict[str, Any]:
    """What a forward pass may set; how the module is applied (`passes.patched`) is not its to set."""
    return {name: value for name, value in vars(module).items() if name != "forward"}


def torch_random_states(device: torch.device) -> tuple[Tensor, Tensor]:
    """The random states of the CPU and of a GPU."""
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.empty(0)


def set_torch_random_states(device: torch.device, states: tuple[Tensor, Tensor]) -> None:
    """Put back what `torch_random_states` gave."""
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)


def random_states(device: torch.device) -> list[Any]:
    """The random states that a forward pass on this device may move: torch's, Python's and, if loaded, NumPy's."""
    numpy = sys.modules.get("numpy")
    return [*torch_random_states(device), random.getstate(), None if numpy is None else numpy.random.get_state()]


def set_random_states(device: torch.device, states: list[Any]) -> None:
    """Put back what `random_states` gave."""
    set_torch_random_states(device, (states[0], states[1]))
    random.setstate(states[2])
    if states[3] is not None:
        sys.modules["numpy"].random.set_state(states[3])


def same_states(one: list[Any], other: list[Any]) -> bool:
    """Whether nothing random was drawn between two moments."""
    torch_same = torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
    if not torch_same or one[2] != other[2]:
        return False
    if not all(torch.equal(a, b) for a, b in zip(one[4:], other[4:], strict=True)):
        return False
    if one[3] is None or other[3] is None:
        return one[3] is other[3]
    return bool(one[3][2] == other[3][2] and (one[3][1] == other[3][1]).all() and one[3][3:] == other[3][3:])

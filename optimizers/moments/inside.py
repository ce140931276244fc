"""What objects hold: plain containers at any depth, and the modules that a function comes by."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

from torch import nn

CONTAINERS = (list, dict, set, deque, OrderedDict, Counter, defaultdict)  # that can be emptied and filled again
_WALKED = frozenset((*CONTAINERS, tuple))


def within(values: Iterable[Any]) -> Iterator[Any]:
    """The values, and what their plain containers hold at any depth, each object once."""
    todo, seen = list(values), set()
    while todo:
        value = todo.pop()
        if type(value) in _WALKED or isinstance(value, tuple):
            if id(value) in seen:
                continue
            seen.add(id(value))
            todo += value.values() if isinstance(value, dict) else value
        yield value


def modules_in(part: object) -> list[nn.Module]:
    """The modules that a function uses, itself included, with theirs; of a module, its own.

    A function's are those that it closes over, has as defaults or names as globals; a partial's also its arguments; a
    method's and a callable object's also the object's attributes. Functions among these are looked into as well.
    """
    found: dict[nn.Module, None] = {}
    todo, seen = [part], set()
    while todo:
        thing = todo.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, nn.Module):
            found.update(dict.fromkeys(thing.modules()))
        elif isinstance(thing, partial):
            todo += within([thing.func, *thing.args, *thing.keywords.values()])
        elif isinstance(thing, MethodType):
            todo += [thing.__func__, thing.__self__, *_attributes(thing.__self__)]
        elif isinstance(thing, FunctionType):
            todo += [] if thing.__module__.startswith("torch.") else _used_by(thing)
        elif callable(thing) and not isinstance(thing, type):
            todo += [vars(type(thing)).get("__call__"), *_attributes(thing)]
    return list(found)


def _attributes(thing: object) -> list[Any]:
    own = isinstance(thing, type | nn.Module) or not hasattr(thing, "__dict__")
    return [] if own else list(within(vars(thing).values()))


def _used_by(function: FunctionType) -> list[Any]:
    cells = []
    for cell in function.__closure__ or ():
        try:
            cells.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            continue
    given = [*cells, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    named = [function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__]
    return list(within([*given, *named]))


def _names(code: CodeType) -> set[str]:
    inner = (_names(const) for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*inner)

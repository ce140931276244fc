"""From a configuration node to the object it names: `_target_` and its keyword arguments."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from batchlab.runner import exits
from batchlab.runner.plan import split
from batchlab.runner.plan.schema import ConfigError, Node

if TYPE_CHECKING:
    from batchlab.datasets import Dataset

NOT_ARGUMENTS = ("name", "_target_", "_partial_")
"""`_partial_` is Hydra's, of what is to be given more when it is called: so is all that batchlab builds."""
EXTRAS = {"pytorch_optimizer": "rivals"}
"""Packages that an extra of batchlab's brings, by the name that is imported."""
Built = TypeVar("Built")


def see_modules_beside_the_user() -> None:
    """A user's module lies beside the user's ./conf; last on the path, so that it hides nothing."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def locate(node: Node, axis: str) -> Callable[..., Any]:
    """The class or function that `_target_` names, also one within a class.

    Raises:
        ConfigError: when it cannot be imported, or called.
    """
    path = node.get("_target_")
    if not isinstance(path, str) or "." not in path:
        raise ConfigError(f"{axis}={node.get('name')}: `_target_` must be a dotted path to a class, got {path!r}")
    module, _, name = path.rpartition(".")
    see_modules_beside_the_user()
    choice = f"{axis}={node.get('name')}"
    try:
        target = getattr(_imported(module), name)
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package in EXTRAS:
            way = f"pip install 'batchlab[{EXTRAS[package]}]'"
            raise ConfigError(f"{choice} needs {package}, which is not installed: {way}") from error
        raise ConfigError(f"{choice}: cannot import {path} ({_placed(str(error), error)})") from error
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{choice}: cannot import {path} ({_placed(str(error), error)})") from error
    except SystemExit as error:
        raise ConfigError(f"{choice}: cannot import {path} ({exits.said(error)})") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a module of the user's own does when it is imported
        said = _placed(f"{type(error).__name__}: {error}", error)
        raise ConfigError(f"{choice}: cannot import {path} ({said})") from error
    if not callable(target):
        raise ConfigError(
            f"{choice}: {path} is of type {type(target).__name__}: `_target_` names a class or a function"
        )
    called: Callable[..., Any] = target
    return called


def _placed(said: str, error: BaseException) -> str:
    """What an error says, and the line of the user's own file that it came from, unless it names that file itself."""
    place = exits.own_line(error)
    file = os.path.basename(place.rpartition(":")[0])
    return said if not file or file in said else f"{said}, in {place}"


def _imported(path: str) -> Any:
    """The module of this path, or a class in one."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        module, _, name = path.rpartition(".")
        if not module or error.name != path:  # it is there, and imports what is not
            raise
        try:
            return getattr(_imported(module), name)
        except AttributeError:
            raise error from None


def arguments(node: Node) -> dict[str, Any]:
    """The node's keyword arguments for its target."""
    return {key: value for key, value in node.items() if key not in NOT_ARGUMENTS}


def check_arguments(node: Node, axis: str, *given: str, block: str = "") -> None:
    """See that the target takes the node's keys.

    Args:
        node: a choice's `_target_` and its keyword arguments.
        axis: what it is a choice of, for messages.
        *given: names of what the runner itself will pass.
        block: what its keys are written below, where that is not the axis.

    Raises:
        ConfigError: naming the override that the target does not take, or the one it misses.
    """
    target = locate(node, axis)
    try:
        named = inspect.signature(target).parameters
    except (ValueError, TypeError):  # one of C says nothing of its arguments
        return
    if any(p.kind is p.VAR_KEYWORD for p in named.values()):
        return
    for key in arguments(node):
        if key not in named:
            takes = ", ".join(p for p in named if p not in given) or "none"
            raise ConfigError(f"{block or axis}.{key}: {node['_target_']} takes no such argument (it takes: {takes})")


def build(node: Node, axis: str, *args: Any, **given: Any) -> Any:
    """Call the target with `args`, `given` and the node's own keys.

    Args:
        node: a choice's `_target_` and its keyword arguments.
        axis: what it is a choice of, for messages.
        *args: what the runner passes by place.
        **given: what the runner passes by name.

    Raises:
        ConfigError: with the axis in front, when the target refuses its arguments.
    """
    target = locate(node, axis)
    try:
        return target(*args, **given, **arguments(node))
    except SystemExit as error:
        raise ConfigError(f"{axis}={node.get('name')}: {exits.said(error)}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a class may index, divide or open what it is given: that too is said of the choice
        nulls = [f"{axis}.{key}" for key, value in node.items() if value is None]
        said = str(error)
        if nulls and isinstance(error, TypeError) and "None" in said:  # how Python compares None helps nobody
            said = f"is null meant for {' and '.join(nulls)}?"
        elif guilty := _guilty(target, node, axis, said, args, given):
            kind = "" if isinstance(error, (ValueError, TypeError)) else f"{type(error).__name__}: "
            said = f"{guilty}: {kind}{said or 'no more is said'}"
        elif not isinstance(error, (ValueError, TypeError)):
            given_keys = ", ".join(arguments(node))
            said = f"{type(error).__name__}: {said or 'no more is said'} (it was given: {given_keys or 'nothing'})"
        raise ConfigError(f"{axis}={node.get('name')}: {_placed(said, error)}") from error


def _guilty(
    target: Callable[..., Any], node: Node, axis: str, said: str, args: tuple[Any, ...], given: dict[str, Any]
) -> str:
    """The key and value without which the target takes the rest; empty where there is none, or the error names one.

    Args:
        target: what `node` names.
        node: a choice that the target refused.
        axis: what it is a choice of.
        said: the target's error.
        args: what the runner passes by place.
        given: what the runner passes by name.
    """
    own = arguments(node)
    if axis == "dataset" or any(re.search(rf"\b{re.escape(key)}\b", said) for key in own):  # data are not read again
        return ""
    for key, value in own.items():
        rest = {name: other for name, other in own.items() if name != key}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                target(*args, **given, **rest)
        except Exception:  # it is not this one alone
            continue
        way = ""
        if isinstance(value, str) and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", value, re.IGNORECASE):
            way = " (a text: write it without quotes, or ${oc.decode:${oc.env:NAME}} for a variable)"
        return f"{axis}.{key}={value!r}{way}"
    return ""


def checked(kind: type[Built], made: object, node: Node, axis: str) -> Built:
    """What a `_target_` made.

    Args:
        kind: what it must be.
        made: what it is.
        node: the choice.
        axis: what it is a choice of.

    Raises:
        ConfigError: it is not what its axis needs.
    """
    if not isinstance(made, kind):
        raise ConfigError(f"{axis}={node['name']}: {node['_target_']} makes no {kind.__name__}")
    return made


@contextmanager
def blaming(node: Node, axis: str) -> Iterator[None]:
    """Put the axis and its choice in front of what a choice refuses (a ValueError); a ConfigError names it already."""
    try:
        yield
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{axis}={node['name']}: {error}") from error


def load_dataset(node: Node) -> Dataset:
    """The data set that a `dataset` choice names: the subset, validation split and standardization that it asks for.

    Raises:
        ConfigError: when the reader refuses its arguments or the data, or returns something else; when there can be no
            such subset or validation split.
    """
    from batchlab.datasets import Dataset, standardized, with_validation

    node = split.settled(node)
    dataset = build(_with_parts(split.reader(node)), "dataset")
    if not isinstance(dataset, Dataset):
        raise ConfigError(
            f"dataset={node.get('name')}: {node['_target_']} returned {type(dataset).__name__}, not a Dataset: a "
            "DataFrame is dataset=frame, a torch Dataset dataset=torch_dataset"
        )
    try:
        if any(key in node for key in split.SUBSETS):
            from batchlab.datasets import with_subset  # most runs have none, and need not import it

            dataset = with_subset(dataset, node.get("subset"), node.get("test_subset"))
        if "validation" in node:
            dataset = with_validation(dataset, node["validation"], node["split_seed"])
        return standardized(dataset)
    except ValueError as error:
        raise ConfigError(f"dataset={node.get('name')}: {error}") from error


def parts_of(node: Node) -> dict[str, Node]:
    """What a `dataset` choice's reader is given made: blocks of `_target_` and arguments by its keys.

    Those keys are what `MADE` in the reader's file lists; a block without arguments may be its path.

    Raises:
        ConfigError: the reader cannot be imported, or such a key says something else.
    """
    keys = getattr(sys.modules.get(getattr(locate(node, "dataset"), "__module__", "")), "MADE", ())
    parts = {}
    for key in keys:
        said = node.get(key)
        block = {"_target_": said} if isinstance(said, str) else said
        if block is None:
            continue
        if not isinstance(block, dict) or "." not in str(block.get("_target_")):
            raise ConfigError(
                f"dataset.{key}={said}: what makes it is named by its dotted path, dataset.{key}=my_data.load, or by a "
                "block of `_target_` and arguments"
            )
        parts[key] = {"name": node.get("name")} | block
    return parts


def _with_parts(node: Node) -> Node:
    """A `dataset` choice whose parts are made."""
    return node | {key: build(block, "dataset") for key, block in parts_of(node).items()}


def is_solver(node: Node) -> bool:
    """Does an `optimizer` choice name a finite-sum solver (see plan/solver.py) rather than a torch optimizer?

    Raises:
        ConfigError: the target cannot be imported, or what it declares of its needs does not fit its methods.
    """
    from torch.optim import Optimizer  # torch: not for whoever only composes

    from batchlab.optimizers.needs import FiniteSum, needs_of

    target = locate(node, "optimizer")
    if isinstance(target, type) and issubclass(target, Optimizer):  # asked once it is made: an instance may need more
        return False
    try:
        return isinstance(needs_of(target), FiniteSum)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"optimizer={node.get('name')}: {error}") from error

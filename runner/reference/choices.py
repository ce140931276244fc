"""What a choice's YAML file says: its comment, its target, and each key with type, default and meaning."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchlab.results.store.yaml_file import read_yaml
from batchlab.runner.line.offered import PACKAGED, UNSAID, WORDS, flat
from batchlab.runner.plan.schema import declared

OWNER = "batchlab."
COMMENT = re.compile(r"^(?P<indent> *)(?P<key>\w+):(?P<value>(?:[^#]|(?<=\S)#)*?)(?:\s+#\s*(?P<said>.*))?$")
USUAL = {
    "betas": "decay of the running means of the gradient and of its square",
    "eps": "added where something is divided by",
    "foreach": "all tensors of a group at a time (true), one at a time (false), or by device (null)",
    "fused": "torch's fused kernel",
    "lr": "learning rate; a schedule multiplies it",
    "maximize": "climb instead of descend",
    "momentum": "share of the last step's direction that is kept",
    "nesterov": "look ahead: Nesterov's form of momentum",
    "root": "data root; null: BATCHLAB_DATA, or ~/.cache/batchlab",
    "weight_decay": "pulls each weight to 0 at this rate",
}
"""What keys mean that have one meaning wherever a file says nothing of them."""
TOLD = {"train.micro_batch": "whole number, or auto", "train.loss": "text, or a block with `_target_`"}
"""Types that no default says."""


@dataclass(frozen=True)
class Key:
    """A key of a configuration.

    Attributes:
        name: Below its block, dotted where it is nested.
        kind: Its type, in words.
        default: As YAML writes it.
        meaning: In a line; empty where nobody wrote one.
    """

    name: str
    kind: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Choice:
    """What a file of an axis offers.

    Attributes:
        name: What is chosen.
        said: The comment that the file begins with, in one paragraph.
        target: What is built; empty where nothing is.
        keys: What can be overridden.
    """

    name: str
    said: str
    target: str
    keys: list[Key]


def choices(group: str) -> list[Choice]:
    """The packaged choices of an axis, by name."""
    return [read(path) for path in sorted((PACKAGED / group).glob("*.yaml"))]


def read(path: Path, block: str = "") -> Choice:
    """What a file says.

    Args:
        path: Of a choice, or conf/config.yaml.
        block: Of the second, whose keys are wanted, as `train`.
    """
    text = path.read_text(encoding="utf-8")
    tree = read_yaml(path)
    assert isinstance(tree, dict)
    head = re.match(r"(?:#.*\n)*", text)
    lines = [line[1:].strip() for line in (head[0] if head else "").splitlines() if not line.startswith("# @package")]
    target = str(tree.get("_target_", ""))
    written = {key: value for key, value in (tree[block] if block else tree).items() if key not in UNSAID}
    said = _comments(text, block)
    known = _arguments(target)
    keys = []
    for name, value in flat(written).items():
        meaning = said.get(name) or known.get(name, ("", ""))[1] or USUAL.get(name.rpartition(".")[2], "")
        full = f"{block}.{name}" if block else f"{path.parent.name}.{name}"
        keys.append(Key(name, kind(full, value, known.get(name, ("", ""))[0], meaning), shown(value), meaning))
    return Choice(path.stem, " ".join(lines), target, keys)


def kind(key: str, default: Any, annotation: str = "", meaning: str = "") -> str:
    """The type of a key in words: of its default, or where that says nothing as the target declares it.

    >>> kind("optimizer.lr", 0.1), kind("optimizer.size", None, "int | None"), kind("train.precision", "float32")
    ('number', 'whole number or null', 'one of float32, float64, bfloat16')
    """
    if key in TOLD or key.endswith(".foreach"):
        return TOLD.get(key, "true or false or null")
    if key in WORDS and key != "train.loss":
        return f"one of {', '.join(WORDS[key])}"
    if isinstance(default, bool):
        return "true or false"
    if default == "???":
        return _named(annotation) or "text"
    if default is None:
        type_ = declared(key)
        said = _named(annotation) or (NAMES.get(type_.__name__, "") if type_ else "")
        return f"{said} or null" if said else "any, or null"
    for one, words in ((int, "whole number"), (float, "number"), (str, "text"), (list, "list"), (dict, "block")):
        if isinstance(default, one):
            wider = one is int and re.search(r"\bfloat\b", annotation)
            return ("number" if wider else words) + (" or null" if re.search(r"\bNone\b", annotation) else "")
    return "value"


NAMES = {
    "bool": "true or false",
    "int": "whole number",
    "float": "number",
    "str": "text",
    "Path": "path",
    "list": "list",
    "tuple": "list",
    "Sequence": "list",
}


def _named(annotation: str) -> str:
    """An annotation in words; empty where it says nothing that a reader of YAML knows."""
    plain = re.sub(r"\[[^\[\]]*\]", "", re.sub(r"\[[^\[\]]*\]", "", annotation))
    words = [NAMES.get(part.strip().rpartition(".")[2], "") for part in plain.split("|") if part.strip() != "None"]
    return " or ".join(dict.fromkeys(filter(None, words)))


def shown(value: Any) -> str:
    """A default as YAML writes it.

    >>> shown(None), shown(True), shown([0.9, 0.999]), shown("???")
    ('null', 'true', '[0.9, 0.999]', 'required')
    """
    if value == "???":
        return "required"
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    return str(value)


def _comments(text: str, block: str) -> dict[str, str]:
    """Dotted key -> the comment on its line, below a block or of the whole file."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = COMMENT.match(line)
        if match is None or not match["key"]:
            continue
        depth = len(match["indent"])
        path = [(d, key) for d, key in path if d < depth] + [(depth, match["key"])]
        name = ".".join(key for _, key in path)
        if block and not name.startswith(f"{block}."):
            continue
        if match["said"]:
            found[name.removeprefix(f"{block}.") if block else name] = match["said"].strip()
    return found


def documented(target: str) -> str:
    """The first line of what the docstring of a target of ours says; empty for anybody else's."""
    made = resolved(target)
    return (inspect.getdoc(made) or "").partition("\n")[0] if made is not None else ""


def _arguments(target: str) -> dict[str, tuple[str, str]]:
    """Argument -> annotation and meaning, of a target of ours: what others' say differs from version to version."""
    made = resolved(target)
    if made is None:
        return {}
    texts: dict[str, str] = {}
    annotations: dict[str, str] = {}
    for one in reversed(inspect.getmro(made)) if inspect.isclass(made) else (made,):
        if not str(one.__module__).startswith(OWNER):
            continue
        texts |= described(inspect.getdoc(one) or "")
        makes = one.__dict__.get("__init__", one) if inspect.isclass(one) else one
        hints: Mapping[str, Any] = getattr(makes, "__annotations__", {})
        annotations |= {name: str(getattr(hint, "__name__", hint)) for name, hint in hints.items()}
    return {name: (annotations.get(name, ""), texts.get(name, "")) for name in {*texts, *annotations}}


def described(docstring: str) -> dict[str, str]:
    r"""Argument -> meaning, as a Google docstring's Args have it.

    >>> described("Do.\n\nArgs:\n    a: the first,\n        of two.\n    b, c: others.\n\nReturns:\n    None")
    {'a': 'the first, of two', 'b': 'others', 'c': 'others'}
    """
    match = re.search(r"^Args:\n((?: +.*\n?|\n(?= +))+)", docstring, re.MULTILINE)
    found = {}
    for names, text in re.findall(r"^ {4}([\w, *]+): (.*(?:\n {5,}.*)*)", match[1] if match else "", re.MULTILINE):
        for name in names.replace("*", "").split(","):
            found[name.strip()] = " ".join(text.split()).rstrip(".")
    return found


def resolved(target: str) -> Any:
    """The class or function that a `_target_` of ours names; None of anybody else's."""
    if not target.startswith(OWNER):
        return None
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)

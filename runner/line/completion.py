"""What Tab offers: overrides, sweeps, axes, values and metrics. Neither torch, pandas, pyarrow nor Hydra is imported.

What runs have is read from the records of sweeps (`.sweeps/`) and from the configurations of a few runs; nothing is
cached. `install` and the scripts of the shells are typer's.
"""

from __future__ import annotations

import io
import itertools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

import typer

from batchlab.results.axes import AXES, NEUTRAL, RECORDING, within
from batchlab.results.compare.quantities import QUANTITIES, declared
from batchlab.results.store.runs import RunStore
from batchlab.results.words import as_typed, meant, parted, quoted, respelled, visible
from batchlab.runner.line import offered

LOOKED_AT = 40
"""Of so many runs configurations are read: a tenth of a second."""
CLOCKS = ("samples", "steps", "epochs", "passes", "gradients", "seconds", "flops")
MARKS = "+~"
"""What an override may begin with."""


PLAIN = re.compile(r"[+~]{0,2}[\w.@]+=.*")
"""An override among the words of a line."""
CONDITION = re.compile(r"(.*,)?([\w.]+)=([^=]*)")
"""The last of several conditions: what stands before it, its axis, its values."""


def overrides(context: typer.Context, incomplete: str) -> list[str]:
    """`optimizer=shb,nshb`, `optimizer.lr=`, `train.epochs=`."""
    word = incomplete.lstrip(MARKS)
    mark = incomplete[: len(incomplete) - len(word)]
    before = [text for text in context.params.get("overrides") or () if isinstance(text, str)]
    before = before or [text for text in os.environ.get("COMP_WORDS", "").split("\n") if PLAIN.fullmatch(text)]
    if "@" in word and "=" not in word:
        key, _, typed = word.partition("@")
        chosen = dict(text.partition("=")[::2] for text in before).get(key.partition(".")[0], "")
        return [f"{mark}{key}@{choice}=" for choice in parted(chosen) if choice.startswith(typed)]
    known = dict.fromkeys(offered.GROUPS) | offered.keys(before)
    if "=" in word:
        key, _, typed = word.partition("=")
        return [f"{mark}{key}={value}" for value in _listed(typed, offered.values(key, known.get(key)))]
    found = _keys(word, known)
    if len(found) == 1 and found[0].endswith("."):
        found = _keys(found[0], known)
    if len(found) == 1 and found[0].endswith("="):  # never alone, as the shell would put a space behind it
        found += [found[0] + value for value in offered.values(found[0][:-1], known[found[0][:-1]])]
    return [mark + text for text in found]


def zipped(context: typer.Context, incomplete: str) -> list[str]:
    """`--zip KEY,KEY`: the keys of the overrides."""
    given = [text for text in context.params.get("overrides") or () if isinstance(text, str)]
    given = given or [text for text in os.environ.get("COMP_WORDS", "").split("\n") if PLAIN.fullmatch(text)]
    return _listed(incomplete, [text.lstrip(MARKS).partition("=")[0] for text in given])


def tuned(context: typer.Context, incomplete: str) -> list[str]:
    """`--tune KEY=V,V` of `compare`: as an override, less the choices."""
    return [text for text in overrides(context, incomplete) if text.partition("=")[0] not in offered.GROUPS]


def sweeps(context: typer.Context, incomplete: str) -> list[str]:
    """The sweeps of a store, the latest first."""
    try:
        return [name for name in reversed(_store(context).sweeps()) if name.startswith(incomplete)]
    except (ValueError, OSError):  # no folder: the command says so
        return []


def axes(context: typer.Context, incomplete: str) -> list[str]:
    """Axes, labels and keys of the runs; several with commas between."""
    return _listed(incomplete, _telling(_axes(context), incomplete))


def conditions(context: typer.Context, incomplete: str) -> list[str]:
    """`AXIS=VALUE,VALUE,AXIS=VALUE` of the runs."""
    known = _axes(context)
    begun = CONDITION.fullmatch(incomplete)
    if begun is None:
        found = [f"{name}=" for name in _telling(known, incomplete) if name.startswith(incomplete)]
        return [*found, *(found[0] + value for value in known[found[0][:-1]])] if len(found) == 1 else found
    before, key, typed = begun.groups(default="")
    head, comma, last = typed.rpartition(",")
    more = [f"{head},{name}=" for name in _telling(known, last) if comma and name.startswith(last) and name != key]
    return [f"{before}{key}={text}" for text in (*_listed(typed, known.get(key, ())), *more)]


def metrics(context: typer.Context, incomplete: str) -> list[str]:
    """Columns that batchlab writes or the runs declare, and what can be asked of one."""
    usual = [pattern for pattern, known in QUANTITIES if known.better and re.fullmatch(r"[a-z]\w*", pattern)]
    with suppress(ValueError, OSError):
        infos = [run.read_state().info for run in itertools.islice(_store(context).runs(), LOOKED_AT)]
        usual += [name for name, known in declared(infos).items() if known.better]
    asked, colon, _ = incomplete.rpartition(":")
    names = [f"{asked}{colon}{name}" for name in dict.fromkeys(usual)]
    ways = ["min:", "max:", "mean:", *(f"{clock}_to:" for clock in CLOCKS)] if not colon and incomplete else []
    return [text for text in (*names, *ways) if text.startswith(incomplete)]


def clocks(context: typer.Context, incomplete: str) -> list[str]:
    """What a figure can be drawn against: clocks, several with commas between, or a key that varies."""
    varying = [name for name, values in _axes(context).items() if len(values) > 1 and name != "seed"]
    return _listed(incomplete, [*CLOCKS, *varying])


def papers(incomplete: str) -> list[str]:
    """What `reproduce` completes to."""
    return [name for name in (*offered.files("reproduce"), "all") if name.startswith(incomplete)]


def callbacks(incomplete: str) -> list[str]:
    """What `runs export` completes to."""
    return [name for name in offered.files("callback") if name.startswith(incomplete)]


def data_sets(incomplete: str) -> list[str]:
    """What `data prepare` completes to."""
    folder = Path(__file__).resolve().parents[2] / "datasets" / "sets"
    return sorted(path.stem for path in folder.glob("[!_]*.py") if path.stem.startswith(incomplete))


def in_bash(app: Callable[..., Any]) -> None:
    """Answer bash, which wants of a word that it took apart the last part alone.

    Args:
        app: Completes; it reads COMP_WORDS and COMP_CWORD.
    """
    given, at = os.environ["COMP_WORDS"], int(os.environ["COMP_CWORD"])
    words, cut = rejoined((given.split("\n") if "\n" in given else given.split(" "))[: at + 1])
    os.environ |= {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    answer = io.StringIO()
    with redirect_stdout(answer), suppress(SystemExit):
        app(prog_name="batchlab")
    if cut.startswith(
        "--"
    ):  # an option and its value in one word: what completes the value knows nothing of the option
        cut = cut.partition("=")[2]
    print("\n".join(visible(line.removeprefix(cut)) for line in answer.getvalue().splitlines()))


def rejoined(words: Sequence[str]) -> tuple[list[str], str]:
    """A line's words, which bash takes apart at `=` and `:`, and what of the last one bash holds for words before it.

    >>> rejoined(["batchlab", "sweep", "optimizer", "=", "sh"])
    (['batchlab', 'sweep', 'optimizer=sh'], 'optimizer=')

    Args:
        words: Up to the one at the cursor, which is empty where a new one begins.
    """
    whole: list[str] = []
    cut, glue = "", False
    for word in words:
        breaks = bool(word) and not word.strip("=:")
        if whole and word and (breaks or glue):
            cut = whole[-1] + (word if breaks else "")
            whole[-1] += word
        else:
            cut = ""
            whole.append(word)
        glue = breaks
    return whole, cut


def _keys(word: str, known: Iterable[str]) -> list[str]:
    """Keys that begin so: whole ones once a point was typed, before that the first part of each."""
    if "." in word:
        return [f"{key}=" for key in known if key.startswith(word)]
    blocks = {f"{key.partition('.')[0]}.": None for key in known if "." in key}
    plain = [f"{key}=" for key in known if "." not in key]
    return sorted(text for text in (*plain, *blocks) if text.startswith(word))


def _listed(typed: str, among: Iterable[str]) -> list[str]:
    """The last of several values with commas between, those before it as they were typed."""
    cut = max(typed.rfind(","), typed.rfind("[")) + 1
    head, last = typed[:cut], typed[cut:]
    used = parted(head.strip("[").rstrip(","))
    return [head + value for value in among if value.startswith(last) and value not in used]


def _store(context: typer.Context) -> RunStore:
    return RunStore(Path(context.params.get("runs") or "runs").expanduser())


def _axes(context: typer.Context) -> dict[str, list[str]]:
    """Axes and their values, of a sweep where one is named: those that vary first."""
    found: dict[str, dict[str, None]] = {axis: {} for axis in AXES}
    with suppress(ValueError, OSError):  # damaged: the command says so
        store, named = _store(context), context.params.get("sweep")
        sweeps = [store.sweep(named)] if named else store.manifests()[0]
        entries = [entry for one in sweeps for entry in one.entries]
        for entry in entries:
            for key, value in entry.labels.items():
                found.setdefault(key, {})[as_typed(value)] = None
            for text in entry.overrides:
                key, _, value = text.lstrip(MARKS).partition("=")
                found.setdefault(key, {})[quoted(meant(respelled(value)))] = None
        runs = (store.run(entry.run_id) for entry in entries) if named else store.runs()
        for run in itertools.islice(runs, LOOKED_AT):
            tree = offered.document(run.config)
            for key, value in offered.flat(tree).items():
                if not within(key, (*NEUTRAL, *RECORDING)):
                    found.setdefault(key, {})[as_typed(value)] = None
            for axis in AXES:
                value = tree.get(axis)
                if value is not None:
                    found[axis][as_typed(value.get("name") if isinstance(value, dict) else value)] = None
    order = sorted(found, key=lambda key: (len(found[key]) < 2, key not in AXES))
    return {key: [*found[key]] for key in order}


def _telling(known: dict[str, list[str]], typed: str) -> list[str]:
    """All names, or before anything was typed those that tell runs apart."""
    return [name for name, values in known.items() if typed or name in AXES or len(values) > 1]

"""What mends an override that is none in Hydra's grammar: the same, as it has to be typed in a shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

Parse = Callable[[str], object]
"""The value of an override; raises where it is none. Of one that asks for several, anything but a text."""

WORD = re.compile(r"""[^,\[\](){}"']+""")
PLAIN = re.compile(r"[+~]{0,2}[A-Za-z_][\w]*([.@/:][A-Za-z0-9_]+)*", re.ASCII)


def mending(text: str, parse: Parse) -> str:
    """How to write what was meant.

    Args:
        text: what is no override.
        parse: Hydra's parser.
    """
    key, equals, value = text.partition("=")
    if not equals:
        return _without_equals(text, parse)
    tidy = f"{key.strip().lstrip('-').strip()}={value.strip()}"
    if tidy != text and _value(tidy, parse) is not None:
        return f"write {shlex.quote(tidy)}, without spaces or dashes"
    key = tidy.partition("=")[0]
    if "[" in key:
        return f"an element has no key of its own: write the whole list, {key.partition('[')[0]}=[...]"
    if "@" in key and not re.fullmatch(r"[^@]+@[^@]+", key):
        return (
            f"after an @ comes the choice that it is for, one at a time: {key.partition('@')[0]}@CHOICE={value.strip()}"
        )
    if not PLAIN.fullmatch(key):
        return "a key is words of the letters a to z, digits and _ with dots between, and = comes next"
    if value.startswith("=") and isinstance(_value(f"{key}{value}", parse), (int, float)):
        return f"write {shlex.quote(f'{key}{value}')}, with one ="
    fewer = re.sub(r",(\s*,)+", ",", value).strip(", ")
    if fewer != value and _value(f"{key}={fewer}", parse) is not None:
        return f"a comma stands between two values: write {shlex.quote(f'{key}={fewer}')}"
    return _quoted(key, value.strip(), parse)


def _without_equals(text: str, parse: Parse) -> str:
    """Of a text that gives no value: which option or key it could be."""
    key, colon, value = text.strip().partition(":")
    if text.startswith("-"):
        return "an option of batchlab comes before the overrides, and an override is key=value without dashes"
    if colon and PLAIN.fullmatch(key) and _value(f"{key}={value.strip()}", parse) is not None:
        return f"write {shlex.quote(f'{key}={value.strip()}')}"
    if PLAIN.fullmatch(text.strip()):
        return f"write {text.strip()}=VALUE, without spaces around the ="
    return "write key=value"


def _quoted(key: str, value: str, parse: Parse) -> str:
    """Advice to quote the value, or those of its words that need it."""
    whole = f'{key}="{_escaped(_uninterpolated(value))}"'
    words = f"{key}={WORD.sub(lambda word: _word(word[0], parse), value)}"
    advice = []
    if _is_open(value):
        advice.append("close its brackets and quotes")
    for candidate in dict.fromkeys((words, whole)):
        found = _value(candidate, parse)
        if found is not None and (candidate == words or found == _uninterpolated(value)):
            advice.append(f"quote this value (=, accents and most signs need it), in a shell as {_in_shell(candidate)}")
            if candidate == words != whole and "," in value and not value.startswith(("[", "{")):
                advice.append(f"if its commas are part of one value, as {_in_shell(whole)}")
            break
    return ", or ".join(advice) or "quote this value"


def literally(text: str) -> str:
    """Advice to quote the value of an override, for who means it as it stands."""
    key, _, value = text.partition("=")
    whole = f'{key}="{_escaped(value)}"'
    return f"; for this very text write {_in_shell(whole)}"


def _uninterpolated(value: str) -> str:
    """A value in which an interpolation that never ends is text."""
    return value.replace("${", r"\${") if value.count("${") > value.count("}") else value


def _word(word: str, parse: Parse) -> str:
    """A word between commas and brackets, quoted where it is none without."""
    bare = word.strip()
    return f'"{_escaped(bare)}"' if bare and _value(f"x={bare}", parse) is None else word


def _is_open(value: str) -> bool:
    """Whether a bracket or a quote has no partner."""
    return any(value.count(a) != value.count(b) for a, b in ("[]", "()", "{}")) or any(
        value.count(q) % 2 for q in "'\""
    )


def _escaped(text: str) -> str:
    """For a place within quotes: backslashes count only before one."""
    text = re.sub(r'(\\*)"', r'\1\1\\"', text)
    return re.sub(r"(\\+)$", r"\1\1", text)


def _in_shell(override: str) -> str:
    """An override as a shell takes it: in quotes at any rate, as it has some of its own."""
    quoted = shlex.quote(override)
    return quoted if quoted.startswith(("'", '"')) else f"'{override}'"


def _value(text: str, parse: Parse) -> object | None:
    """What an override gives, None where it is none; an empty text where it gives null."""
    try:
        found = parse(text)
    except Exception:  # Hydra's parser raises errors of several libraries
        return None
    return "" if found is None else found

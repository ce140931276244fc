"""Words for people: counts, lists, captions. Standard library only; every wing may use them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

HIDDEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""Control characters but for ends of lines, what takes no room, and what turns the direction of what follows."""


def visible(text: str) -> str:
    r"""A text whose control characters are seen and do nothing: escapes to a terminal, text that runs backwards.

    >>> visible("\x1b[31mred\x07"), visible("a\r\nb\tc"), visible("\u202eabc")
    ('\\x1b[31mred\\x07', 'a\nb\\tc', '\\u202eabc')
    """
    if text.isprintable():  # tells most texts in no time
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def caption(labels: Mapping[str, Any], overrides: Sequence[str]) -> str:
    """What sets a run apart in its sweep.

    >>> caption({"experiment": "CNN", "test": "norm test"}, ["seed=3"])
    'CNN · norm test seed=3'
    >>> caption({"tuning": True, "whole": False, "part": "toy"}, [])
    'tuning · toy'
    >>> caption({"rate": 1e-05}, ["optimizer.lr=1000000.0"])
    '1e-5 optimizer.lr=1e6'
    """
    said = ((key, value) for key, value in labels.items() if value != "" and value is not False)
    named = " · ".join(key if value is True else written(value) for key, value in said)
    return " ".join([*([named] if named else []), *map(told, overrides)])


def count(n: int, noun: str, plural: str = "") -> str:
    """A number with its noun.

    >>> count(1, "run"), count(1200, "run"), count(2, "batch", "batches")
    ('1 run', '1,200 runs', '2 batches')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def written(value: Any) -> str:
    """A value of a configuration as people write it, the same in tables, curves and lists.

    >>> [written(value) for value in (0.3, 1e-09, 1000000000.0, 50000.0, 0.1 + 0.2, 1234567.0, 1.5e-5)]
    ['0.3', '1e-9', '1e9', '50000', '0.3', '1234567', '1.5e-5']
    >>> [written(value) for value in (8192, True, None, "adam", [0.9, 1e-8], float("nan"), 0.123456789)]
    ['8192', 'true', 'null', 'adam', '[0.9, 1e-8]', 'nan', '0.123456789']
    """
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(written, value))}]"
    return _shortest(value, 1e-12) if isinstance(value, float) else str(value)


def exact(value: float) -> str:
    """A number as people write it that reads back as the same to the last bit.

    >>> [exact(value) for value in (1e6, 1e-09, 50000.0, 0.1 + 0.2, 1.5e-5, -0.0, float("-inf"))]
    ['1e6', '1e-9', '50000', '0.30000000000000004', '1.5e-5', '0', '-inf']
    """
    return _shortest(value, 0.0)


def _shortest(value: float, noise: float) -> str:
    """The shortest of the ways to write a number.

    Args:
        value: The number.
        noise: The share of it that may be left out, as of a sum: two values that differ are never written alike.
    """
    found = ((text, float(text)) for text in (f"{value:.6g}", f"{value:.12g}", repr(value)))
    texts = [exponent(text) for text, read in found if abs(read - value) <= noise * abs(value)]
    short = min(texts, key=len, default=repr(value))
    plain = f"{value + 0.0:.0f}" if value.is_integer() else short  # -0.0 is 0
    return plain if len(plain) <= len(short) or abs(value) < 1e6 else short


_WHOLE = r"(?:0|[1-9](?:_?\d)*)"
_POINT = rf"(?:{_WHOLE}?\.\d(?:_?\d)*|{_WHOLE}\.)"
_NUMBER = rf"[+-]?(?:(?:{_POINT}|{_WHOLE})[eE][+-]?\d(?:_?\d)*|{_POINT})"
_SPELT = re.compile(rf"'[^']*'|\"[^\"]*\"|(?<![^[,])( *)({_NUMBER}|(?i:true|false))(?= *(?:[],]|$))")
"""What is quoted, or what Hydra's grammar takes for a truth, or a number that need not be whole; or in a list."""


def respelled(value: str) -> str:
    """A value in Hydra's grammar with its numbers as people write them, truths as YAML has them; it says the same.

    >>> [respelled(text) for text in ("1000000.0", "[0.90, 1e-08]", "['1.0', 1.0]", "x 1.0", "interval(0.0,1.0)")]
    ['1e6', '[0.9, 1e-8]', "['1.0', 1]", 'x 1.0', 'interval(0.0,1.0)']
    >>> [respelled(text) for text in ("True", "[False,'True']", "Truest")]
    ['true', "[false,'True']", 'Truest']

    Args:
        value: What calls a function, refers to a key or escapes something stays as it is.
    """
    if not {*value}.isdisjoint("($\\"):
        return value

    def short(found: re.Match[str]) -> str:
        text = found[2]
        return found[0] if not text else found[1] + (text.lower() if text.isalpha() else exact(float(text)))

    return _SPELT.sub(short, value)


def told(override: str) -> str:
    """An override with its numbers as people write them, truths as YAML has them; it says the same.

    >>> told("optimizer.lr=1000000.0"), told("~optimizer.lr"), told("optimizer.nesterov=True")
    ('optimizer.lr=1e6', '~optimizer.lr', 'optimizer.nesterov=true')
    """
    key, equals, value = override.partition("=")
    return f"{key}{equals}{respelled(value)}"


def exponent(text: str) -> str:
    """A number in scientific notation as short as it can be said.

    >>> exponent("1e-09"), exponent("4.00e+33"), exponent("0.25")
    ('1e-9', '4.00e33', '0.25')
    """
    return re.sub(r"e([+-])0*(?=\d)", lambda sign: "e" + sign[1].replace("+", ""), text)


def duration(seconds: float, *, fine: bool = False) -> str:
    """A length of time as it is read at a glance.

    >>> duration(12.34), duration(245.0), duration(7800.0), duration(12.34, fine=True), duration(0.0123, fine=True)
    ('12 s', '4 min 05 s', '2 h 10 min', '12.3 s', '0.012 s')

    Args:
        seconds: At least 0.
        fine: With three digits below a minute: of what is over, not of what is counted.
    """
    whole = round(seconds)
    if whole < 60:
        if not fine or seconds == 0:
            return f"{whole} s"
        return f"{seconds:.1f} s" if seconds >= 1 else f"{exponent(f'{seconds:.2g}')} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def brief(text: str, most: int = 100) -> str:
    r"""The first sentence of what another program said, cut off where it is long.

    >>> brief("RuntimeError: no such kernel. Please file a bug report.\n at line 3"), brief("one two three", 9)
    ('RuntimeError: no such kernel', 'one two …')

    Args:
        text: Any.
        most: Letters.
    """
    lines = text.strip().splitlines()
    first = re.split(r"(?<=[.!?;])\s", lines[0], maxsplit=1)[0].rstrip(".;") if lines else ""
    return first if len(first) <= most else f"{first[: most - 1].rpartition(' ')[0] or first[: most - 2]} …"


def listing(items: Sequence[str]) -> str:
    """Several words as one phrase.

    >>> listing(["a"]), listing(["a", "b"]), listing(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def parted(text: str) -> list[str]:
    """Values with commas between; a comma within a list or within quotes is part of its value.

    >>> parted("shb, nshb"), parted("[64, 128],[32]"), parted("'a,b',it's")
    (['shb', 'nshb'], ['[64, 128]', '[32]'], ["'a,b'", "it's"])
    """
    parts, start, depth, i = [], 0, 0, 0
    begins = True  # only there a quote or a bracket is more than a letter
    while i < len(text):
        letter = text[i]
        if letter in "'\"" and begins and (end := text.find(letter, i + 1)) > 0:
            i = end
        elif letter == "[" and (begins or depth):
            depth += 1
        elif letter == "]" and depth:
            depth -= 1
        elif letter == "," and not depth:
            parts.append(text[start:i].strip())
            start = i + 1
        begins = letter in ",[=" or (begins and letter == " ")
        i += 1
    return [*parts, text[start:].strip()]


def unquoted(text: str) -> str:
    """A value without the quotes around it.

    >>> unquoted("'a, b'"), unquoted("it's"), unquoted('""')
    ('a, b', "it's", '')
    """
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def meant(text: str) -> str:
    r"""The value that an override gives: without the quotes around it, a plain `${` where it says `\${`.

    >>> meant(r"'\${b}'"), meant("[64,128]")
    ('${b}', '[64,128]')
    """
    return unquoted(text).replace(r"\${", "${")


def quoted(text: str) -> str:
    """A value as it can be typed where `parted` takes it apart.

    >>> quoted("shb"), quoted("[64, 128]"), quoted("a, b"), quoted("a=b")
    ('shb', '[64, 128]', '"a, b"', '"a=b"')
    """
    others = "'\""  # what comes after it may have quotes, which one that is open in it must not find
    whole = parted(f"{text},{others}") == [text, others] and "=" not in text  # after a comma a=b is another condition
    if whole and not text.startswith(("'", '"')) and text:
        return text
    return f"'{text}'" if '"' in text else f'"{text}"'


def spelled(value: Any) -> str:
    """A value of a run with all its digits, as an override says it.

    >>> spelled(1e6), spelled(0.1 + 0.2), spelled(True), spelled(None)
    ('1e6', '0.30000000000000004', 'true', 'null')
    """
    return exact(value) if isinstance(value, float) else written(value)


def as_typed(value: Any) -> str:
    """A value of a run as it is typed after `=` of a condition, which finds it.

    >>> as_typed(1e6), as_typed("a, b"), as_typed(None)
    ('1e6', '"a, b"', 'null')
    """
    return quoted(spelled(value))


def spelt(text: str) -> Any:
    """What a value is, however it is written: `[64,128]` and `[64, 128.0]` are the same.

    >>> spelt("[64,128]") == spelt("[64, 128.0]"), spelt("1e-1") == spelt("0.1"), spelt("['a', None]")
    (True, True, ('a', 'null'))
    """
    if text.startswith("[") and text.endswith("]"):
        return tuple(spelt(part) for part in parted(text[1:-1]) if part)
    bare = unquoted(text)
    try:
        return float(bare)
    except ValueError:
        return {"none": "null", "true": "true", "false": "false"}.get(bare.lower(), bare)

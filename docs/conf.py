"""The site: `make docs` builds it into build/docs. The pages are plain Markdown, readable where they lie."""

from __future__ import annotations

import io
import re
from html import escape
from typing import Any

from matplotlib import rc_context
from matplotlib.mathtext import math_to_image

project = "batchlab"
author = "the batchlab authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes as a list, not each as an entry that `rows` in another text would be linked to
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # the anchors that a reader of the repository sees
suppress_warnings = ["myst.header"]  # generated sections begin below the heading that they stand under
exclude_patterns = ["results/**"]

highlight_language = "none"  # formulas in docstrings are no Python; blocks that are say so

html_theme = "furo"
html_title = "batchlab"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_math_renderer = "mathtext"  # see `setup`: a page fetches nothing from elsewhere
html_static_path = ["_static"]
html_css_files = ["site.css"]

LINK = re.compile(r"^- \[([^\]]+)\]\(([^)#:]+)\.md\)", re.MULTILINE)


def _with_trees(app: Any, name: str, source: list[str]) -> None:
    """The order of pages is written once, as the lists of links of an index; Sphinx wants it as trees."""
    if name.rpartition("/")[2] != "index":
        return
    first, *sections = re.split(r"^## ", source[0], flags=re.MULTILINE)
    trees = []
    for section in ["\n" + first, *sections]:
        if links := LINK.findall(section):
            caption = section.partition("\n")[0]
            said = [f":caption: {caption}"] if caption else []
            trees.append("\n".join(["```{toctree}", ":hidden:", *said, "", *(f"{t} <{p}>" for t, p in links), "```"]))
    source[0] += "\n\n" + "\n\n".join(trees) + "\n"


SPELT = (
    (r"\\[lr]Vert\b", r"\\|"),
    (r"\\[dt]frac", r"\\frac"),
    (r"\\frac(\w)(\w)", r"\\frac{\1}{\2}"),
    (r"(\\frac\{(?:[^{}]|\{[^{}]*\})*\})(\w)", r"\1{\2}"),
    (r"\\sqrt (\w)", r"\\sqrt{\1}"),
    (r"\\(le|ge)\b", r"\\\1q"),
    (r"\\text\b", r"\\mathrm"),
    (r"\\[bB]ig[glr]?\b", ""),
)
"""What matplotlib, which draws formulas, spells otherwise."""


def _drawn(formula: str) -> str:
    """A formula as a drawing in the page, in the text's colour; as it was written where it cannot be drawn."""
    formula = re.sub(r"\\\\|&|\\begin\{\w+\}|\\end\{\w+\}", " ", formula).strip().rstrip(",.;")
    for pattern, instead in SPELT:
        formula = re.sub(pattern, instead, formula)
    image = io.BytesIO()
    try:
        with rc_context(
            {"svg.fonttype": "path", "svg.hashsalt": "batchlab", "mathtext.fontset": "cm", "font.size": 12}
        ):
            depth = math_to_image(f"${' '.join(formula.split())}$", image, format="svg", dpi=72)
    except ValueError:
        return f"<code>{escape(formula)}</code>"
    svg = image.getvalue().decode()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    style = f'class="formula" role="img" aria-label="{escape(formula)}" style="vertical-align: {-depth:.1f}pt"'
    return svg.replace("<svg", f"<svg {style}", 1)


def _inline(writer: Any, node: Any) -> None:
    from docutils.nodes import SkipNode

    writer.body.append(_drawn(node.astext()))
    raise SkipNode


def _displayed(writer: Any, node: Any) -> None:
    from docutils.nodes import SkipNode

    lines = [line for line in re.split(r"\\\\", node.astext()) if line.strip()]
    writer.body.append(f'<div class="formula">{"<br>".join(map(_drawn, lines))}</div>')
    raise SkipNode


def _called_attributes(app: Any, config: Any) -> None:
    """What Google's style calls attributes are variables to Sphinx."""
    for field in app.registry.domains["py"].directives["class"].doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"


def _as_rst(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with `code` and indented formulas; Sphinx reads reStructuredText."""
    made: list[str] = []
    block = False
    for i, line in enumerate(lines):
        indented = line.startswith("    ")
        if line.strip() and not indented:
            block = False
        elif indented and not block and _begins_block(lines[:i]):
            made += ["::", ""]
            block = True
        made.append(line if block or line.lstrip().startswith((">>>", "...")) else _spelt(line))
    lines[:] = made


def _begins_block(before: list[str]) -> bool:
    """Whether an indented line begins a block: below text and an empty line, not among the entries of `Args:`."""
    last = next((line for line in reversed(before) if line), " ")
    return before[-1:] == [""] and not last.startswith(" ") and not last.endswith("::")


def _spelt(line: str) -> str:
    """A line in which nothing but `code` is marked."""
    parts = re.split(r"(?<!`)`([^`]+)`(?!`)", line)
    return "".join(
        f"``{part}``" if i % 2 else re.sub(r"(?<!\s)([|*_])(?!\w)|([|*])", r"\\\1\2", part)
        for i, part in enumerate(parts)
    )


def _signature(app: Any, what: str, name: str, thing: Any, options: Any, said: str, returned: str) -> Any:
    """Nobody calls a protocol: it has no arguments of its own."""
    return ("", None) if getattr(thing, "_is_protocol", False) else None


def setup(app: Any) -> None:
    """What Sphinx calls."""
    app.connect("config-inited", _called_attributes)
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _as_rst, priority=400)  # before napoleon
    app.connect("source-read", _with_trees)
    app.add_html_math_renderer("mathtext", (_inline, None), (_displayed, None))

"""The page of results and what the README shows of it, as text, from recorded sweeps."""

from __future__ import annotations

from collections.abc import Sequence

from batchlab.results.page.section import Recorded, bare, picture, section, sheets
from batchlab.results.page.verdicts import counts, in_short
from batchlab.results.papers.beside import setting
from batchlab.results.show.render import in_markdown, render
from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.words import listing

SHOWN = ("vrgd", "adadagrad", "numerical_sgd")
"""Of which of these, the first that was recorded on CIFAR-10, the README has a figure and a table."""
BEGIN, END = "<!-- results: `make results` writes what stands until the end mark -->", "<!-- end of results -->"
INTRODUCTION = """# Results

Our own runs of the papers' comparisons, and what they say of the papers' claims, each on a page of its own:
question, method, what is known of the paper, commands, tables, verdicts. `make results` writes this page and those
parts from the archives in `results/reproduced/`, and a test sees that they are theirs: no number was written by hand.

Scale `desk` is a desk's: two cores and an hour or two for each, a thin network and a part of the data; scale `laptop`
is minutes, on problems as small as digits. The papers
trained larger networks on more data for longer, so compare which method is better and not how good it is. Where the
same method was published on the same data, the difference to ours is given in standard deviations of ours over seeds
(sd), and with it why the two may differ. [How verdicts come about](verdicts.md).
"""
NONE = "Nothing is recorded yet: `batchlab reproduce PAPER --scale desk` trains a comparison.\n"


def page(recorded: Sequence[Recorded], missing: Sequence[str] = ()) -> str:
    """The whole page, in Markdown.

    Args:
        recorded: What there is, in its order.
        missing: Papers of which nothing was recorded.
    """
    overview = render(_overview(recorded), "markdown").split("\n", 2)[2]  # without its title
    parts = [_drawn_from(recorded), INTRODUCTION, _linked(overview, recorded) if recorded else NONE]
    if recorded and missing:
        parts.append(f"Not recorded yet: {listing([f'`{paper}`' for paper in missing])}.\n")
    return "\n".join(parts)


def paper_part(recorded: Sequence[Recorded]) -> str:
    """What stands between the marks of a paper's page.

    Args:
        recorded: What there is of this paper, one for each scale.
    """
    return "\n".join([BEGIN, _drawn_from(recorded), *map(section, recorded), END])


def block(recorded: Sequence[Recorded]) -> str:
    """What the README shows between its marks: a figure and a table of a network on CIFAR-10."""
    found = {one.made.paper: one for one in recorded if _on_cifar10(one)}
    chosen = next((found[paper] for paper in SHOWN if paper in found), None)
    if chosen is None:
        return f"{BEGIN}\n{END}"
    made = chosen.made
    question = f"{in_markdown(chosen.front.question)} " if chosen.front.question else ""
    lines = [
        BEGIN,
        _drawn_from([chosen]),
        f"{question}({in_markdown(made.reference)}; {in_markdown(_trained(chosen))}.)\n",
        *picture(chosen, "docs/"),
        *(render(bare(sheet), "markdown") for sheet in sheets(chosen)[:1]),
        f"In short: {in_markdown(in_short(made.claims))}. [Each claim, what was run and how it differs from what was "
        f"published](docs/{chosen.place}); `batchlab reproduce {made.paper} --scale {chosen.scale} "
        "--recorded --full` prints all of it from runs that are in the repository, without training.",
        END,
    ]
    return "\n".join(lines)


def within(page: str, text: str) -> str:
    """A page with the block in place of the one that it has.

    Raises:
        ValueError: It has not both marks, once each.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in after:
        raise ValueError(f"the page needs the line {BEGIN} and, after it, {END}, once each")
    return f"{before}{text}{after}"


def _drawn_from(recorded: Sequence[Recorded]) -> str:
    """What nobody sees: the archives that all of it was made from."""
    return f"<!-- from {listing([one.origin for one in recorded]) or 'nothing yet'} -->"


def _overview(recorded: Sequence[Recorded]) -> Sheet:
    """A line for each: where the claims came to, and what was trained."""
    heads = ("comparison", "hold", "do not hold", "no difference", "not decided", "trained on")
    columns = [Column((head,), "right" if 0 < i < 5 else "left") for i, head in enumerate(heads)]
    rows = []
    for one in recorded:
        found = [Text(str(n) if one.front.verdicts else "") for n in counts(one.made.claims)]
        rows.append([Text(one.made.title), *found, Text(_trained(one))])
    return Sheet("", columns, rows)


def _linked(text: str, recorded: Sequence[Recorded]) -> str:
    """The overview, each comparison leading to its page."""
    for one in recorded:
        title = in_markdown(one.made.title)
        text = text.replace(f"| {title} ", f"| [{title}]({one.place}) ", 1)
    return text


def _trained(one: Recorded) -> str:
    return setting(one.frame.select(lambda run: bool(run.config)))


def _on_cifar10(one: Recorded) -> bool:
    return any(run.value("dataset") == "cifar10" for run in one.frame.runs)

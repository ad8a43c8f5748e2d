"""What pages quote of the examples' output: the same words, and nearly the same numbers, as are printed today.

A block of a page that begins ``<!-- example: NAME -->`` quotes what docs/examples/NAME.py prints; three dots stand for
lines that are left out. A sentence that goes on in the next line, further in, is one: where it is broken depends on its
numbers. ``python tests/docs/quoting.py`` runs the examples and fills in today's output.
"""

import difflib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "docs" / "examples"
PEERS = REPOSITORY / ".venv-peers"
LEFT_OUT = "..."
GOES_ON = re.compile(r" {24}\S| {2,3}\S(?!.*  )")
"""A line that belongs to the one before it: rows of a name and what is told have two spaces between."""
BLOCK = re.compile(r"(<!-- example: (\w+) -->\n```text\n)(.*?)(```\n<!-- end -->)", re.DOTALL)
NUMBER = re.compile(r"(± )?(\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)")
ALIKE = 0.6
"""Share of a line's words from which today's line is taken for the one that was quoted."""


class Quote(NamedTuple):
    """A block of a page."""

    page: Path
    example: str
    lines: list[str]


def pages() -> list[Path]:
    """Return the pages that may quote."""
    return sorted((*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("docs/symptoms/*.md")))


def quotes() -> list[Quote]:
    """Return every block of every page."""
    return [
        Quote(page, name, [line for line in unwrapped(text) if line != LEFT_OUT])
        for page in pages()
        for _, name, text, _ in BLOCK.findall(page.read_text(encoding="utf-8"))
    ]


def unwrapped(text: str) -> list[str]:
    """Return what was printed, each sentence and row with the lines that it goes on in."""
    found: list[str] = []
    for line in text.splitlines():
        if found and GOES_ON.match(line):
            found[-1] += f"\n{line}"
        else:
            found.append(line)
    return found


def words_of(line: str) -> str:
    """Return a line without its numbers."""
    return " ".join(NUMBER.sub("#", line).split())


def is_same(quoted: str, printed: str) -> bool:
    """Return whether two lines have the same words, and numbers that differ by no more than two machines' do."""
    if words_of(quoted) != words_of(printed):
        return False
    pairs = zip(NUMBER.findall(quoted), NUMBER.findall(printed), strict=True)
    return all(_is_near(_value(a), _value(b), is_error=bool(sign)) for (sign, a), (_, b) in pairs)


def _value(number: str) -> float:
    return float(number.replace(",", ""))


def _is_near(a: float, b: float, *, is_error: bool) -> bool:
    return abs(a - b) <= 0.02 + (0.6 if is_error else 0.15) * max(a, b)


def missing(quote: Quote, printed: str) -> list[str]:
    """Return the lines that are quoted and not printed, in their order."""
    rest, lost = iter(unwrapped(printed)), []
    for line in quote.lines:
        if not any(is_same(line, each) for each in rest):
            lost.append(line)
            rest = iter(unwrapped(printed))
    return lost


def filled(text: str, printed_by: Callable[[str], str | None]) -> str:
    """Return a page with today's output in its blocks; None leaves a block as it is."""

    def block(found: re.Match[str]) -> str:
        printed = printed_by(found[2])
        if printed is None:
            return found[0]
        lines = today(unwrapped(found[3]), unwrapped(printed))
        return found[1] + "".join(f"{line}\n" for line in lines) + found[4]

    return BLOCK.sub(block, text)


def today(quoted: list[str], printed: list[str]) -> Iterator[str]:
    """Give for each quoted line the printed one that has most of its words, after the one before it."""
    at = 0
    for line in quoted:
        if line == LEFT_OUT:
            yield line
            continue
        share = [difflib.SequenceMatcher(None, words_of(line), words_of(each)).ratio() for each in printed[at:]]
        if not share or max(share) < ALIKE:
            sys.stderr.write(f"not printed today, choose anew: {line}\n")
            yield line
            continue
        at += share.index(max(share)) + 1
        yield printed[at - 1]


def python_for(example: str) -> Path:
    """Return the program that an example is for: what is named after a library is for the environment that has it."""
    return PEERS / "bin" / "python" if example.startswith("with_") else Path(sys.executable)


def main() -> None:
    """Fill the pages."""
    ran: dict[str, str | None] = {}

    def printed_by(example: str) -> str | None:
        if example not in ran:
            command = [python_for(example), Path(__file__).with_name("example_run.py"), EXAMPLES / f"{example}.py"]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            ran[example] = json.loads(done.stdout.splitlines()[-1])["printed"] if done.returncode == 0 else None
            sys.stderr.write(done.stderr if done.returncode else f"{example}: run\n")
        return ran[example]

    for page in pages():
        text = page.read_text(encoding="utf-8")
        page.write_text(filled(text, printed_by), encoding="utf-8")


if __name__ == "__main__":
    main()

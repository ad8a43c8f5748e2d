"""``python -m benchmarks.truth.verdicts``: judges the models of the zoo, and prints what was said and what is true."""

import argparse
import csv
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.truth.interventions import Case, case_of
from benchmarks.truth.zoo import zoo

HEAD = (
    "data", "latent_dim", "kl_weight", "fault", "verdict", "truth", "also", "stake", "stake_error", "at_most",
    "longer", "longer_error", "one_more", "one_more_error",
)  # fmt: skip
WORDS = ("healthy", "pruned", "collapsed", "starved", "undertrained", "undecided")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.truth.verdicts", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="take every N-th model only")
    parser.add_argument("--first", type=int, default=0, help="begin at this one")
    parser.add_argument("--output", type=Path, help="write a line for each model there, as CSV")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console, cases, started = Console(markup=False, highlight=False), [], time.monotonic()
    for animal in list(zoo())[options.first :: options.every]:
        case = case_of(animal)
        cases.append(case)
        told = [f"{time.monotonic() - started:6.0f} s", *line(case), case.verdict.sentence]
        console.print(" | ".join(told), soft_wrap=True)
        if options.output:
            write(options.output, cases)
    console.print(confusion([dict(zip(HEAD, line(case), strict=True)) for case in cases]))


def line(case: Case) -> list[str]:
    """Return a case as text, in the order of ``HEAD``."""
    numbers = [*case.verdict.stake, case.verdict.at_most, *case.longer, *case.one_more]
    animal = case.animal
    about = [animal.kind, str(animal.latent_dim), f"{animal.kl_weight:g}", animal.fault]
    about += [case.verdict.word, case.truth, case.also]
    return about + [f"{number:.3f}" for number in numbers]


def write(path: Path, cases: list[Case]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([HEAD, *map(line, cases)])


def confusion(rows: Sequence[Mapping[str, str]]) -> str:
    """Return tables of what was said against what is true, of the lines of a file."""
    count = Counter((row["truth"], row["verdict"]) for row in rows)
    lines = [f"| truth, and said: | {' | '.join(WORDS)} |", "| --- |" + " ---: |" * len(WORDS)]
    lines += [f"| {truth} | {' | '.join(str(count[truth, word]) for word in WORDS)} |" for truth in WORDS[:-1]]
    right = sum(row["verdict"] in (row["truth"], row["also"]) for row in rows)
    undecided = sum(row["verdict"] == "undecided" for row in rows)
    return "\n".join([*lines, "", f"{len(rows)} models: {right} right, {undecided} undecided."])


if __name__ == "__main__":
    main()

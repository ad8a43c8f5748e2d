"""``python -m benchmarks.truth.verdicts``: judges the models of the zoo, and prints what was said and what is true."""

import argparse
import csv
import time
from collections import Counter
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.truth.interventions import Case, case_of
from benchmarks.truth.zoo import zoo

HEAD = (
    "data", "latent_dim", "kl_weight", "fault", "verdict", "truth", "stake", "stake_error", "at_most",
    "longer", "longer_error", "one_more", "one_more_error",
)  # fmt: skip


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
    console.print(confusion(cases))


def line(case: Case) -> list[str]:
    """Return a case as text, in the order of ``HEAD``."""
    numbers = [*case.verdict.stake, case.verdict.at_most, *case.longer, *case.one_more]
    animal = case.animal
    about = [animal.kind, str(animal.latent_dim), f"{animal.kl_weight:g}", animal.fault, case.verdict.word, case.truth]
    return about + [f"{number:.3f}" for number in numbers]


def write(path: Path, cases: list[Case]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([HEAD, *map(line, cases)])


def confusion(cases: list[Case]) -> str:
    """Return a table of what was said, against what is true."""
    words = ["healthy", "pruned", "collapsed", "starved", "undertrained", "undecided"]
    count: Counter[tuple[str, str]] = Counter((case.truth, case.verdict.word) for case in cases)
    rows = [f"| truth \\ said | {' | '.join(words)} |", "| --- |" + " --- |" * len(words)]
    rows += [f"| {truth} | {' | '.join(str(count[truth, word]) for word in words)} |" for truth in words[:-1]]
    return "\n".join(rows)


if __name__ == "__main__":
    main()

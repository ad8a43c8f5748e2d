"""Rivals take turns, so that a machine whose pace drifts favours none: each is a process that works when it is told."""

import contextlib
import re
import subprocess
from collections.abc import Iterator, Sequence
from multiprocessing import Pipe
from pathlib import Path
from typing import NamedTuple

from benchmarks.bench import environment
from benchmarks.rivals.gate import TRAINING, VARIABLE

TO_STOP_S = 60.0
"""How long a rival may take to end before it is killed."""
Stretch = dict[str, float]
"""Seconds of each part of a stretch."""


class Entrant(NamedTuple):
    """A rival that has not been started."""

    name: str
    command: Sequence[str]
    n_threads: int | None
    """Threads of its process; None: nothing is set."""


class RivalError(Exception):
    """A rival ended by itself, with the last thing that it said."""


class Timed(NamedTuple):
    """What alternating found."""

    stretches: dict[str, list[Stretch]]
    """By the rivals' names: all have as many stretches."""
    failures: dict[str, str]
    """Why rivals were left out."""

    def seconds(self, name: str, part: str = TRAINING) -> list[float]:
        return [stretch[part] for stretch in self.stretches[name]]


class Rival:
    """A process that waits for its turn, with what it prints in a log."""

    def __init__(self, entrant: Entrant, folder: Path) -> None:
        self.log = folder / f"{entrant.name.replace(' ', '-')}.log"
        self.connection, theirs = Pipe()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                entrant.command,
                env={**environment(entrant.n_threads), VARIABLE: str(theirs.fileno()), "FORCE_COLOR": "1"},
                pass_fds=[theirs.fileno()],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        theirs.close()
        self._answer()  # once it stands at its first stretch

    def stretch(self) -> Stretch:
        """Let it work until its next stretch. Raises RivalError if it ends instead."""
        with contextlib.suppress(OSError):  # it has ended, which the answer tells
            self.connection.send(None)
        return self._answer()

    def _answer(self) -> Stretch:
        try:
            seconds: Stretch = self.connection.recv()
        except (EOFError, OSError) as error:
            self.close()
            raise RivalError(last_words(self.log.read_text(errors="replace"))) from error
        return seconds

    def close(self) -> None:
        """End the process: it sees that the pipe is closed, and stops."""
        self.connection.close()
        try:
            self.process.wait(TO_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def started(entrants: Sequence[Entrant], folder: Path) -> Iterator[tuple[dict[str, Rival], dict[str, str]]]:
    """Start the rivals one after another, and end them; give those that run, and why others do not."""
    rivals: dict[str, Rival] = {}
    failures: dict[str, str] = {}
    try:
        for entrant in entrants:
            try:
                rivals[entrant.name] = Rival(entrant, folder)
            except RivalError as error:
                failures[entrant.name] = str(error)
        yield rivals, failures
    finally:
        for rival in rivals.values():
            rival.close()


def alternate(entrants: Sequence[Entrant], folder: Path, n_rounds: int) -> Timed:
    """Let each rival work once a round, another one first each time, after a round to warm up."""
    with started(entrants, folder) as (rivals, failures):
        stretches: dict[str, list[Stretch]] = {name: [] for name in rivals}
        for number in range(n_rounds + 1):
            for name in rotated(list(rivals), number):
                try:
                    stretches[name].append(rivals[name].stretch())
                except RivalError as error:
                    failures[name] = str(error)
                    del rivals[name], stretches[name]
    return Timed({name: found[1:] for name, found in stretches.items()}, failures)


def rotated(names: Sequence[str], by: int) -> list[str]:
    """Return the names in their order, beginning ``by`` places further."""
    first = by % len(names) if names else 0
    return [*names[first:], *names[:first]]


def last_words(text: str) -> str:
    """Return the last line of what a process printed, without the paths of this machine."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).splitlines()]
    return without_paths(next((line for line in reversed(lines) if line), "it said nothing"))


def without_paths(text: str) -> str:
    """Return a text in which only the last part of each absolute path is left."""
    return re.sub(r"(?<![\w.])(?:/[\w.+@-]+){2,}", lambda path: path[0].rpartition("/")[2], text)

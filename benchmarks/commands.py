"""Commands as processes: the seconds they take, and the memory."""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.alternation import last_words
from benchmarks.bench import environment

POLL_S = 0.02


class CommandError(Exception):
    """A command failed, with the last thing that it said."""


def seconds_of(command: Sequence[str], n_threads: int | None = None, cwd: Path | None = None) -> float:
    """Run a command and return its seconds. Raises CommandError where it fails."""
    started = time.perf_counter()
    output_of(command, n_threads, cwd)
    return time.perf_counter() - started


def output_of(command: Sequence[str], n_threads: int | None = None, cwd: Path | None = None) -> str:
    """Run a command and return what it prints. Raises CommandError where it fails."""
    done = subprocess.run(command, env=environment(n_threads), cwd=cwd, check=False, capture_output=True, text=True)
    if done.returncode:
        raise CommandError(f"{Path(command[0]).name}: {last_words(done.stdout + done.stderr)}")
    return done.stdout


def told_seconds(code: str, n_threads: int | None = None) -> float:
    """Run a program of Python that measures itself, and return the seconds that it prints last."""
    return float(output_of([sys.executable, "-c", code], n_threads).splitlines()[-1])


def peak_megabytes(command: Sequence[str], cwd: Path | None = None) -> float:
    """Run a command and return the largest resident memory it had, by the kernel's own high-water mark."""
    # Not wait4's ru_maxrss, which a child inherits from this larger process when it is forked.
    kilobytes = 0
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment(None), cwd=cwd, stdout=quiet, stderr=quiet) as process:
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            kilobytes = max([kilobytes, *map(int, re.findall(r"VmHWM:\s+(\d+)", status))])
            time.sleep(POLL_S)
    if process.returncode:
        raise CommandError(f"{Path(command[0]).name}: exit code {process.returncode}")
    return kilobytes / 1024


def repeated(command: Sequence[str], times: int) -> list[float]:
    """Run a command several times and return the seconds of each."""
    return [seconds_of(command) for _ in range(times)]

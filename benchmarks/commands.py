"""Commands as processes: the seconds they take, and the memory."""

import re
import subprocess
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
    done = subprocess.run(command, env=environment(n_threads), cwd=cwd, check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise CommandError(f"{Path(command[0]).name}: {last_words(done.stdout + done.stderr)}")
    return seconds


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

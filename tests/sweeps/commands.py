"""A sweep as people start it: the command, in a process of its own."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple


class Sweep(NamedTuple):
    """A command, and where its runs and its faults lie."""

    command: list[str]
    runs: Path
    faults: Path
    environment: dict[str, str]

    @contextmanager
    def start(self, start_new_session: bool = False) -> Iterator[subprocess.Popen[str]]:
        """Start it; what it writes is read by whoever waits for it. A test that fails does not wait for its end."""
        with subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            start_new_session=start_new_session,
        ) as process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise

    def do(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command, capture_output=True, text=True, check=False, env=self.environment)


def until(found: Callable[[], Any], seconds: float = 300) -> Any:
    """Wait until something is there, and return it."""
    for _ in range(int(seconds / 0.1)):
        try:
            if result := found():
                return result
        except (OSError, ValueError):
            pass
        time.sleep(0.1)
    raise TimeoutError


def note(sweep: Sweep, fault: str, what: str, rank: int = 0) -> dict[str, Any]:
    """Return what a job with a fault noted about itself."""
    content: dict[str, Any] = json.loads((sweep.faults / f"{fault}.{what}.{rank}.json").read_text())
    return content

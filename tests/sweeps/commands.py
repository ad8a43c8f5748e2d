"""A sweep as people start it: the command, in a process of its own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


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

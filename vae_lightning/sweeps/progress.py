"""The progress of a sweep for a person: a live table on a terminal, plain lines elsewhere."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from vae_lightning.runs.status import RunStatus
from vae_lightning.sweeps.curve_tail import CurveTail
from vae_lightning.sweeps.jobs import Job
from vae_lightning.terminal import plain_table, print_line

REDRAWN_S, SUMMARY_S = 0.5, 60.0
"""How often the table is drawn on a terminal; how often the counts are printed elsewhere."""
STYLES = {
    RunStatus.RUNNING: "cyan",
    RunStatus.FAILED: "red",
    RunStatus.INTERRUPTED: "yellow",
    RunStatus.FINISHED: "green",
    RunStatus.WAITING: "dim",
}
"""A style for each status; in a table with little room the first ones are shown first."""


@dataclass
class SweepProgress:
    """Shows jobs while they are worked on, as a context: call ``update`` often, ``status_changed`` at each change."""

    jobs: Sequence[Job]
    console: Console
    where: str
    """On what the jobs are done, for the heading."""
    clock: Callable[[], float] = time.monotonic
    curve_tails: dict[int, CurveTail] = field(default_factory=dict)
    live: Live | None = None
    silent: bool = False

    def __post_init__(self) -> None:
        self.distinct = [job for job in self.jobs if job.same_as is None]
        self.began = self.drawn = self.clock()

    def __enter__(self) -> "SweepProgress":
        with self._silent_when_closed():
            if self.console.is_terminal:
                self.live = Live(self._page(), console=self.console, auto_refresh=False)
                self.live.start()
            else:
                print_line(self.console, f"sweep: {self._counts()}; {self.where}")
            for job in self.jobs:
                if not job.waits:
                    self._show_change(job)
        return self

    def __exit__(self, *_: object) -> None:
        self._draw()
        with self._silent_when_closed():
            if self.live and not self.silent:
                self.live.stop()

    @contextlib.contextmanager
    def _silent_when_closed(self) -> Iterator[None]:
        """Print nothing more once the terminal or pipe is closed, which is no reason to stop a sweep."""
        try:
            yield
        except (OSError, SystemExit):  # rich answers a closed pipe with an exit
            self.silent = True

    def status_changed(self, job: Job) -> None:
        """Show the new status of a job."""
        if not self.silent:
            with self._silent_when_closed():
                self._show_change(job)

    def _show_change(self, job: Job) -> None:
        if job.status is not RunStatus.RUNNING:
            self.curve_tails.pop(job.number, None)
        if self.live:
            self._draw()
            tried_again = job.status is RunStatus.WAITING and job.attempts
            if job.status is RunStatus.FAILED or tried_again or job.same_as is not None:
                print_line(self.console, f"{job.status.upper()} {job.number} {job.name}: {job.note}")
        else:
            found = f": {job.note}" if job.note else ""
            if (results := job.results) and job.same_as is None:
                units = len(results["test/kl_per_unit"])
                active = f"active units {results['test/active_units']}/{units}"
                found += f"  ELBO {results['test/elbo']:.2f}  KL {results['test/kl']:.2f}  {active}"
            spent = f"  {job.seconds:.0f} s" if job.seconds else ""
            print_line(self.console, f"{job.status} {job.number} {job.name}{found}{spent}")

    def update(self) -> None:
        """Draw the table again, at most twice a second."""
        if self.clock() - self.drawn >= (REDRAWN_S if self.live else SUMMARY_S):
            self._draw()

    def _draw(self) -> None:
        """Draw the table again, or print the counts, unless nobody is there to read them."""
        self.drawn = self.clock()
        if self.silent:
            return
        with self._silent_when_closed():
            if self.live:
                self.live.update(self._page(), refresh=True)
            else:
                print_line(self.console, f"sweep: {self._counts()}")

    def _counts(self) -> str:
        counts = Counter(job.status for job in self.distinct)
        return ", ".join(f"{counts[status]} {status}" for status in RunStatus if counts[status])

    def _page(self) -> RenderableType:
        table = plain_table()
        table.expand = True
        for column in ("job", "epoch", "ELBO", "KL", "active", "left"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        table.add_column("run", no_wrap=True, overflow="ellipsis", ratio=1)
        for job in self._by_urgency()[: max(4, self.console.height - 12)]:  # with some lines of the terminal left free
            table.add_row(*self._row(job), Text(job.status, STYLES[job.status]), Text(job.name))
        return Group(Text(f"sweep on {self.where}: {self._counts()}{self._time_left()}", "bold"), table)

    def _by_urgency(self) -> list[Job]:
        """Return the running jobs, the failed, those that ended last, those that wait, those finished before."""
        order = list(STYLES)

        def rank(job: Job) -> tuple[int, float]:
            if job.status is not RunStatus.FINISHED:
                return order.index(job.status), float(job.number)
            return order.index(job.status) if job.attempts else len(order), -(job.began + job.seconds)

        return sorted(self.distinct, key=rank)

    def _row(self, job: Job) -> tuple[str, ...]:
        if found := job.results:
            values = (f"{found['test/elbo']:.2f}", f"{found['test/kl']:.2f}", str(found["test/active_units"]))
            return str(job.number), str(found["epochs"]), *values, ""
        if job.status is not RunStatus.RUNNING:
            return str(job.number), "", "", "", "", ""
        n_epochs = int(job.run.trainer["max_epochs"])
        tail = self.curve_tails.setdefault(job.number, CurveTail(job.run.directory, n_epochs, self.clock))
        tail.update()
        left = tail.seconds_left()
        values = (tail.number("elbo", 2), tail.number("kl", 2), tail.number("active_units", 0))
        return str(job.number), tail.epoch, *values, "" if left is None else in_words(left)

    def _time_left(self) -> str:
        """Return how long the rest will take at the pace so far."""
        n_done = sum(job.status is RunStatus.FINISHED and job.attempts > 0 for job in self.jobs)
        n_left = sum(job.waits or job.status is RunStatus.RUNNING for job in self.jobs)
        return f"; about {in_words((self.clock() - self.began) / n_done * n_left)} left" if n_done and n_left else ""


def in_words(seconds: float) -> str:
    """Return a length of time with a unit that a person would choose."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"

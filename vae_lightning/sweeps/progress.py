"""What a person sees of a sweep: a live table on a terminal, plain lines elsewhere."""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vae_lightning.sweeps.curve_tail import CurveTail
from vae_lightning.sweeps.jobs import Job, Standing

REDRAWN_S = 0.5
SUMMARY_S = 60.0
"""Without a terminal, how often the counts are told."""
ROWS_BESIDE = 12
"""Lines of a terminal that the table leaves to others."""
STYLES = {
    Standing.RUNNING: "cyan",
    Standing.DONE: "green",
    Standing.FINISHED_BEFORE: "green dim",
    Standing.SAME: "dim",
    Standing.FAILED: "red",
    Standing.STOPPED: "yellow",
    Standing.WAITING: "dim",
}


class SweepProgress:
    """Shows jobs while they are worked on. Use it as a context; call ``look`` often and ``tell`` at each change."""

    def __init__(self, jobs: Sequence[Job], console: Console, where: str) -> None:
        self.jobs = jobs
        self.console = console
        self.where = where
        """On what the jobs are done, for the heading."""
        self.began = self.drawn = time.monotonic()
        self.watches: dict[int, CurveTail] = {}
        self.live: Live | None = None
        self.silent = False

    def __enter__(self) -> "SweepProgress":
        with self._heard():
            self._open()
        return self

    def _open(self) -> None:
        if self.console.is_terminal:
            self.live = Live(self._page(), console=self.console, auto_refresh=False)
            self.live.start()
        else:
            self._print(f"sweep: {self._counts()}; {self.where}")
        for job in self.jobs:
            if job.standing is not Standing.WAITING:
                self._tell(job)

    def __exit__(self, *_: object) -> None:
        with self._heard():
            if self.silent:
                pass
            elif self.live:
                self._draw()
                self.live.stop()
            else:
                self._print(f"sweep: {self._counts()}")

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        """Go on in silence where nobody listens any more: a closed terminal or pipe is no reason to stop a sweep."""
        try:
            yield
        except (OSError, SystemExit):  # rich answers a closed pipe with an exit
            self.silent = True

    def tell(self, job: Job) -> None:
        """Say that a job's standing has changed."""
        if not self.silent:
            with self._heard():
                self._tell(job)

    def _tell(self, job: Job) -> None:
        if job.standing is not Standing.RUNNING:
            self.watches.pop(job.number, None)
        if self.live:
            self._draw()
            if job.standing is Standing.FAILED or job.reason.endswith("again"):
                self._print(f"{job.standing.upper()} {job.number} {job.name}: {job.reason}")
        else:
            found = f": {job.reason}" if job.reason else ""
            if results := job.results:
                units = len(results["test/kl_per_unit"])
                active = f"active units {results['test/active_units']}/{units}"
                found += f"  ELBO {results['test/elbo']:.2f}  KL {results['test/kl']:.2f}  {active}"
            spent = f"  {job.seconds:.0f} s" if job.seconds else ""
            self._print(f"{job.standing} {job.number} {job.name}{found}{spent}")

    def look(self) -> None:
        """Bring the table up to date, at most twice a second."""
        now = time.monotonic()
        if self.silent or now - self.drawn < (REDRAWN_S if self.live else SUMMARY_S):
            return
        self.drawn = now
        with self._heard():
            if self.live:
                self._draw()
            else:
                self._print(f"sweep: {self._counts()}")

    def _print(self, line: str) -> None:
        self.console.print(line, soft_wrap=True, highlight=False, markup=False)

    def _draw(self) -> None:
        assert self.live is not None  # noqa: S101 (only called where it is)
        self.drawn = time.monotonic()
        self.live.update(self._page(), refresh=True)

    def _counts(self) -> str:
        counts = Counter(job.standing for job in self.jobs)
        return ", ".join(f"{counts[standing]} {standing}" for standing in Standing if counts[standing])

    def _page(self) -> RenderableType:
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), expand=True)
        for column in ("job", "epoch", "ELBO", "KL", "active", "left"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        table.add_column("run", no_wrap=True, overflow="ellipsis", ratio=1)
        room = max(4, self.console.height - ROWS_BESIDE)
        for job in self._most_telling()[:room]:
            table.add_row(*self._row(job), Text(job.standing, STYLES[job.standing]), job.name)
        heading = Text(f"sweep on {self.where}: {self._counts()}{self._time_left()}", "bold")
        return Group(heading, table)

    def _most_telling(self) -> list[Job]:
        """Return the running jobs, then the failed, then those that ended last, then those that wait."""
        order = [
            Standing.RUNNING,
            Standing.FAILED,
            Standing.STOPPED,
            Standing.DONE,
            Standing.WAITING,
            Standing.FINISHED_BEFORE,
            Standing.SAME,
        ]

        def rank(job: Job) -> tuple[int, float]:
            ended = -(job.began + job.seconds) if job.standing is Standing.DONE else float(job.number)
            return order.index(job.standing), ended

        return sorted(self.jobs, key=rank)

    def _row(self, job: Job) -> tuple[str, ...]:
        if job.results:
            found = job.results
            values = (f"{found['test/elbo']:.2f}", f"{found['test/kl']:.2f}", str(found["test/active_units"]))
            return str(job.number), str(found["epochs"]), *values, ""
        if job.standing is not Standing.RUNNING or job.directory is None:
            return str(job.number), "", "", "", "", ""
        watch = self.watches.setdefault(job.number, CurveTail(job.directory, job.config["trainer"]["max_epochs"]))
        watch.look()
        left = watch.seconds_left()
        values = (watch.number("elbo", 2), watch.number("kl", 2), watch.number("active_units", 0))
        return str(job.number), watch.epoch, *values, "" if left is None else in_words(left)

    def _time_left(self) -> str:
        """Say how long the rest will take if it goes on like this."""
        done = [job.seconds for job in self.jobs if job.standing is Standing.DONE]
        left = sum(job.standing in {Standing.WAITING, Standing.RUNNING} for job in self.jobs)
        if not done or not left:
            return ""
        return f"; about {in_words((time.monotonic() - self.began) / len(done) * left)} left"


def in_words(seconds: float) -> str:
    """Return a length of time as a person says it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"

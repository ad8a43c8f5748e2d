"""A pool on one machine: each job in its own process, as many at once as there are slots."""

import contextlib
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console

from vae_lightning.errors import Interrupted, UserError
from vae_lightning.sweeps.jobs import Job, Returned, Standing, failures
from vae_lightning.sweeps.process import Task, ask_to_stop, end, started
from vae_lightning.sweeps.progress import SweepProgress, in_words
from vae_lightning.sweeps.slots import Slot, Slots, environment

LOOK_S = 0.2
TO_SAVE_S = 15.0
"""A job that is past its time has so long to save and stop."""
TO_STOP_S = 60.0
"""So has one that has done nothing wrong, when the whole sweep stops; a second signal ends it at once."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
REPEAT_S = 0.5
"""Within it a second signal is the first one again: launchers and terminals often send two."""
LOST = 255
"""Exit code that the fork server gives to those of which it knows none."""
SAVED = {128 + number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
"""Exit codes of a job that stopped at a signal."""
GO_ON = "the same command (without rerun=true) goes on from their last checkpoints"


class PoolSettings(BaseModel):
    """The section ``hydra.launcher`` of ``hydra/launcher=pool``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    n_slots: Annotated[int, Field(ge=1)] | None
    threads: Annotated[int, Field(ge=1)] | None
    gpus: Annotated[list[int | str], Field(min_length=1)] | None
    jobs_per_gpu: Annotated[int, Field(ge=1)]
    retries: Annotated[int, Field(ge=0)]
    timeout: Annotated[float, Field(gt=0)] | None
    memory_gb: Annotated[float, Field(gt=0)] | None
    fail_fast: bool
    returns: Returned


class _Running(NamedTuple):
    job: Job
    process: BaseProcess
    slots: tuple[Slot, ...]


class Pool:
    """Works through jobs; none of them can take another one, or the pool, down with it."""

    def __init__(
        self,
        jobs: Sequence[Job],
        settings: PoolSettings,
        slots: Slots,
        context: ForkServerContext,
        board: SweepProgress,
    ) -> None:
        self.waiting = deque(job for job in jobs if job.standing is Standing.WAITING)
        self.settings = settings
        self.slots = slots
        self.context = context
        self.board = board
        self.running: list[_Running] = []
        self.deadlines: dict[int, float] = {}
        """Of running jobs that were told to stop: when they are ended."""
        self.stopping = settings.fail_fast and bool(failures(jobs))
        self.cut_short = 0
        """Jobs that were ended before they had saved."""
        self.asked: list[int] = []
        """Signals that came."""
        self.asked_at: list[float] = []

    def work(self) -> None:
        """Return when no job is running and none can be begun.

        Raises:
            Interrupted: a signal came; the jobs have saved and stopped.
        """
        with self._signals_noted():
            try:
                while self.running or (self.waiting and not self.stopping):
                    self._begin_what_fits()
                    wait([running.process.sentinel for running in self.running], timeout=LOOK_S)
                    self._answer_signals()
                    self._collect()
                    self._keep_time()
                    self.board.look()
            finally:
                self._let_go()  # of none, but after an error of ours
        if self.cut_short:
            raise Interrupted(self.asked[0], f"{self.cut_short} jobs were ended before they had saved; {GO_ON}")
        if self.asked:
            raise Interrupted(self.asked[0])

    def _begin_what_fits(self) -> None:
        """Begin jobs in their order; one that needs several devices is waited for, else it would never come."""
        while self.waiting and not self.stopping and not self.asked:
            job = self.waiting[0]
            try:
                slots = self._slots_for(job)
            except UserError as error:
                self.waiting.popleft()
                self._conclude(job, Standing.FAILED, str(error))
                continue
            if slots is None:
                return
            self.waiting.popleft()
            job.begin()
            alone = job.n_devices != 1
            task = Task(job.config, alone, environment(slots), self.slots.threads, self.settings.memory_gb, job.log)
            try:
                self.running.append(_Running(job, started(self.context, task), slots))
            except (EOFError, OSError) as error:
                self.slots.give_back(slots)
                self._conclude(job, Standing.FAILED, f"could not be started ({error or type(error).__name__})")
                continue
            self.board.tell(job)

    def _slots_for(self, job: Job) -> tuple[Slot, ...] | None:
        if job.config["trainer"]["num_nodes"] != 1:
            raise UserError(
                f"trainer.num_nodes={job.config['trainer']['num_nodes']}: a pool has one machine; hydra/launcher=slurm"
            )
        return self.slots.take(job.n_devices)

    def _collect(self) -> None:
        for running in [running for running in self.running if running.process.exitcode is not None]:
            self.running.remove(running)
            self.slots.give_back(running.slots)
            end(running.process)  # what it may have left behind
            self._judge(running.job, running.process.exitcode or 0)
            running.process.close()

    def _judge(self, job: Job, code: int) -> None:
        told_to_stop = self.deadlines.pop(job.number, None) is not None
        timed_out = told_to_stop and not self.stopping
        if code == 0 and job.finds_results():
            self._conclude(job, Standing.DONE)
        elif self.stopping and (code in SAVED or code < 0 or code == LOST):
            self.cut_short += bool(self.asked) and code not in SAVED
            self._conclude(job, Standing.STOPPED)
        elif job.attempts <= self.settings.retries and not self.stopping:
            reason = f"attempt {job.attempts} failed: {self._why(job, code, timed_out)}; it is tried again"
            job.conclude(Standing.WAITING, reason)
            self.board.tell(job)
            job.go_on()
            self.waiting.append(job)
        else:
            self._conclude(job, Standing.FAILED, self._why(job, code, timed_out))

    def _conclude(self, job: Job, standing: Standing, reason: str = "") -> None:
        job.conclude(standing, reason)
        if standing is Standing.FAILED:
            job.note_failure()
            self.stopping = self.stopping or self.settings.fail_fast
        self.board.tell(job)

    def _why(self, job: Job, code: int, timed_out: bool) -> str:
        if timed_out:
            limit = in_words(self.settings.timeout or 0)
            return f"not done after {limit} (hydra.launcher.timeout), {'saved and ' * (code in SAVED)}ended"
        if code == -signal.SIGKILL:
            return "killed (SIGKILL): by hand, or by the system for want of memory"
        if code < 0:
            return f"ended by {signal.Signals(-code).name}"
        if code in SAVED:
            return f"stopped by {signal.Signals(code - 128).name} from elsewhere; it has saved"
        return job.own_reason() or next(reversed(job.last_lines()), f"exit code {code}").strip()

    def _keep_time(self) -> None:
        """End what is past its time: it is asked to save first, and killed if it does not."""
        now = time.monotonic()
        for job, process, _ in self.running:
            if job.number in self.deadlines:
                if now > self.deadlines[job.number]:
                    end(process)
            elif self.stopping:
                ask_to_stop(process)
                self.deadlines[job.number] = now + TO_STOP_S
            elif self.settings.timeout is not None and now - job.began > self.settings.timeout:
                ask_to_stop(process)
                self.deadlines[job.number] = now + TO_SAVE_S

    def _answer_signals(self) -> None:
        if not self.asked:
            return
        self.stopping = True
        if self.asked_at[-1] - self.asked_at[0] > REPEAT_S:
            for running in self.running:
                end(running.process)

    def _let_go(self) -> None:
        """Have all jobs save and stop, or end them."""
        for running in self.running:
            ask_to_stop(running.process)
        deadline = time.monotonic() + TO_SAVE_S
        for running in self.running:
            running.process.join(max(0.0, deadline - time.monotonic()))
            end(running.process)

    @contextlib.contextmanager
    def _signals_noted(self) -> Iterator[None]:
        def note(number: int, frame: FrameType | None) -> None:
            self.asked.append(number)
            self.asked_at.append(time.monotonic())

        handled = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        previous = {number: signal.signal(number, note) for number in handled}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def work_in_pool(
    jobs: Sequence[Job], settings: PoolSettings, slots: Slots, context: ForkServerContext, console: Console
) -> None:
    """Do the jobs that wait. Raises Interrupted at a signal, when they have saved and stopped."""
    device = f"{len(slots.all)} slots" if len(slots.all) > 1 else "1 slot"
    gpus = {slot.gpu for slot in slots.all} - {None}
    where = f"{device} on GPU {', '.join(sorted(map(str, gpus)))}" if gpus else f"{device} of {slots.threads} threads"
    with SweepProgress(jobs, console, where) as board:
        Pool(jobs, settings, slots, context, board).work()

"""A pool on one machine: each job in its own process, as many at once as there are slots."""

import multiprocessing.connection
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from vae_lightning.errors import Code, Interrupted, UserError
from vae_lightning.runs.run_config import Section
from vae_lightning.runs.status import RunStatus
from vae_lightning.signals import REPEAT_S, restore_handlers, set_handlers
from vae_lightning.sweeps.jobs import Job, Returned, failures
from vae_lightning.sweeps.outcome import Outcome, outcome_of
from vae_lightning.sweeps.process import JobProcess, Task, kill
from vae_lightning.sweeps.progress import SweepProgress, in_words
from vae_lightning.sweeps.slots import Slot, Slots, environment

POLL_S = 0.2
TO_SAVE_S = 15.0
"""How long a job that is past its time may take to save and stop."""
TO_STOP_S = 60.0
"""How long a job may take to save and stop when the whole sweep stops; a second signal kills it at once."""

Start = Callable[[Task], JobProcess]
Wait = Callable[[list[int], float], object]
"""Wait until one of some processes (by their sentinels) has ended, or some seconds have passed."""


class PoolSettings(Section):
    """The section ``hydra.launcher`` of ``hydra/launcher=pool``."""

    n_slots: PositiveInt | None
    threads: PositiveInt | None
    gpus: Annotated[list[int | str], Field(min_length=1)] | None
    jobs_per_gpu: PositiveInt
    retries: NonNegativeInt
    timeout: PositiveFloat | None
    memory_gb: PositiveFloat | None
    fail_fast: bool
    returns: Returned


class _Running(NamedTuple):
    job: Job
    process: JobProcess
    slots: tuple[Slot, ...]


@dataclass
class Pool:
    """Works through the jobs that wait; a failure of one of them leaves the others and the pool alone."""

    jobs: Sequence[Job]
    settings: PoolSettings
    slots: Slots
    start: Start
    progress: SweepProgress
    clock: Callable[[], float] = time.monotonic
    wait: Wait = multiprocessing.connection.wait
    running: list[_Running] = field(default_factory=list)
    deadlines: dict[int, float] = field(default_factory=dict)
    """When running jobs that were asked to stop are killed, by their numbers."""
    n_cut_short: int = 0
    """How many jobs were killed before they had saved."""
    signals: list[tuple[int, float]] = field(default_factory=list)
    """The signals that came, and when."""

    def __post_init__(self) -> None:
        self.waiting = deque(job for job in self.jobs if job.waits)
        self.stopping = self.settings.fail_fast and bool(failures(self.jobs))

    def run(self) -> None:
        """Return when no job is running and none can be begun. Raises Interrupted after a signal, when all stopped."""
        previous = set_handlers(lambda number, _: self.signals.append((number, self.clock())))
        try:
            while self.running or (self.waiting and not self.stopping):
                self._begin_what_fits()
                self.wait([running.process.sentinel for running in self.running], POLL_S)
                self._handle_signals()
                self._collect()
                self._enforce_deadlines()
                self.progress.update()
        finally:
            self._stop_all()  # none is left, unless there was an error of ours
            restore_handlers(previous)
        if self.n_cut_short:
            again = "the same command (without rerun=true) goes on from their last checkpoints"
            left = f"{self.n_cut_short} jobs were ended before they had saved; {again}"
            raise Interrupted(self.signals[0][0], left)
        if self.signals:
            raise Interrupted(self.signals[0][0])

    def _begin_what_fits(self) -> None:
        """Begin jobs in their order; one that needs several devices is waited for, else its turn would never come."""
        while self.waiting and not self.stopping and not self.signals:
            job = self.waiting[0]
            try:
                slots = self._slots_for(job)
            except UserError as error:
                self._end(self.waiting.popleft(), RunStatus.FAILED, str(error))
                continue
            if slots is None:
                return
            self._begin(self.waiting.popleft(), slots)

    def _slots_for(self, job: Job) -> tuple[Slot, ...] | None:
        if (n_nodes := job.run.trainer["num_nodes"]) != 1:
            message = f"trainer.num_nodes={n_nodes}: a pool has one machine; hydra/launcher=slurm has more"
            raise UserError(message, Code.INCOMPATIBLE, ["trainer.num_nodes", "hydra/launcher"])
        return self.slots.take(job.n_devices)

    def _begin(self, job: Job, slots: tuple[Slot, ...]) -> None:
        job.begin(self.clock())
        job.outcome.unlink(missing_ok=True)
        limits = self.slots.threads, self.settings.memory_gb
        task = Task(job.run, job.n_devices != 1, environment(slots), *limits, job.log, job.outcome)
        try:
            process = self.start(task)
        except (EOFError, OSError) as error:
            self.slots.give_back(slots)
            self._end(job, RunStatus.FAILED, f"could not be started ({error or type(error).__name__})")
            return
        self.running.append(_Running(job, process, slots))
        self.progress.status_changed(job)

    def _collect(self) -> None:
        for running in [running for running in self.running if running.process.exitcode is not None]:
            job, process, slots = running
            self.running.remove(running)
            self.slots.give_back(slots)
            kill(process)  # its children may be left
            last_line = next(reversed(job.last_lines()), "").strip()
            self._judge(job, outcome_of(job.outcome, process.exitcode or 0, last_line))
            process.close()

    def _judge(self, job: Job, outcome: Outcome) -> None:
        timed_out = self.deadlines.pop(job.number, None) is not None and not self.stopping
        saved = outcome.status is RunStatus.INTERRUPTED
        if outcome.status is RunStatus.FINISHED and job.read_results():
            self._end(job, RunStatus.FINISHED)
        elif self.stopping and (saved or outcome.died):
            self.n_cut_short += bool(self.signals) and not saved
            self._end(job, RunStatus.INTERRUPTED)
        elif job.attempts <= self.settings.retries and not self.stopping:
            failed = f"attempt {job.attempts} failed: {self._reason(outcome, timed_out)}; it is tried again"
            job.prepare_retry()
            self.waiting.append(job)
            self._end(job, RunStatus.WAITING, failed)
        else:
            self._end(job, RunStatus.FAILED, self._reason(outcome, timed_out))

    def _end(self, job: Job, status: RunStatus, note: str = "") -> None:
        job.end(status, note, self.clock())
        self.stopping |= self.settings.fail_fast and status is RunStatus.FAILED
        self.progress.status_changed(job)

    def _reason(self, outcome: Outcome, timed_out: bool) -> str:
        saved = outcome.status is RunStatus.INTERRUPTED
        if timed_out:
            limit = in_words(self.settings.timeout or 0)
            return f"not done after {limit} (hydra.launcher.timeout), {'saved and ' * saved}ended"
        if saved:
            return f"stopped by {outcome.reason} from elsewhere; it has saved"
        return "its results cannot be read" if outcome.status is RunStatus.FINISHED else outcome.reason

    def _enforce_deadlines(self) -> None:
        """Ask jobs that are past their time, or of a sweep that stops, to save; kill those that do not in time."""
        now, limit = self.clock(), self.settings.timeout
        for job, process, _ in self.running:
            if job.number in self.deadlines:
                if now > self.deadlines[job.number]:
                    kill(process)
            elif self.stopping or (limit is not None and now - job.began > limit):
                process.terminate()  # SIGTERM, at which a job saves
                self.deadlines[job.number] = now + (TO_STOP_S if self.stopping else TO_SAVE_S)

    def _handle_signals(self) -> None:
        self.stopping |= bool(self.signals)
        if self.signals and self.signals[-1][1] - self.signals[0][1] > REPEAT_S:
            for running in self.running:
                kill(running.process)

    def _stop_all(self) -> None:
        """Have all jobs save and stop; kill those that do not in time."""
        for running in self.running:
            running.process.terminate()
        deadline = self.clock() + TO_SAVE_S
        for running in self.running:
            running.process.join(max(0.0, deadline - self.clock()))
            kill(running.process)

"""The process of a job: forked from a server that has imported everything, so that a sweep imports only once."""

import contextlib
import json
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from multiprocessing.process import parent_process
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from vae_lightning.errors import Interrupted, UserError
from vae_lightning.files import write_json
from vae_lightning.runs.command import COMMAND, this_command
from vae_lightning.runs.run_config import Node, RunConfig
from vae_lightning.signals import SIGNALS, signals_blocked
from vae_lightning.sweeps.outcome import outcome_recorded

PRELOADED = ["vae_lightning.sweeps.preloaded", "vae_lightning.cli.train"]
COMMON_DATA = "VAE_LIGHTNING_COMMON_DATA"
"""The environment variable by which the server is told of the images that the jobs have in common."""
PATIENCE_S = 90.0
"""How long a job waits for a run that the job of a dying sweep still owns."""
ORPHAN_S = 60.0
"""How long a job whose sweep has died may take to save and stop before it is killed."""
MEMORY = Path("/proc/self/status")


@runtime_checkable
class JobProcess(Protocol):
    """The part of a multiprocessing process that a pool uses."""

    @property
    def pid(self) -> int | None: ...
    @property
    def exitcode(self) -> int | None: ...
    @property
    def sentinel(self) -> int: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def join(self, timeout: float | None = None) -> None: ...
    def close(self) -> None: ...


class Task(NamedTuple):
    """What a process needs to know to do a job."""

    config: RunConfig
    alone: bool
    """Whether to start it as a command: a run of several processes starts the others itself."""
    environment: dict[str, str]
    threads: int
    memory_gb: float | None
    log: Path
    outcome: Path
    """Where it records how it ended."""


def fork_server(common_data: tuple[Node, int] | None = None) -> ForkServerContext:
    """Start the server, which imports everything while the sweep is still being planned.

    ``common_data`` is what jobs have in common of their data, and the seed: the server loads them once for all.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    # Numerical libraries read these when they are imported; threads of theirs would not survive the fork.
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    if common_data:
        os.environ[COMMON_DATA] = json.dumps(common_data)
    resource_tracker.ensure_running()  # by itself; the server would start it, and unblock two of the signals
    # A closed terminal, or a batch system, signals whole groups: the server must live until the jobs have saved.
    with signals_blocked():
        forkserver.ensure_running()
    os.environ.pop(COMMON_DATA, None)
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    return context


def start_process(context: ForkServerContext, task: Task) -> JobProcess:
    """Start a process that does a task; its exit code is that of the command it replaces."""
    process = context.Process(target=do_task, args=(task,))
    process.start()
    return process


def do_task(task: Task) -> None:
    """Do a task in this process, with its output in the log. Raises SystemExit with the exit code of the run."""
    # Ctrl-C goes to the sweep alone, which tells each job once; and a job that hangs is ended with its children.
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    _write_to(task.log)
    os.environ.update(task.environment)
    if task.memory_gb is not None:
        _limit_memory(task.memory_gb)
    with contextlib.suppress(OSError):  # Linux has it: where memory runs out, the kernel shall end a job, not the sweep
        Path("/proc/self/oom_score_adj").write_text("500")
    if task.alone:
        sys.exit(_supervised(task))
    _stop_without_the_sweep()
    try:
        train_and_record(task.config, task.threads, task.outcome)
    except Interrupted as stopped:
        sys.exit(stopped.exit_code)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def train_and_record(config: RunConfig, threads: int, outcome: Path) -> None:
    """Train a run in this process and record how it ends. Raises SystemExit with the message of a UserError."""
    try:
        with outcome_recorded(outcome, config):
            import torch

            from vae_lightning.training import train

            torch.set_num_threads(threads)
            train(config, patience_s=PATIENCE_S)
    except UserError as error:
        sys.exit(f"{error}")


def _write_to(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # what a killed job has printed is in the log


def _limit_memory(gigabytes: float) -> None:
    """Limit the memory of this process, beside what it had when it was forked; a larger request raises an error."""
    there = re.search(r"VmData:\s+(\d+) kB", MEMORY.read_text())
    limit = (int(there[1]) * 1024 if there else 0) + int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _stop_without_the_sweep() -> None:
    """Save and stop when the sweep has died, from now on."""

    def watch() -> None:
        if (parent := parent_process()) is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)  # saves after the batch in hand
            threading.Event().wait(ORPHAN_S)
            os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _supervised(task: Task) -> int:
    """Do a task by a command, passing SIGTERM on to it; return its exit code as a shell would."""
    order = task.log.with_suffix(".json")
    write_json(order, {"config": task.config.plain(), "outcome": str(task.outcome)})
    environment = {**os.environ, "OMP_NUM_THREADS": str(task.threads), COMMAND: this_command()}
    with signals_blocked():  # until there is somebody to pass them on to
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "vae_lightning.cli.job", str(order)],
            env=environment,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS),  # noqa: PLW1509 (no threads here)
        )
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    _stop_without_the_sweep()
    code = process.wait()
    return code if code >= 0 else 128 - code


def kill(process: JobProcess) -> None:
    """Kill a process and all that it started, now."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if process.pid:
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()

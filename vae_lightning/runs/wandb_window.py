"""Weights & Biases as a window on a run: online where that works at once, offline otherwise, never waited for."""

import contextlib
import functools
import math
import os
import shlex
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from vae_lightning.errors import Interrupted, UserError
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.identity import RunIdentity, unusual_choices
from vae_lightning.runs.wandb_settings import WandbSettings

if TYPE_CHECKING:
    import wandb

PROBE_TIMEOUT_S = 3.0
START_TIMEOUT_S = 5.0
FINISH_TIMEOUT_S = 6.0
GIVE_UP_TIMEOUT_S = 1.0
FOLDER = "wandb"
REPLACED = "replaced"
"""Below it lie offline records of a run that was continued: the newest holds all that they held."""
STEP = "trainer/global_step"
DESCRIBED = ("run", "study", "title", "command", "fingerprint", "choices", "settings", "versions")
"""Of the results: what W&B has of the config, the name and the command line."""


class WandbCurves(WandbLogger):
    """The lines of the local curves as rows: row n is line n, so that none is lost and none is there twice.

    Whatever goes wrong in W&B ends the window, with a word to the user, and never the run.
    """

    def __init__(self, run: "wandb.Run", how_to_look: str, tell: Callable[[str], None]) -> None:
        super().__init__(experiment=run)
        self.how_to_look = how_to_look
        self.tell = tell
        self.broken = False
        self.next_row = 0
        self.rows_there = run.starting_step
        """A server has these already of a run that is continued; they are the same, for its resume is exact."""

    @contextlib.contextmanager
    def unharmed(self) -> Iterator[None]:
        """Let the block talk to W&B, unless that has failed before."""
        try:
            yield
        except Exception as error:
            if not self.broken:
                reason = (str(error) or type(error).__name__).splitlines()[0]
                upload = shlex.join(["wandb", "sync", self.experiment.settings.sync_dir])
                self.tell(f"W&B has failed and is left alone ({reason}); the run goes on. Upload later: {upload}")
            self.broken = True

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:  # type: ignore[override]
        """Write a row; a list, one value for each latent unit, becomes a histogram."""
        row, self.next_row = self.next_row, self.next_row + 1
        if self.broken or row < self.rows_there:
            return
        with self.unharmed():
            values = {name: _shown(value) for name, value in metrics.items()}
            self.experiment.log({**values, STEP: step}, step=row, commit=True)

    @rank_zero_only
    def log_image(self, key: str, images: list[Any], step: int | None = None, **_: Any) -> None:
        import wandb

        with self.unharmed():
            self.experiment.log({key: [wandb.Image(image) for image in images]})

    def replay(self, run_directory: Path) -> None:
        """Write the lines that a continued run has already."""
        for line in read_curves(run_directory):
            self.log_metrics({name: value for name, value in line.items() if name != "step"}, line["step"])

    def conclude(self, results: dict[str, Any], checkpoint: Path | None) -> None:
        """Put the results into the summary; add the checkpoint as an artefact where one is given."""
        import wandb

        found = {name: value for name, value in results.items() if value is not None and name not in DESCRIBED}
        with self.unharmed():
            self.experiment.summary.update(found)
            if checkpoint:
                artifact = wandb.Artifact(f"model-{self.experiment.id}", type="model")
                artifact.add_file(str(checkpoint))
                self.experiment.log_artifact(artifact)

    def finish(self, exit_code: int, stopped: bool) -> None:
        """Mark the run finished, failed, or stopped by a signal."""
        with self.unharmed():
            if stopped:
                self.experiment.mark_preempting()
            self.experiment.finish(exit_code=exit_code)
        if self.broken:
            _answers.cache_clear()  # the next run of this process asks anew
            _give_up()


def _give_up() -> None:
    """Leave W&B's service to itself, which would otherwise hold up the end of this process, and the next run."""

    def tear_down() -> None:
        import wandb

        with contextlib.suppress(Exception):
            wandb.teardown()

    thread = threading.Thread(target=tear_down, daemon=True)
    thread.start()
    thread.join(GIVE_UP_TIMEOUT_S)


def _shown(value: Any) -> Any:
    import wandb

    if isinstance(value, list):
        return wandb.Histogram([number for number in value if number is not None and math.isfinite(number)])
    return math.nan if value is None else value


@contextlib.contextmanager
def wandb_window(
    settings: WandbSettings,
    identity: RunIdentity,
    config: dict[str, Any],
    continues: bool,
    tell: Callable[[str], None],
) -> Iterator[WandbCurves | None]:
    """Open the W&B run of a run; its id is the fingerprint. When the block ends it is told how.

    Raises:
        UserError: ``wandb.mode=online``, and it cannot be.
    """
    if settings.mode == "disabled":
        yield None
        return
    # W&B's reports about itself go to the same server and would hold up the end of the process when that is silent.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    reason = "wandb.mode=offline" if settings.mode == "offline" else why_offline() if settings.mode == "auto" else None
    try:
        run = _start(settings, identity, config, continues, online=reason is None)
    except wandb.errors.Error as error:
        _give_up()  # else its service keeps the id for the run that failed
        if settings.mode == "online":
            raise UserError(f"wandb.mode=online: {error}; auto would fall back to offline") from error
        reason = f"its server did not take the run: {error}"
        run = _start(settings, identity, config, continues, online=False)
    run.define_metric("*", step_metric=STEP)  # what stands under the curves: a row is no step
    how_to_look = f"W&B: {run.url}" if reason is None else _offline_line(reason, identity.directory)
    window = WandbCurves(run, how_to_look, tell)
    exit_code, stopped = 1, False
    try:
        window.replay(identity.directory)
        yield window
        exit_code = 0
    except Interrupted as signal:
        exit_code, stopped = signal.exit_code, True
        raise
    finally:
        window.finish(exit_code, stopped)


def _start(
    settings: WandbSettings, identity: RunIdentity, config: dict[str, Any], continues: bool, online: bool
) -> "wandb.Run":
    import wandb

    _set_earlier_records_aside(identity.directory)
    wandb.setup(wandb.Settings(silent=True))
    return wandb.init(
        project=settings.project,
        entity=settings.entity,
        name=identity.directory.name,
        id=identity.fingerprint,
        group=settings.group or config["study"]["name"],
        job_type="train",
        tags=[config["data"]["name"], config["model"]["name"], *unusual_choices(config), *settings.tags],
        dir=identity.directory,
        mode="online" if online else "offline",
        # A run that goes on from a checkpoint goes on in W&B too; one that starts afresh replaces what was there.
        resume="allow" if online and continues else None,
        config=config,
        settings=wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            init_timeout=START_TIMEOUT_S,
            finish_timeout=FINISH_TIMEOUT_S,
            finish_timeout_raises=True,
        ),
    )


def _set_earlier_records_aside(run_directory: Path) -> None:
    for folder in offline_records(run_directory):
        aside = run_directory / FOLDER / REPLACED
        aside.mkdir(exist_ok=True)
        folder.rename(aside / folder.name)


def offline_records(run_directory: Path) -> list[Path]:
    return sorted((run_directory / FOLDER).glob("offline-run-*"))


def _offline_line(reason: str, run_directory: Path) -> str:
    look, upload = (
        shlex.join(["wandb", command, str(folder)])
        for folder in offline_records(run_directory)[-1:]
        for command in ("leet", "sync")
    )
    return f"W&B is offline ({reason}). Look now: {look}  Upload later: {upload}"


def why_offline() -> str | None:
    """Return why W&B cannot be reached, or None where there is an account and its server answers in time."""
    import wandb

    settings = wandb.Settings()
    settings.update_from_env_vars(dict(os.environ))
    if not settings.api_key and not _key_in_netrc(settings.base_url):
        return "no account here; wandb login makes one known"
    return None if _answers(settings.base_url) else f"no answer from {settings.base_url} in {PROBE_TIMEOUT_S:g} s"


@functools.cache
def _answers(url: str) -> bool:
    """Ask a server for anything, once a process. The whole question is timed, names and proxies included."""
    import requests  # which wandb needs too

    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError):
            requests.head(url, timeout=PROBE_TIMEOUT_S)
            answered.set()

    threading.Thread(target=ask, daemon=True).start()  # nobody waits for one that hangs
    return answered.wait(PROBE_TIMEOUT_S)


def _key_in_netrc(base_url: str) -> bool:
    from requests.utils import (
        get_netrc_auth,
    )  # knows where each system keeps its netrc; wandb depends on requests

    return get_netrc_auth(base_url) is not None

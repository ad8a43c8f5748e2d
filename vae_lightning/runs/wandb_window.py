"""Weights & Biases as a window on a run: online where that works at once, offline otherwise, never waited for."""

import contextlib
import functools
import math
import os
import shlex
import threading
from collections.abc import Iterator
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
FINISH_TIMEOUT_S = 10.0
FOLDER = "wandb"
REPLACED = "replaced"
"""Below it lie offline records of a run that was continued: the newest holds all that they held."""
STEP = "trainer/global_step"


class WandbCurves(WandbLogger):
    """The lines of the local curves as rows: row n is line n, so that none is lost and none is there twice."""

    def __init__(self, run: "wandb.Run", how_to_look: str) -> None:
        super().__init__(experiment=run)
        run.define_metric("*", step_metric=STEP)  # what stands under the curves: a row is no step
        self.how_to_look = how_to_look
        self.next_row = 0
        self.rows_there = run.starting_step
        """A server has these already of a run that is continued; they are the same, for its resume is exact."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:  # type: ignore[override]
        """Write a row; a list, one value for each latent unit, becomes a histogram."""
        row, self.next_row = self.next_row, self.next_row + 1
        if row >= self.rows_there:
            values = {name: _shown(value) for name, value in metrics.items()}
            self.experiment.log({**values, STEP: step}, step=row, commit=True)

    @rank_zero_only
    def log_image(self, key: str, images: list[Any], step: int | None = None, **_: Any) -> None:
        import wandb

        self.experiment.log({key: [wandb.Image(image) for image in images]})

    def replay(self, run_directory: Path) -> None:
        """Write the lines that a continued run has already."""
        for line in read_curves(run_directory):
            self.log_metrics({name: value for name, value in line.items() if name != "step"}, line["step"])

    def conclude(self, results: dict[str, Any], checkpoint: Path | None) -> None:
        """Put the results into the summary; add the checkpoint as an artefact where one is given."""
        import wandb

        self.experiment.summary.update({name: value for name, value in results.items() if value is not None})
        if checkpoint:
            artifact = wandb.Artifact(f"model-{self.experiment.id}", type="model")
            artifact.add_file(str(checkpoint))
            self.experiment.log_artifact(artifact)


def _shown(value: Any) -> Any:
    import wandb

    if isinstance(value, list):
        return wandb.Histogram([number for number in value if number is not None and math.isfinite(number)])
    return math.nan if value is None else value


@contextlib.contextmanager
def wandb_window(
    settings: WandbSettings, identity: RunIdentity, config: dict[str, Any], continues: bool
) -> Iterator[WandbCurves | None]:
    """Open the W&B run of a run; its id is the fingerprint. When the block ends it is told how.

    Raises:
        UserError: ``wandb.mode=online``, and it cannot be.
    """
    if settings.mode == "disabled":
        yield None
        return
    import wandb

    reason = "wandb.mode=offline" if settings.mode == "offline" else why_offline() if settings.mode == "auto" else None
    try:
        run = _start(settings, identity, config, continues, online=reason is None)
    except wandb.errors.Error as error:
        wandb.teardown()  # else its service keeps the id for the run that failed
        if settings.mode == "online":
            raise UserError(f"wandb.mode=online: {error}; auto would fall back to offline") from error
        reason = f"its server did not take the run: {error}"
        run = _start(settings, identity, config, continues, online=False)
    window = WandbCurves(run, f"W&B: {run.url}" if reason is None else _offline_line(reason, identity.directory))
    exit_code = 1
    try:
        window.replay(identity.directory)
        yield window
        exit_code = 0
    except Interrupted as stopped:
        run.mark_preempting()
        exit_code = stopped.exit_code
        raise
    finally:
        run.finish(exit_code=exit_code)


def _start(
    settings: WandbSettings, identity: RunIdentity, config: dict[str, Any], continues: bool, online: bool
) -> "wandb.Run":
    import wandb

    _set_earlier_records_aside(identity.directory)
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
            finish_timeout_raises=False,
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

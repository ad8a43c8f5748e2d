"""Weights & Biases as a window on a run: online where that works at once, offline otherwise, never waited for."""

import contextlib
import os
import shlex
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_lightning.errors import Code, Interrupted, UserError, first_line
from vae_lightning.runs.identity import unusual_choices
from vae_lightning.runs.run_config import Mode, RunConfig, WandbSettings
from vae_lightning.runs.wandb_curves import STEP, WandbCurves, give_up
from vae_lightning.runs.wandb_probe import why_offline

if TYPE_CHECKING:
    import wandb

START_TIMEOUT_S = 5.0
FINISH_TIMEOUT_S = 6.0
LONGEST_TAG = 64
"""W&B refuses a run with a longer one."""
MODES_OF_THE_ENVIRONMENT: dict[str, Mode] = {
    "online": "online", "run": "online", "shared": "online", "offline": "offline", "dryrun": "offline",
    "disabled": "disabled",
}  # fmt: skip
"""What WANDB_MODE may say, for all programs of a user, in our terms; W&B's old spellings are included."""


@contextlib.contextmanager
def wandb_session(config: RunConfig, continues: bool, tell: Callable[[str], None]) -> Iterator[WandbCurves | None]:
    """Open the W&B run of a run, whose id is the fingerprint, and end it as the block ends.

    Raises UserError where ``wandb.mode=online`` was asked for and it cannot be.
    """
    settings = config.wandb.model_copy(update={"mode": mode_in_force(config.wandb.mode)})
    if settings.mode == "disabled":
        yield None
        return
    # W&B's reports about itself go to the same server and would hold up the end of the process when that is silent.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    if "HOME" not in os.environ:  # without a place for its log, W&B's service writes it to the terminal
        os.environ.setdefault("XDG_CACHE_HOME", tempfile.gettempdir())
    try:
        window = _opened(settings, config, continues, tell)
    except UserError:
        raise
    except Exception as error:  # whatever it is, a run does not fail because of its window
        tell(f"W&B cannot start here ({first_line(error)}); the run goes on without it")
        yield None
        return
    exit_code, stopped = 1, False
    try:
        window.replay(config.directory)
        yield window
        exit_code = 0
    except Interrupted as stop:
        exit_code, stopped = stop.exit_code, True
        raise
    finally:
        window.finish(exit_code, stopped)


def mode_in_force(chosen: Mode) -> Mode:
    """Return the mode of a run: the one chosen; under ``auto`` the environment's, if it names one that W&B knows."""
    there = os.environ.get("WANDB_MODE", "").strip().lower()
    return MODES_OF_THE_ENVIRONMENT.get(there, chosen) if chosen == "auto" else chosen


def _opened(settings: WandbSettings, config: RunConfig, continues: bool, tell: Callable[[str], None]) -> WandbCurves:
    reason = "as asked for" if settings.mode == "offline" else why_offline() if settings.mode == "auto" else None
    try:
        run = _start(settings, config, continues, online=reason is None)
    except Exception as error:
        give_up()  # else its service keeps the id for the run that failed
        if settings.mode == "online":
            message = f"wandb.mode=online: {error}; auto would fall back to offline"
            raise UserError(message, Code.UNAVAILABLE, ["wandb.mode"]) from error
        if settings.mode == "offline":
            raise
        reason = f"its server did not take the run: {first_line(error)}"
        run = _start(settings, config, continues, online=False)
    run.define_metric("*", step_metric=STEP)  # what stands under the curves: a row is no step
    if reason is None:
        return WandbCurves(run, f"W&B: {run.url}", tell)
    look, upload = (shlex.join(["wandb", command, run.settings.sync_dir]) for command in ("leet", "sync"))
    return WandbCurves(run, f"W&B is offline ({reason}). Look now: {look}  Upload later: {upload}", tell)


def _start(settings: WandbSettings, config: RunConfig, continues: bool, online: bool) -> "wandb.Run":
    import wandb

    _set_earlier_records_aside(config.directory / "wandb")
    names = [config.data.name, config.model.name, *unusual_choices(config.plain())]
    quiet: dict[str, Any] = {"silent": True, "console": "off", "disable_git": True, "disable_code": True}
    wandb.setup(wandb.Settings(silent=True))
    return wandb.init(
        project=settings.project,
        entity=settings.entity,
        name=config.directory.name,
        id=config.fingerprint,
        group=settings.group or config.study.name,
        job_type="train",
        tags=[tag[:LONGEST_TAG] for tag in (*names, *settings.tags)],
        dir=config.directory,
        mode="online" if online else "offline",
        # A run that goes on from a checkpoint goes on in W&B too; one that starts afresh replaces what was there.
        resume="allow" if online and continues else None,
        config=config.plain(),
        settings=wandb.Settings(
            **quiet, init_timeout=START_TIMEOUT_S, finish_timeout=FINISH_TIMEOUT_S, finish_timeout_raises=True
        ),
    )


def _set_earlier_records_aside(folder: Path) -> None:
    """Move the offline records of a run that is continued: the newest record holds all that they hold."""
    for record in folder.glob("offline-run-*"):
        (folder / "replaced").mkdir(exist_ok=True)
        record.rename(folder / "replaced" / record.name)

"""Weights & Biases as a window on a run: online where that works at once, offline otherwise, never waited for."""

import os
import shlex
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from vae_lightning.errors import UserError
from vae_lightning.runs.directory import newest_checkpoint
from vae_lightning.runs.identity import RunIdentity

if TYPE_CHECKING:
    import lightning.pytorch.loggers
    import wandb

PROBE_TIMEOUT_S = 3.0
START_TIMEOUT_S = 5.0
FINISH_TIMEOUT_S = 10.0


class WandbSettings(BaseModel):
    """The config's ``wandb`` section."""

    model_config = ConfigDict(extra="forbid", strict=True)
    mode: Literal["auto", "online", "offline", "disabled"]
    project: Annotated[str, Field(min_length=1)]
    entity: str | None


def wandb_logger(
    settings: WandbSettings, identity: RunIdentity, config: dict[str, Any]
) -> "lightning.pytorch.loggers.WandbLogger | None":
    """Return the logger of a run, or None when W&B is disabled. The run's id is its fingerprint."""
    if settings.mode == "disabled":
        return None
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    online = settings.mode == "online" or (settings.mode == "auto" and server_answers())
    try:
        run = _start(settings, identity, config, online)
    except wandb.errors.Error as error:
        if settings.mode == "online":
            raise UserError(f"wandb.mode=online: {error}; auto would fall back to offline") from error
        run = _start(settings, identity, config, online=False)
    return WandbLogger(experiment=run)


def _start(settings: WandbSettings, identity: RunIdentity, config: dict[str, Any], online: bool) -> "wandb.Run":
    import wandb

    return wandb.init(
        project=settings.project,
        entity=settings.entity,
        name=identity.directory.name,
        id=identity.fingerprint,
        group=config["study"]["name"],
        dir=identity.directory,
        mode="online" if online else "offline",
        # A run that goes on from a checkpoint goes on in W&B too.
        resume="allow" if online and newest_checkpoint(identity.directory) else None,
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


def server_answers() -> bool:
    """Say whether there is an account here and its server takes a connection within the probe's time."""
    import wandb

    settings = wandb.Settings()
    settings.update_from_env_vars(dict(os.environ))
    has_key = bool(settings.api_key) or _key_in_netrc(settings.base_url)
    address = urlsplit(settings.base_url)
    if not has_key or address.hostname is None:
        return False
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with socket.create_connection((address.hostname, port), timeout=PROBE_TIMEOUT_S):
            return True
    except OSError:
        return False


def _key_in_netrc(base_url: str) -> bool:
    from requests.utils import (
        get_netrc_auth,
    )  # knows where each system keeps its netrc; wandb depends on requests

    return get_netrc_auth(base_url) is not None


def sync_command(run_directory: Path) -> str | None:
    """Return the command that uploads what was kept offline, or None where nothing was."""
    folders = sorted((run_directory / "wandb").glob("offline-run-*"))
    return shlex.join(["wandb", "sync", *map(str, folders)]) if folders else None

"""The plan of a sweep: the overrides of a sweeper to jobs, of which some are finished or refused already."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_lightning.composing import resolved
from vae_lightning.config import checked
from vae_lightning.errors import Code, UserError
from vae_lightning.runs import directory
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.runs.saved_config import check_unchanged
from vae_lightning.runs.status import RunStatus
from vae_lightning.sweeps.jobs import Job, Returned, inode_of_begun

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from omegaconf import DictConfig

Overrides = Sequence[Sequence[str]]
"""What is chosen for each of several jobs."""


def planned(
    loader: "ConfigLoader", sweep: "DictConfig", job_overrides: Overrides, first_number: int, returns: Returned
) -> list[Job]:
    """Return the jobs that a sweeper asks for, numbered from ``first_number``; some may be finished or refused already.

    Raises UserError where they do not have the curve that they shall return.
    """
    jobs: list[Job] = []
    seen: dict[str, int] = {}
    logs = Path(sweep.hydra.sweep.dir).absolute()
    for number, overrides in enumerate(job_overrides, first_number):
        config = resolved(loader.load_sweep_config(sweep, list(overrides)), derive=False)
        job = _planned(number, tuple(overrides), config, logs)
        same = seen.setdefault(str(job.directory or job.name), number)
        if same != number:
            job.same_as, job.note = same, f"the same run as job {same}"
        jobs.append(job)
    check_can_return(jobs, returns)
    # As Hydra's own launchers do: sweepers write what they found there, also if no job had to be done.
    logs.mkdir(parents=True, exist_ok=True)
    return jobs


def _planned(number: int, overrides: tuple[str, ...], composed: dict[str, Any], logs: Path) -> Job:
    try:
        config = with_group(checked(composed), logs)
    except UserError as error:
        return Job(number, overrides, None, logs / f"{number}.log", RunStatus.FAILED, str(error))
    folder = config.directory
    job = Job(number, overrides, config, logs / f"{number}-{folder.name}.log")
    try:
        if config.rerun:
            job.replaces = inode_of_begun(folder)
        elif results := directory.read_results(folder):
            check_unchanged(folder, config)
            job.status, job.note, job.results = RunStatus.FINISHED, "finished before", results
    except (UserError, OSError) as error:
        job.status, job.note = RunStatus.FAILED, str(error)
    return job


def with_group(config: RunConfig, sweep_folder: Path | str) -> RunConfig:
    """Return the config of a job; without a study or a group of its own it is grouped by its sweep in W&B."""
    if config.study.name != "default" or config.wandb.group is not None:
        return config
    return config.changed(wandb=config.wandb.model_copy(update={"group": f"sweep {Path(sweep_folder).name}"}))


def check_can_return(jobs: Iterable[Job], curve: Returned) -> None:
    """Raise UserError where a job returns a curve and has no validation part: nothing is chosen by the test images."""
    if curve and any(job.config and not job.config.data.get("validation_size") for job in jobs):
        message = f"hydra.launcher.returns={curve}: needs images held out, such as data.validation_size=5000"
        raise UserError(message, Code.INCOMPATIBLE, ["hydra.launcher.returns", "data.validation_size"])

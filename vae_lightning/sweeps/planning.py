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


def planned(
    loader: "ConfigLoader", sweep: "DictConfig", job_overrides: Sequence[Sequence[str]], first_number: int, logs: Path
) -> list[Job]:
    """Return the jobs that a sweeper asks for; some may be finished or refused already.

    Args:
        loader: Hydra's, which composes the config of each.
        sweep: the sweep's own config.
        job_overrides: of each job.
        first_number: of the first of them.
        logs: the folder for their outputs.
    """
    jobs: list[Job] = []
    seen: dict[str, int] = {}
    for number, overrides in enumerate(job_overrides, first_number):
        config = resolved(loader.load_sweep_config(sweep, list(overrides)), derive=False)
        job = _planned(number, tuple(overrides), config, sweep.hydra.sweep.dir, logs)
        same = seen.setdefault(str(job.directory or job.name), number)
        if same != number:
            job.same_as, job.note = same, f"the same run as job {same}"
        jobs.append(job)
    return jobs


def _planned(number: int, overrides: tuple[str, ...], composed: dict[str, Any], sweep_folder: str, logs: Path) -> Job:
    try:
        config = with_group(checked(composed), sweep_folder)
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


def with_group(config: RunConfig, sweep_folder: str) -> RunConfig:
    """Return the config of a job; without a study or a group of its own it is grouped by its sweep in W&B."""
    if config.study.name != "default" or config.wandb.group is not None:
        return config
    return config.changed(wandb=config.wandb.model_copy(update={"group": f"sweep {Path(sweep_folder).name}"}))


def check_can_return(jobs: Iterable[Job], curve: Returned) -> None:
    """Check that the jobs have the curve that they shall return.

    Raises:
        UserError: there is no validation part; nothing is to be chosen by the test images.
    """
    if curve and any(job.config and not job.validation_size for job in jobs):
        raise UserError(
            f"hydra.launcher.returns={curve}: needs images held out, such as data.validation_size=5000",
            Code.INCOMPATIBLE,
            ("hydra.launcher.returns", "data.validation_size"),
        )

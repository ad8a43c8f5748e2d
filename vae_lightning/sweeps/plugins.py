"""The plugins for Hydra: launchers and a sweeper. Nothing heavy is imported before a sweep starts."""

import importlib
import sys
from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vae_lightning.composing import resolved

if TYPE_CHECKING:
    from vae_lightning.sweeps.jobs import Job
    from vae_lightning.sweeps.launch import Plan

NAMESPACE = "hydra_plugins.vae_lightning"
"""The package from which alone Hydra builds plugins."""


class OurLauncher(Launcher):
    """The base of the launchers: a sweep fails if one of its jobs did, but only after all others are done."""

    def __init__(self, **settings: Any) -> None:
        self.settings: dict[str, Any] = OmegaConf.to_container(OmegaConf.create(settings))  # type: ignore[assignment]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.loader = hydra_context.config_loader
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Do the jobs; each is one run of vae-train, in a process of its own."""
        from vae_lightning.sweeps.planning import planned

        overrides = [filter_overrides(job) for job in job_overrides]
        return self.returns(self.done(partial(planned, self.loader, self.config, overrides, initial_job_idx)))

    def done(self, plan: "Plan") -> "list[Job]":
        """Return the jobs that are planned, with what came of each."""
        raise NotImplementedError

    def returns(self, jobs: "Sequence[Job]") -> list[JobReturn]:
        """Return what came of the jobs in the terms of Hydra. Raises UserError where some failed.

        A sweeper that optimises (``returns``) counts failures itself; reading the value of a failed job raises there.
        """
        from vae_lightning.sweeps.jobs import failed_jobs, failures, values_of_all

        if failures(jobs) and not self.settings["returns"]:
            raise failed_jobs(jobs)
        returned = []
        for job, found in zip(jobs, values_of_all(jobs, self.settings["returns"]), strict=True):
            status = JobStatus.FAILED if found is None else JobStatus.COMPLETED
            value = failed_jobs([job]) if found is None else found
            config = OmegaConf.create(job.config.plain() if job.config else {})
            returned.append(JobReturn(job.overrides, config, status=status, _return_value=value))
        return returned


def _common_data(config: DictConfig) -> "tuple[dict[str, Any], int] | None":
    """Return the node of the data and the seed; None where the data are swept over, or are not such a node."""
    given = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
    if any(override.is_sweep_override() for override in given if override.key_or_group.startswith("data")):
        return None
    try:
        return OmegaConf.to_container(config.data, resolve=True), int(config.seed)  # type: ignore[return-value]
    except (OmegaConfBaseException, TypeError, ValueError):  # the plan of the sweep will say what is wrong
        return None


class PoolLauncher(OurLauncher):
    """``hydra/launcher=pool``: jobs in the slots of this machine."""

    __module__ = NAMESPACE

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Start the process from which the jobs are forked; its imports take longer than ours."""
        from vae_lightning.sweeps.process import fork_server

        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.context = fork_server(_common_data(config))

    def done(self, plan: "Plan") -> "list[Job]":
        from vae_lightning.sweeps.launch import launch_in_pool

        return launch_in_pool(plan, self.settings, self.context)


class SlurmLauncher(OurLauncher):
    """``hydra/launcher=slurm``: each job a SLURM job."""

    __module__ = NAMESPACE

    def done(self, plan: "Plan") -> "list[Job]":
        from vae_lightning.sweeps.launch import launch_in_slurm

        return launch_in_slurm(plan, self.settings)


class BisectSweeper(Sweeper):
    """``hydra/sweeper=bisect``: the KL weight at which the number of active units changes."""

    __module__ = NAMESPACE

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.chosen = config
        self.loader = hydra_context.config_loader
        self.engine = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Search in each combination of the values of the arguments, and print what was found."""
        from vae_lightning.errors import Code, UserError
        from vae_lightning.sweeps.bisect import bisect

        if curve := self.chosen.hydra.launcher.get("returns"):
            message = f"hydra.launcher.returns={curve}: is for other sweepers; bisect counts active units"
            raise UserError(message, Code.INCOMPATIBLE, ["hydra.launcher.returns", "hydra/sweeper"])

        def compose(overrides: Sequence[str]) -> dict[str, Any]:
            return resolved(self.loader.load_sweep_config(self.chosen, list(overrides)), derive=False)

        parsed = OverridesParser.create(config_loader=self.loader).parse_overrides(arguments)
        bisect(parsed, self.settings, compose, self.engine)


def register() -> None:
    """Register the plugins with Hydra, under names in the package from which alone it builds any."""
    package, _, name = NAMESPACE.partition(".")
    try:
        namespace = importlib.import_module(package)  # there, where other plugins are installed
    except ModuleNotFoundError:
        namespace = sys.modules[package] = ModuleType(package)
        namespace.__path__ = []
    sys.modules[NAMESPACE] = sys.modules[__name__]
    setattr(namespace, name, sys.modules[__name__])
    for plugin in (PoolLauncher, SlurmLauncher, BisectSweeper):
        Plugins.instance().register(plugin)

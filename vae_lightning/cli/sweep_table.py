"""Prints one table when a multirun ends. A Hydra callback, because Hydra runs the jobs."""

from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback


class SweepTable(Callback):
    """Collects what the jobs of a multirun return."""

    def __init__(self) -> None:
        self.results: list[dict[str, Any]] = []

    def on_job_end(self, config: Any, job_return: JobReturn, **kwargs: Any) -> None:
        if job_return.status == JobStatus.COMPLETED:
            self.results.append(job_return.return_value)

    def on_multirun_end(self, config: Any, **kwargs: Any) -> None:
        from rich.console import Console

        from vae_lightning.report.tables import run_table

        if self.results:
            console = Console()
            console.print(run_table(self.results, console.width))

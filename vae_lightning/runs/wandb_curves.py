"""The local curves as Weights & Biases shows them, and what else of a run goes there."""

import contextlib
import math
import shlex
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from vae_lightning.errors import first_line
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.results import Results
from vae_lightning.runs.wandb_probe import answers

if TYPE_CHECKING:
    import wandb

GIVE_UP_TIMEOUT_S = 1.0
STEP = "trainer/global_step"


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
        """Let the block talk to W&B; what goes wrong there ends the window, and is told once."""
        try:
            yield
        except Exception as error:
            if not self.broken:
                failed = f"W&B has failed and is left alone ({first_line(error)}); the run goes on"
                self.tell(f"{failed}. Upload later: {shlex.join(['wandb', 'sync', self.experiment.settings.sync_dir])}")
            self.broken = True

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:  # type: ignore[override]
        """Write a row; a list, one value for each latent unit, becomes a histogram."""
        self._write_row(lambda: {**{name: _shown(value) for name, value in metrics.items()}, STEP: step})

    @rank_zero_only
    def log_image(self, key: str, images: list[Any], step: int | None = None, **_: Any) -> None:
        import wandb

        self._write_row(lambda: {key: [wandb.Image(image) for image in images]})

    def _write_row(self, values: Callable[[], dict[str, Any]]) -> None:
        """Write a row, unless the server has it."""
        row, self.next_row = self.next_row, self.next_row + 1
        if not self.broken and row >= self.rows_there:
            with self.unharmed():
                self.experiment.log(values(), step=row, commit=True)

    def replay(self, run_directory: Path) -> None:
        """Write the lines that a continued run has already."""
        for line in read_curves(run_directory):
            self.log_metrics({name: value for name, value in line.items() if name != "step"}, line["step"])

    def conclude(self, results: Results, checkpoint: Path | None) -> None:
        """Put the results into the summary; add the checkpoint as an artefact where one is given."""
        import wandb

        with self.unharmed():
            self.experiment.summary.update(results.wandb_summary())
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
            answers.cache_clear()  # the next run of this process asks anew
            give_up()


def give_up() -> None:
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

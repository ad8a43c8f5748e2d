"""Where a run resumes: at its own last checkpoint, at that of a shorter run which it extends, or not at all."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from vae_lightning.errors import Code, UserError
from vae_lightning.module import VAE
from vae_lightning.runs.checkpoints import THREADS, newest_good_checkpoint
from vae_lightning.runs.curves import CURVE_LINES
from vae_lightning.runs.directory import CONFIG, read_config
from vae_lightning.runs.identity import CURVE_STEPS, differences, settings
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.runs.upgrade import upgraded
from vae_lightning.schedules import has_feedback
from vae_lightning.training_step import TrainingStep

LENGTH = "trainer.max_epochs"


class ResumePoint(NamedTuple):
    """A checkpoint, the optimiser steps and the lines of the curves before it, and by how many threads which run wrote
    it."""

    checkpoint: Path
    steps: int
    curve_lines: int
    run_directory: Path
    threads: int | None


def resume_point_of(run_directory: Path, tell: Callable[[str], None], set_aside: bool) -> ResumePoint | None:
    """Return where a run stopped, None if it has no checkpoint. See :func:`newest_good_checkpoint`."""
    if found := newest_good_checkpoint(run_directory, tell, set_aside):
        path, content = found
        return ResumePoint(path, content["global_step"], content[CURVE_LINES], run_directory, content.get(THREADS))
    return None


def resume_point_in_shorter_run(
    config: RunConfig, model: VAE, steps_per_epoch: int, tell: Callable[[str], None]
) -> ResumePoint | None:
    """Return where the run named by ``resume_from`` stopped; None where none is named.

    The run must become, bit for bit, what it would be without the shorter one: so nothing but the length may differ,
    and nothing that was done until then may depend on it.

    Raises UserError where it is no run, has no checkpoint, is not shorter, or its beginning is not that of this run.
    """
    if config.resume_from is None:
        return None
    folder = Path(config.resume_from)
    key = f"resume_from={folder}"
    if not (folder / CONFIG).is_file():
        raise UserError(f"{key}: not a run directory (it has no {CONFIG})", Code.NOT_FOUND, ["resume_from"])
    saved = upgraded(read_config(folder))
    others = differences(settings(saved, (CURVE_STEPS,)), settings(config.plain(), (CURVE_STEPS,)))
    others.pop(LENGTH, None)
    if others:
        lines = "\n".join(f"  {line}" for line in others.values())
        raise UserError(f"{key}: differs in more than its length\n{lines}", Code.CHANGED, ["resume_from", *others])
    epochs, longer = saved["trainer"]["max_epochs"], config.trainer["max_epochs"]
    if epochs >= longer:
        reason = f"{key}: has {LENGTH}={epochs}; more than that can be asked for, not {longer}"
        raise UserError(reason, Code.INVALID, ["resume_from", LENGTH])
    start = resume_point_of(folder, tell, set_aside=False)
    if start is None:
        raise UserError(f"{key}: has no checkpoint to go on from", Code.NOT_FOUND, ["resume_from"])
    for name, schedule in _schedules(model).items():
        # The learning rate of the next step is in the checkpoint already.
        for step in range(start.steps + 1):
            then, now = (schedule(TrainingStep(step, n * steps_per_epoch, steps_per_epoch)) for n in (epochs, longer))
            if then != now:
                reason = f"{key}: {name} depends on the run's length: at step {step} {then:.6g} there, {now:.6g} here; "
                reason += "lengths given as '5 epochs' do not depend on it"
                raise UserError(reason, Code.INCOMPATIBLE, ["resume_from", name])
    return start


def _schedules(model: VAE) -> dict[str, Callable[[TrainingStep], float]]:
    found: dict[str, Callable[[TrainingStep], float]] = {"lr_schedule": model.lr_schedule}
    if not has_feedback(model.beta_schedule):
        found["beta_schedule"] = model.beta_schedule  # type: ignore[assignment]  # it is a plain function
    return found | {f"objective.{name}": schedule for name, schedule in model.objective.schedules().items()}

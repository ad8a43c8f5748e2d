"""Shows each latent unit live or die: per epoch, the KL and the variance of the mean of every unit."""

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import WandbLogger

from vae_lightning.module import VAE
from vae_lightning.runs.curves import JsonLinesLogger


class UnitMonitor(Callback):
    """Writes lists of one value per unit to the local curves and histograms to W&B."""

    def on_validation_end(self, trainer: Trainer, pl_module: VAE) -> None:  # type: ignore[override]
        if pl_module.evaluation is None or not trainer.is_global_zero:
            return
        split = pl_module.data.curve_split
        values = {
            f"{split}/kl_per_unit": pl_module.evaluation.terms.kl_per_unit.tolist(),
            f"{split}/variance_of_mean_per_unit": pl_module.evaluation.means.variance.tolist(),
        }
        step = trainer.global_step - 1  # the last step taken, as Lightning numbers its own epoch values
        for logger in trainer.loggers:
            if isinstance(logger, JsonLinesLogger):
                logger.log_metrics({**values, "epoch": trainer.current_epoch}, step)
            elif isinstance(logger, WandbLogger):
                import wandb

                histograms = {name: wandb.Histogram(list_) for name, list_ in values.items()}
                logger.experiment.log({**histograms, "trainer/global_step": step})

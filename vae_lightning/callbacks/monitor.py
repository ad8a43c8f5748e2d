"""Shows each latent unit live or die: per epoch, the KL and the variance of the mean of every unit."""

from typing import Any

from lightning.pytorch import Callback, Trainer

from vae_lightning.module import VAE


class UnitMonitor(Callback):
    """Writes lists of one value per unit: as such into the local curves, as histograms into W&B."""

    def on_validation_end(self, trainer: Trainer, pl_module: VAE) -> None:  # type: ignore[override]
        if pl_module.evaluation is None:
            return
        split = pl_module.data.curve_split
        values: dict[str, Any] = {
            f"{split}/kl_per_unit": pl_module.evaluation.terms.kl_per_unit.tolist(),
            f"{split}/variance_of_mean_per_unit": pl_module.evaluation.means.variance.tolist(),
            "epoch": trainer.current_epoch,
        }
        for logger in trainer.loggers:
            logger.log_metrics(values, trainer.global_step - 1)

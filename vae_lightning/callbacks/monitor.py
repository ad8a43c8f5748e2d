"""Curves of every latent unit: per epoch, its KL and the variance of its posterior mean."""

from typing import Any

from lightning.pytorch import Callback, Trainer

from vae_lightning.module import VAE


class UnitMonitor(Callback):
    """A callback that logs lists with one value per unit; the local curves keep the lists, W&B shows histograms."""

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

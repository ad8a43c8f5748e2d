"""Every diagnostic of a trained model on the test images: what `vae-evaluate` does, and a run's last step."""

from vae_lightning.evaluation.evaluator import AFTER_TRAINING, Effort, Evaluator
from vae_lightning.evaluation.findings import Findings
from vae_lightning.evaluation.probes import forecast_of

__all__ = ["AFTER_TRAINING", "Effort", "Evaluator", "Findings", "forecast_of"]

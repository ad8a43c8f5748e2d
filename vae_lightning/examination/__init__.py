"""Every diagnostic of a trained model on the test images: what `vae-evaluate` does, and a run's last step."""

from vae_lightning.examination.findings import Findings
from vae_lightning.examination.passing import AFTER_TRAINING, Effort, Examination
from vae_lightning.examination.probing import forecast_of

__all__ = ["AFTER_TRAINING", "Effort", "Examination", "Findings", "forecast_of"]

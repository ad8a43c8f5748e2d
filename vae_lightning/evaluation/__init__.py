"""Every diagnostic of a trained model on the test images: what `vae-evaluate` does, and a run's last step."""

from vae_lightning.evaluation.evaluated import Effort, Evaluated
from vae_lightning.evaluation.evaluator import RESIDUAL_SAMPLES, Evaluator
from vae_lightning.evaluation.measure import Metric, check_keys, gives, metric_of
from vae_lightning.evaluation.metrics import OWN
from vae_lightning.evaluation.probes import OF_THE_IMAGES, forecast_of

__all__ = [
    "OF_THE_IMAGES",
    "OWN",
    "RESIDUAL_SAMPLES",
    "Effort",
    "Evaluated",
    "Evaluator",
    "Metric",
    "check_keys",
    "forecast_of",
    "gives",
    "metric_of",
]

"""What a trained model knows: pure functions, and thin torchmetrics shells that sum over batches and ranks."""

from vae_lightning.diagnostics.active_units import MeanMoments, PosteriorMeanMoments, active_units
from vae_lightning.diagnostics.kinds import NearestKinds
from vae_lightning.diagnostics.mutual_information import mutual_information_bound
from vae_lightning.diagnostics.rate_distortion import RateDistortion, RateDistortionMetric

__all__ = [
    "MeanMoments",
    "NearestKinds",
    "PosteriorMeanMoments",
    "RateDistortion",
    "RateDistortionMetric",
    "active_units",
    "mutual_information_bound",
]

"""What a trained model knows: pure functions, and thin torchmetrics shells that sum over batches and ranks."""

from vae_lightning.diagnostics.active_units import (
    MeanMoments,
    PosteriorMeanMoments,
    active_directions,
    active_units,
    collapse_epsilon,
    share_collapsed,
)
from vae_lightning.diagnostics.classes import NearestNeighbourClassifier, linear_probe
from vae_lightning.diagnostics.information import MutualInformation, log_px, mutual_information
from vae_lightning.diagnostics.latent_space import (
    NearTheData,
    Sensitivity,
    continuity,
    decoder_sensitivity,
    frechet_distance_to_prior,
)
from vae_lightning.diagnostics.over_images import PerImageMetric, RateDistortion, RateDistortionMetric
from vae_lightning.diagnostics.residual import (
    ResidualMoments,
    ResidualRows,
    ResidualSpectrum,
    residual_moments,
    residual_spectrum,
)
from vae_lightning.diagnostics.verdicts import Verdict, verdict

__all__ = [
    "MeanMoments", "MutualInformation", "NearTheData", "NearestNeighbourClassifier", "PerImageMetric",
    "PosteriorMeanMoments", "RateDistortion", "RateDistortionMetric", "ResidualMoments", "ResidualRows",
    "ResidualSpectrum", "Sensitivity", "Verdict",
    "active_directions", "active_units", "collapse_epsilon", "continuity", "decoder_sensitivity",
    "frechet_distance_to_prior", "linear_probe", "log_px", "mutual_information", "residual_moments",
    "residual_spectrum", "share_collapsed", "verdict",
]  # fmt: skip

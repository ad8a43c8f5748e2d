"""What a trained model knows: pure functions, and thin torchmetrics shells that sum over batches and ranks."""

import importlib
from typing import TYPE_CHECKING, Any

from vae_lightning.diagnostics.active_units import (
    MeanMoments,
    active_directions,
    active_units,
    collapse_epsilon,
    share_collapsed,
)
from vae_lightning.diagnostics.classes import NearestNeighbourClassifier, linear_probe
from vae_lightning.diagnostics.gradients import GradientMoments, gradient_moments
from vae_lightning.diagnostics.information import MutualInformation, log_px, mutual_information
from vae_lightning.diagnostics.latent_space import (
    NearTheData,
    Sensitivity,
    continuity,
    decoder_sensitivity,
    frechet_distance_to_prior,
    read_in_nats,
)
from vae_lightning.diagnostics.over_images import RateDistortion
from vae_lightning.diagnostics.progress import still_falling
from vae_lightning.diagnostics.regions import RegionalGain, regional_gains
from vae_lightning.diagnostics.residual import Residuals, ResidualSpectrum, residual_spectrum
from vae_lightning.diagnostics.verdicts import MORE_REGIONS, SOME_REGIONS, Evidence, Verdict, evidence, verdict

if TYPE_CHECKING:
    from vae_lightning.diagnostics.metrics import (
        PerImageMetric,
        PosteriorMeanMoments,
        RateDistortionMetric,
        ResidualRows,
    )

SHELLS = {"PerImageMetric", "PosteriorMeanMoments", "RateDistortionMetric", "ResidualRows"}
"""Imported when asked for: torchmetrics takes seconds, and a library user may not have it."""


def __getattr__(name: str) -> Any:
    """Import what is not always needed."""
    if name in SHELLS:
        return getattr(importlib.import_module(f"{__name__}.metrics"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "MORE_REGIONS", "SOME_REGIONS", "Evidence", "GradientMoments", "MeanMoments", "MutualInformation",
    "NearTheData", "NearestNeighbourClassifier", "PerImageMetric", "PosteriorMeanMoments", "RateDistortion",
    "RateDistortionMetric", "RegionalGain", "ResidualRows", "ResidualSpectrum", "Residuals", "Sensitivity",
    "Verdict", "active_directions", "active_units", "collapse_epsilon", "continuity", "decoder_sensitivity",
    "evidence", "frechet_distance_to_prior", "gradient_moments", "linear_probe", "log_px", "mutual_information",
    "read_in_nats", "regional_gains", "residual_spectrum", "share_collapsed", "still_falling", "verdict",
]  # fmt: skip

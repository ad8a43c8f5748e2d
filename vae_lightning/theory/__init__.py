"""Closed forms and forecasts: what a VAE will learn, from the data's moments. Pure functions, no training."""

from vae_lightning.theory.collapse import LEAST_DIRECTIONS, Forecast, NoForecast, forecast, lives
from vae_lightning.theory.conventions import (
    Convention,
    Loss,
    LossInNats,
    bernoulli_conventions,
    from_loss,
    gaussian_conventions,
)
from vae_lightning.theory.held_out import HeldOut
from vae_lightning.theory.linear_vae import (
    LinearVAE,
    collapsed_share,
    learned_critical_weights,
    learned_variance,
    linear_vae,
)
from vae_lightning.theory.moments import MomentsOfMany, PixelMoments, pixel_moments

__all__ = [
    "LEAST_DIRECTIONS",
    "Convention",
    "Forecast",
    "HeldOut",
    "LinearVAE",
    "Loss",
    "LossInNats",
    "MomentsOfMany",
    "NoForecast",
    "PixelMoments",
    "bernoulli_conventions",
    "collapsed_share",
    "forecast",
    "from_loss",
    "gaussian_conventions",
    "learned_critical_weights",
    "learned_variance",
    "linear_vae",
    "lives",
    "pixel_moments",
]  # fmt: skip

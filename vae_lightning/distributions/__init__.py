"""Posteriors and likelihoods; the prior is N(0, I)."""

from vae_lightning.distributions.batch_norm import BatchNormPosterior
from vae_lightning.distributions.bernoulli import BernoulliLikelihood, ContinuousBernoulliLikelihood
from vae_lightning.distributions.discretized_logistic import DiscretizedLogisticLikelihood
from vae_lightning.distributions.full_covariance import FullCovariancePosterior, FullGaussian
from vae_lightning.distributions.gaussian import (
    GaussianLearnedLikelihood,
    GaussianLikelihood,
    GaussianOptimalLikelihood,
)
from vae_lightning.distributions.gaussian_per_pixel import GaussianPerPixelLikelihood
from vae_lightning.distributions.location_scale import LocationScale, LocationScalePosterior
from vae_lightning.distributions.point import Point, PointPosterior
from vae_lightning.distributions.protocols import ExponentialFamily, Likelihood, Posterior, PosteriorFamily
from vae_lightning.distributions.standard_noise import (
    StandardNoise,
    gaussian_noise,
    laplace_noise,
    logistic_noise,
    student_t_noise,
)

__all__ = [
    "BatchNormPosterior",
    "BernoulliLikelihood",
    "ContinuousBernoulliLikelihood",
    "DiscretizedLogisticLikelihood",
    "ExponentialFamily",
    "FullCovariancePosterior",
    "FullGaussian",
    "GaussianLearnedLikelihood",
    "GaussianLikelihood",
    "GaussianOptimalLikelihood",
    "GaussianPerPixelLikelihood",
    "Likelihood",
    "LocationScale",
    "LocationScalePosterior",
    "Point",
    "PointPosterior",
    "Posterior",
    "PosteriorFamily",
    "StandardNoise",
    "gaussian_noise",
    "laplace_noise",
    "logistic_noise",
    "student_t_noise",
]

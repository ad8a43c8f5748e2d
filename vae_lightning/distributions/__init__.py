"""Priors, posteriors and likelihoods: what they sample, their log-densities, their KL, and facts about them."""

from vae_lightning.distributions.bernoulli import BernoulliLikelihood, ContinuousBernoulliLikelihood
from vae_lightning.distributions.categorical import CategoricalLikelihood
from vae_lightning.distributions.discretized_logistic import DiscretizedLogisticLikelihood
from vae_lightning.distributions.full_covariance import FullCovariancePosterior, FullGaussian
from vae_lightning.distributions.gaussian import (
    GaussianLearnedLikelihood,
    GaussianLikelihood,
    GaussianOptimalLikelihood,
)
from vae_lightning.distributions.gaussian_per_pixel import GaussianPerPixelLikelihood
from vae_lightning.distributions.likelihood import Likelihood, LikelihoodFacts
from vae_lightning.distributions.location_scale import (
    BatchNormPosterior,
    ConstantVariancePosterior,
    LocationScale,
    LocationScalePosterior,
)
from vae_lightning.distributions.negative_binomial import NegativeBinomialLikelihood
from vae_lightning.distributions.point import Point, PointPosterior
from vae_lightning.distributions.poisson import PoissonLikelihood
from vae_lightning.distributions.posterior import Posterior, PosteriorFamily
from vae_lightning.distributions.prior import Prior, StandardNormalPrior
from vae_lightning.distributions.standard_noise import (
    StandardNoise,
    gaussian_noise,
    laplace_noise,
    logistic_noise,
    student_t_noise,
)
from vae_lightning.distributions.student_t import StudentTLikelihood

__all__ = [
    "BatchNormPosterior", "BernoulliLikelihood", "CategoricalLikelihood", "ConstantVariancePosterior",
    "ContinuousBernoulliLikelihood", "DiscretizedLogisticLikelihood", "FullCovariancePosterior", "FullGaussian",
    "GaussianLearnedLikelihood", "GaussianLikelihood", "GaussianOptimalLikelihood", "GaussianPerPixelLikelihood",
    "Likelihood", "LikelihoodFacts", "LocationScale", "LocationScalePosterior", "NegativeBinomialLikelihood",
    "Point", "PointPosterior", "PoissonLikelihood", "Posterior", "PosteriorFamily", "Prior", "StandardNoise",
    "StandardNormalPrior", "StudentTLikelihood", "gaussian_noise", "laplace_noise", "logistic_noise",
    "student_t_noise",
]  # fmt: skip

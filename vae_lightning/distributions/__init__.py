"""Posteriors and likelihoods; the prior is N(0, I)."""

from vae_lightning.distributions.gaussian import DiagonalGaussian, DiagonalPosterior
from vae_lightning.distributions.likelihoods import BernoulliLikelihood, GaussianLikelihood
from vae_lightning.distributions.protocols import Likelihood, Posterior, PosteriorFamily

__all__ = [
    "BernoulliLikelihood",
    "DiagonalGaussian",
    "DiagonalPosterior",
    "GaussianLikelihood",
    "Likelihood",
    "Posterior",
    "PosteriorFamily",
]

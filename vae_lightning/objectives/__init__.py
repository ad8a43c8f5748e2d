"""Bounds on log p(x) and their gradient estimators, as pure functions of tensors: noise and weight are arguments."""

from vae_lightning.objectives.bound import Bound, Decoder, Draw, Terms, elbo_terms
from vae_lightning.objectives.elbo import Capacity, Elbo, FreeBits
from vae_lightning.objectives.estimators import (
    DoublyReparameterized,
    EstimatorFacts,
    Pathwise,
    ScoreFunction,
    StickingTheLanding,
    Vimco,
)
from vae_lightning.objectives.iwae import Iwae
from vae_lightning.objectives.mmd import Mmd, mmd_from_prior
from vae_lightning.objectives.protocol import Estimator, Objective, ObjectiveFacts, Unpriced

__all__ = [
    "Bound", "Capacity", "Decoder", "DoublyReparameterized", "Draw", "Elbo", "Estimator", "EstimatorFacts", "FreeBits",
    "Iwae", "Mmd", "Objective", "ObjectiveFacts", "Pathwise", "ScoreFunction", "StickingTheLanding", "Terms",
    "Unpriced", "Vimco", "elbo_terms", "mmd_from_prior",
]  # fmt: skip

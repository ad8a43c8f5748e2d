"""Bounds on log p(x), as pure functions of tensors: noise and the KL weight come in as arguments."""

from vae_lightning.objectives.bound import Bound
from vae_lightning.objectives.elbo import Decoder, Elbo

__all__ = ["Bound", "Decoder", "Elbo"]

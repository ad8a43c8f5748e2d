"""What steps the weights beyond torch's own optimisers."""

from vae_lightning.optimizers.aggressive import Aggressive
from vae_lightning.optimizers.separate import OptimizerFactory, ParameterGroups, Separate, optimizer_of

__all__ = ["Aggressive", "OptimizerFactory", "ParameterGroups", "Separate", "optimizer_of"]

"""What steps the weights beyond torch's own optimisers, and learning rates over time."""

from vae_lightning.optimizers.aggressive import Aggressive
from vae_lightning.optimizers.lr_schedules import constant, cosine, staircase
from vae_lightning.optimizers.separate import OptimizerFactory, ParameterGroups, Separate, optimizer_of

__all__ = [
    "Aggressive",
    "OptimizerFactory",
    "ParameterGroups",
    "Separate",
    "constant",
    "cosine",
    "optimizer_of",
    "staircase",
]

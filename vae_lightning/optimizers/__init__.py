"""What steps the weights beyond torch's own optimisers."""

from vae_lightning.optimizers.aggressive import Aggressive
from vae_lightning.optimizers.separate import (
    Hooks,
    LossOf,
    OptimizerFactory,
    ParameterGroups,
    Separate,
    hooks_of,
    optimizer_of,
)

__all__ = [
    "Aggressive",
    "Hooks",
    "LossOf",
    "OptimizerFactory",
    "ParameterGroups",
    "Separate",
    "hooks_of",
    "optimizer_of",
]

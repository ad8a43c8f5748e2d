"""Step of the run -> multiplier of the KL weight or of the learning rate: pure functions, and two controllers."""

from vae_lightning.schedules.controllers import Controller, ControlVAE, Geco, has_feedback
from vae_lightning.schedules.functions import constant, cosine_decay, cyclical, rise, sigmoid, staircase
from vae_lightning.training_step import Schedule

__all__ = [
    "ControlVAE", "Controller", "Geco", "Schedule", "constant", "cosine_decay", "cyclical", "has_feedback", "rise",
    "sigmoid", "staircase",
]  # fmt: skip

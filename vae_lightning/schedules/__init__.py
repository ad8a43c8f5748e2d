"""Step of the run -> multiplier of the KL weight or of the learning rate: pure functions, and two controllers."""

from vae_lightning.schedules.beta import constant, cyclical, rise, sigmoid
from vae_lightning.schedules.controllers import Controller, ControlVAE, Geco
from vae_lightning.schedules.learning_rate import cosine_decay, staircase

__all__ = ["ControlVAE", "Controller", "Geco", "constant", "cosine_decay", "cyclical", "rise", "sigmoid", "staircase"]

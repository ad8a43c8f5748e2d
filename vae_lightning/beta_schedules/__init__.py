"""Moment -> multiplier of the KL weight: pure functions of the step, and two controllers with state."""

from vae_lightning.beta_schedules.controllers import Controller, ControlVAE, Geco
from vae_lightning.beta_schedules.schedules import constant, cyclical, rise, sigmoid

__all__ = ["ControlVAE", "Controller", "Geco", "constant", "cyclical", "rise", "sigmoid"]

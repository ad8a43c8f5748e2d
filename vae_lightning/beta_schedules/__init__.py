"""Step -> multiplier of the KL weight."""

from vae_lightning.beta_schedules.schedules import constant, cyclical, linear

__all__ = ["constant", "cyclical", "linear"]

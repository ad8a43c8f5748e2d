"""Why a VAE's decoder learns to ignore its latent code, when that happens, and what prevents it."""

from importlib.metadata import version

__version__ = version("vae-lightning")

"""Config -> objects. The only place that calls ``hydra.utils.instantiate``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger

from vae_lightning.data import ImageDataModule
from vae_lightning.errors import UserError
from vae_lightning.module import VAE, OptimizerFactory
from vae_lightning.randomness import Stream, seed_for

Config = dict[str, Any]


def build_data(config: Config) -> ImageDataModule:
    """Build the data module and load its data. Raises UserError where the data cannot be had or do not fit."""
    node = {key: value for key, value in config["data"].items() if key != "name"}
    data: ImageDataModule = instantiate(node, seed=config["seed"])
    data.setup()
    return data


def build_model(config: Config, image_shape: tuple[int, int, int]) -> VAE:
    """Build the VAE with weights that are a function of the seed. Raises UserError where parts do not fit."""
    latent_dim = config["latent_dim"]
    posterior = instantiate(config["posterior"])
    optimizer: OptimizerFactory = instantiate(config["optimizer"])
    try:
        optimizer([torch.nn.Parameter(torch.zeros(1))])
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"optimizer: {error}") from error
    with torch.random.fork_rng():
        torch.manual_seed(seed_for(config["seed"], Stream.WEIGHTS))
        encoder = instantiate(config["model"]["encoder"], image_shape, posterior.n_parameters(latent_dim))
        decoder = instantiate(config["model"]["decoder"], latent_dim, image_shape)
    return VAE(
        encoder=encoder,
        decoder=decoder,
        posterior=posterior,
        likelihood=instantiate(config["likelihood"]),
        objective=instantiate(config["objective"]),
        beta_schedule=instantiate(config["beta_schedule"]),
        optimizer=optimizer,
        kl_weight=config["kl_weight"],
        latent_dim=latent_dim,
        seed=config["seed"],
    )


def build_trainer(
    config: Config, run_directory: Path, callbacks: Sequence[Callback], loggers: Sequence[Logger]
) -> Trainer:
    """Build the Trainer. Raises UserError where the devices asked for are not there."""
    trainer: Trainer = instantiate(config["trainer"], run_directory, callbacks, loggers, config["smoke"])
    return trainer

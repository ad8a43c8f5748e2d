"""Config -> objects. The only place that calls ``hydra.utils.instantiate``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch import Callback, Trainer

from vae_lightning.data import ImageDataModule
from vae_lightning.distributions import Likelihood, PosteriorFamily
from vae_lightning.errors import UserError
from vae_lightning.module import VAE, OptimizerFactory
from vae_lightning.randomness import Stream, seed_for

Config = dict[str, Any]


def _build(path: str, node: Config, *supplied: Any) -> Any:
    """Instantiate a node of the config. What its constructor refuses is told as an error of the key ``path``."""
    try:
        return instantiate(node, *supplied)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from error
        raise UserError(f"{path}: {error.__cause__ or error}") from error


def build_data(config: Config) -> ImageDataModule:
    """Build the data module and load its data. Raises UserError where the data cannot be had or do not fit."""
    node = {key: value for key, value in config["data"].items() if key != "name"}
    data: ImageDataModule = _build("data", node, config["seed"])
    data.setup()
    return data


def build_model(config: Config, image_shape: tuple[int, int, int]) -> VAE:
    """Build the VAE with weights that are a function of the seed. Raises UserError where parts do not fit."""
    latent_dim = config["latent_dim"]
    posterior = _build("posterior", config["posterior"])
    likelihood = _build("likelihood", config["likelihood"])
    for key, part, protocol in (("posterior", posterior, PosteriorFamily), ("likelihood", likelihood, Likelihood)):
        if not isinstance(part, protocol):
            raise UserError(f"{key}._target_={config[key]['_target_']}: has not what a {protocol.__name__} needs")
    optimizer: OptimizerFactory = _build("optimizer", config["optimizer"])
    try:
        optimizer([torch.nn.Parameter(torch.zeros(1))])
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"optimizer: {error}") from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(config["seed"], Stream.WEIGHTS))
        encoder = _build("model.encoder", config["model"]["encoder"], image_shape, posterior.n_parameters(latent_dim))
        decoder = _build("model.decoder", config["model"]["decoder"], latent_dim, image_shape)
    return VAE(
        encoder=encoder,
        decoder=decoder,
        posterior=posterior,
        likelihood=likelihood,
        objective=_build("objective", config["objective"]),
        beta_schedule=_build("beta_schedule", config["beta_schedule"]),
        optimizer=optimizer,
        kl_weight=config["kl_weight"],
        latent_dim=latent_dim,
        seed=config["seed"],
    )


def build_trainer(config: Config, run_directory: Path, callbacks: Sequence[Callback]) -> Trainer:
    """Build the Trainer, without loggers yet. Raises UserError where the devices asked for are not there."""
    trainer: Trainer = _build("trainer", config["trainer"], run_directory, callbacks, config["smoke"])
    return trainer

"""Config -> objects. The only place that calls ``hydra.utils.instantiate``.

Lightning, which takes seconds to import, is imported by those functions alone that build something of it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from vae_lightning.combinations import check_batch, check_controller, check_estimator, check_optimizer, check_posterior
from vae_lightning.data import Images
from vae_lightning.distributions import Likelihood, PosteriorFamily
from vae_lightning.errors import Code, UserError
from vae_lightning.objectives import Estimator, Objective
from vae_lightning.optimizers import OptimizerFactory, optimizer_of
from vae_lightning.randomness import Stream, seed_for

if TYPE_CHECKING:
    import lightning.pytorch

    import vae_lightning.data.module
    import vae_lightning.module

Config = dict[str, Any]


def _build(path: str, node: Config, *supplied: Any) -> Any:
    """Instantiate a node of the config. What its constructor refuses is told as an error of the key ``path``."""
    arguments = {key: value for key, value in node.items() if key != "name"}  # a name is for people
    try:
        return instantiate(arguments, *supplied)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from error
        raise UserError(f"{path}: {error.__cause__ or error}", Code.CANNOT_BUILD, [path]) from error


def _unfused(optimizer: Config) -> Config:
    """Return the node with fused=false throughout: Lightning cannot clip for a fused one in mixed precision."""
    return {
        key: _unfused(value) if isinstance(value, dict) else False if key == "fused" else value
        for key, value in optimizer.items()
    }


def _check_part(config: Config, key: str, part: object, protocol: type) -> None:
    if not isinstance(part, protocol):
        raise UserError(
            f"{key}._target_={config[key]['_target_']}: has not what a {protocol.__name__} needs",
            Code.INCOMPLETE_PART,
            [f"{key}._target_"],
        )


def build_splits(config: Config) -> dict[str, Images]:
    """Return what the data module would hold, for a config whose ``data`` names a function that returns splits."""
    splits: dict[str, Images] = _build("data", config["data"], config["seed"])
    return splits


def build_likelihood(config: Config) -> Likelihood:
    """Build the likelihood alone. Raises UserError where it is none."""
    likelihood = _build("likelihood", config["likelihood"])
    _check_part(config, "likelihood", likelihood, Likelihood)
    return likelihood  # type: ignore[no-any-return]


def build_data(config: Config) -> "vae_lightning.data.module.ImageDataModule":
    """Build the data module and load its data. Raises UserError where the data cannot be had or do not fit."""
    data: vae_lightning.data.module.ImageDataModule = _build("data", config["data"], config["seed"])
    data.setup()
    return data


def build_model(config: Config, image_shape: tuple[int, int, int]) -> "vae_lightning.module.VAE":
    """Build the VAE with weights that are a function of the seed. Raises UserError where parts do not fit."""
    from vae_lightning.module import VAE

    latent_dim = config["latent_dim"]
    estimator = _build("estimator", config["estimator"])
    objective = _build("objective", config["objective"], estimator)
    beta_schedule = _build("beta_schedule", config["beta_schedule"])
    posterior = _build("posterior", config["posterior"], latent_dim)
    likelihood = build_likelihood(config)
    _check_part(config, "posterior", posterior, PosteriorFamily)
    _check_part(config, "objective", objective, Objective)
    _check_part(config, "estimator", estimator, Estimator)
    check_estimator(objective, estimator)
    check_posterior(posterior, objective, estimator, latent_dim)
    check_batch(objective, posterior, config["data"]["batch_size"])
    check_controller(beta_schedule, objective, posterior, config["kl_weight"])
    trainer = config["trainer"]
    clips_mixed = trainer["gradient_clip_val"] is not None and trainer["precision"] != "32-true"
    node = _unfused(config["optimizer"]) if clips_mixed else config["optimizer"]
    optimizer: OptimizerFactory = _build("optimizer", node)
    try:
        trial = optimizer_of(optimizer, [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(2)])
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"optimizer: {error}", Code.CANNOT_BUILD, ["optimizer"]) from error
    check_optimizer(trial, posterior, config["trainer"]["precision"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(config["seed"], Stream.WEIGHTS))
        encoder = _build("model.encoder", config["model"]["encoder"], image_shape, posterior.n_parameters)
        channels, *size = image_shape
        output_shape = (channels * likelihood.values_per_pixel, *size)
        decoder = _build("model.decoder", config["model"]["decoder"], latent_dim, output_shape)
    return VAE(
        encoder=encoder,
        decoder=decoder,
        posterior=posterior,
        likelihood=likelihood,
        objective=objective,
        beta_schedule=beta_schedule,
        optimizer=optimizer,
        lr_schedule=_build("lr_schedule", config["lr_schedule"]),
        kl_weight=config["kl_weight"],
        latent_dim=latent_dim,
        seed=config["seed"],
    )


def build_trainer(
    config: Config, run_directory: Path, callbacks: Sequence["lightning.pytorch.Callback"]
) -> "lightning.pytorch.Trainer":
    """Build the Trainer, without loggers yet. Raises UserError where the devices asked for are not there."""
    trainer: lightning.pytorch.Trainer = _build("trainer", config["trainer"], run_directory, callbacks, config["smoke"])
    return trainer

"""Config -> objects. The only place that calls ``hydra.utils.instantiate``.

Lightning, which takes seconds to import, is imported by those functions alone that build something of it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from vae_lightning.combinations import check_complete, check_together, part_conflicts
from vae_lightning.data import Images
from vae_lightning.distributions import Likelihood, PosteriorFamily, Prior
from vae_lightning.errors import Code, UserError
from vae_lightning.objectives import Estimator, Objective
from vae_lightning.optimizers import OptimizerFactory, optimizer_of
from vae_lightning.randomness import Stream, seed_for
from vae_lightning.runs.run_config import Node, Part, RunConfig
from vae_lightning.runs.upgrade import TARGET
from vae_lightning.schedules import Controller, Schedule

if TYPE_CHECKING:
    import lightning.pytorch

    import vae_lightning.data.module
    import vae_lightning.evaluation
    import vae_lightning.module


def _build(path: str, node: Part | Node, *supplied: Any) -> Any:
    """Instantiate a node of the config. What its constructor refuses is told as an error of the key ``path``."""
    values = node.model_dump(exclude={"name"}) if isinstance(node, Part) else node  # a name is for people
    try:
        return instantiate(values, *supplied)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from error
        raise UserError(f"{path}: {error.__cause__ or error}", Code.CANNOT_BUILD, [path]) from error


def _unfused(optimizer: Node) -> Node:
    """Return the node with fused=false throughout: Lightning cannot clip for a fused one in mixed precision."""
    inside = {key: _unfused(value) if isinstance(value, dict) else value for key, value in optimizer.items()}
    return inside | ({"fused": False} if "fused" in optimizer else {})


def _build_checked(config: RunConfig, key: str, role: type, *supplied: Any) -> Any:
    """Instantiate a part. Raises UserError where it lacks members of its role."""
    node = getattr(config, key)
    part = _build(key, node, *supplied)
    check_complete(key, node[TARGET], part, role)
    return part


def build_splits(config: RunConfig) -> dict[str, Images]:
    """Return what the data module would hold, for a config whose ``data`` names a function that returns splits."""
    return cast("dict[str, Images]", _build("data", config.data, config.seed))


def build_likelihood(config: RunConfig) -> Likelihood:
    """Build the likelihood alone. Raises UserError where it is none."""
    return cast(Likelihood, _build_checked(config, "likelihood", Likelihood))


def build_objective(config: RunConfig) -> Objective:
    """Build the objective with its estimator. Raises UserError where one of them lacks members."""
    estimator = _build_checked(config, "estimator", Estimator)
    return cast(Objective, _build_checked(config, "objective", Objective, estimator))


def build_posterior(config: RunConfig) -> PosteriorFamily:
    """Build the family of posteriors. Raises UserError where it is none."""
    return cast(PosteriorFamily, _build_checked(config, "posterior", PosteriorFamily, config.latent_dim))


def build_beta_schedule(config: RunConfig) -> Schedule | Controller:
    """Build the beta schedule."""
    return cast("Schedule | Controller", _quick(_build("beta_schedule", config.beta_schedule)))


def _quick(schedule: Any) -> Any:
    """Return a partial of Hydra's as one of Python's: Hydra's checks its target at each call, as it did when it built
    it, which is a tenth of the step of a small model."""
    return partial(schedule.func, *schedule.args, **schedule.keywords) if isinstance(schedule, partial) else schedule


def build_metrics(config: RunConfig) -> "list[vae_lightning.evaluation.Metric]":
    """Return the user's own metrics. Raises UserError where one would write over a value of another."""
    from vae_lightning.evaluation import OWN, check_keys, metric_of

    metrics = []
    for index, node in enumerate(config.metrics):
        function = _build(f"metrics.{index}", {**node, "_partial_": True})
        metrics.append(metric_of(function, node["_target_"].rpartition(".")[2]))
    check_keys(metrics, OWN)
    return metrics


def build_data(config: RunConfig) -> "vae_lightning.data.module.ImageDataModule":
    """Build the data module and load its data. Raises UserError where the data cannot be had or do not fit."""
    data: vae_lightning.data.module.ImageDataModule = _build("data", config.data, config.seed)
    data.setup()
    return data


def share_data(
    node: Node, seed: int, facts: "Sequence[Callable[[vae_lightning.data.module.ImageDataModule], Any]]"
) -> None:
    """Load the data of a config's node and compute facts of them, for all that are forked from this process."""
    unnamed = {key: value for key, value in node.items() if key != "name"}
    data: vae_lightning.data.module.ImageDataModule = _build("data", unnamed, seed)
    data.setup()
    data.share()
    for fact in facts:
        data.once(fact)


def build_model(config: RunConfig, image_shape: tuple[int, int, int]) -> "vae_lightning.module.VAE":
    """Build the VAE with weights that are a function of the seed. Raises UserError where parts do not fit."""
    from vae_lightning.module import VAE

    latent_dim, kl_weight = config.latent_dim, config.kl_weight
    objective, posterior, likelihood = build_objective(config), build_posterior(config), build_likelihood(config)
    prior: Prior = _build_checked(config, "prior", Prior)
    beta_schedule = build_beta_schedule(config)
    optimizer, trial = _build_optimizer(config)
    sizes = {"latent_dim": latent_dim, "batch_size": config.data["batch_size"]}
    precision = config.trainer["precision"]
    parts = (objective, posterior, beta_schedule, trial)
    check_together(part_conflicts(*parts, kl_weight=kl_weight, precision=precision, **sizes))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(config.seed, Stream.WEIGHTS))
        encoder = _build("model.encoder", config.model.encoder, image_shape, posterior.n_parameters)
        output_shape = (image_shape[0] * likelihood.values_per_pixel, *image_shape[1:])
        decoder = _build("model.decoder", config.model.decoder, latent_dim, output_shape)
    return VAE(
        encoder=encoder,
        decoder=decoder,
        posterior=posterior,
        prior=prior,
        likelihood=likelihood,
        objective=objective,
        beta_schedule=beta_schedule,
        optimizer=optimizer,
        lr_schedule=_quick(_build("lr_schedule", config.lr_schedule)),
        kl_weight=kl_weight,
        latent_dim=latent_dim,
        seed=config.seed,
        gradient_clip_val=config.trainer["gradient_clip_val"],
    )


def _build_optimizer(config: RunConfig) -> tuple[OptimizerFactory, torch.optim.Optimizer]:
    """Return the factory of the optimiser and a trial of it. Raises UserError where its settings are wrong."""
    clips_mixed = config.trainer["gradient_clip_val"] is not None and config.trainer["precision"] != "32-true"
    node = _unfused(config.optimizer.model_dump(exclude={"name"})) if clips_mixed else config.optimizer
    optimizer: OptimizerFactory = _build("optimizer", node)
    try:
        return optimizer, optimizer_of(optimizer, [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(2)])
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"optimizer: {error}", Code.CANNOT_BUILD, ["optimizer"]) from error


def build_trainer(
    config: RunConfig, run_directory: Path, callbacks: Sequence["lightning.pytorch.Callback"]
) -> "lightning.pytorch.Trainer":
    """Build the Trainer, without loggers yet. Raises UserError where the devices asked for are not there."""
    trainer = _build("trainer", config.trainer, run_directory, callbacks, config.smoke)
    return cast("lightning.pytorch.Trainer", trainer)

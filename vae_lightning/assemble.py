"""Config -> objects. The only place that calls ``hydra.utils.instantiate``.

Lightning, which takes seconds to import, is imported by those functions alone that build something of it.
"""

import pkgutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from vae_lightning.combinations import check_complete, check_together, part_conflicts
from vae_lightning.data.accepted import remembered
from vae_lightning.data.content import digest_of_files, digest_of_splits
from vae_lightning.data.node import CONTENT, is_ours, nested
from vae_lightning.data.own_data import own
from vae_lightning.data.preparation import Prepared
from vae_lightning.data.scale import IN_UNIT_INTERVAL
from vae_lightning.data.splits import Splits
from vae_lightning.distributions import Likelihood, PosteriorFamily, Prior
from vae_lightning.errors import Code, UserError, first_line
from vae_lightning.networks import initialise, set_output_bias
from vae_lightning.networks.layers import joined
from vae_lightning.objectives import Estimator, Objective
from vae_lightning.optimizers import OptimizerFactory, optimizer_of
from vae_lightning.randomness import Stream, seed_for
from vae_lightning.runs import upgrade
from vae_lightning.runs.run_config import Node, Part, RunConfig
from vae_lightning.runs.upgrade import TARGET
from vae_lightning.schedules import Controller, Schedule

PAIR = 2
"""A mean and a log variance."""
MEAN_OFF_EDGE = 1e-3

if TYPE_CHECKING:
    import lightning.pytorch

    import vae_lightning.data.module
    import vae_lightning.evaluation
    import vae_lightning.module


def _build(path: str, node: Part | Node, *supplied: Any) -> Any:
    """Instantiate a node of the config. What its constructor refuses is told as an error of the key ``path``."""
    # A name is for people, a digest is for the fingerprint.
    values = node.model_dump(exclude={"name", CONTENT}) if isinstance(node, Part) else node
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


def build_splits(config: RunConfig) -> Prepared:
    """Return what the data module would hold, for a config whose ``data`` names a function that returns splits."""
    return cast(Prepared, _build("data", config.data, config.seed))


def with_content(node: Node) -> Node:
    """Return a checked section ``data`` with a digest of the data, where nothing else in it decides what they are.

    Raises UserError where the data cannot be had, or are not those of the digest that was there.
    """
    if not is_ours(node):
        return node
    source, before = dict(node["source"]), node.get(CONTENT)
    function = pkgutil.resolve_name(source[TARGET])
    named = getattr(function, "files", None)
    files = {key: source[key] for key in named or () if source.get(key) is not None}
    if files:
        source |= {key: str(Path(path).expanduser().absolute()) for key, path in files.items()}
        content = digest_of_files(files)
    elif named is None and (function is own or not upgrade.is_ours(source[TARGET])):
        content = digest_of_splits(_loaded(source))
    else:
        return node
    if before not in (None, content):
        where = ", ".join(files.values()) or source[TARGET]
        message = f"data: {where} changed since this run began (it was {before}, now {content})"
        raise UserError(message, Code.CHANGED, ["data", *files.values()])
    return {**node, "source": source, CONTENT: content}


def _loaded(source: Node) -> Splits:
    """Return what a source from outside gives. Raises UserError where it gives nothing."""
    function = _build("data.source", source)
    try:
        return remembered(function)
    except UserError:
        raise
    except Exception as error:  # whatever the user's function raises
        message = f"data.source._target_={source[TARGET]}: {type(error).__name__}: {first_line(error)}"
        raise UserError(message, Code.CANNOT_BUILD, ["data.source._target_"]) from error


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


def build_callbacks(config: RunConfig) -> "list[lightning.pytorch.Callback]":
    """Return the user's own callbacks. Raises UserError where one is none."""
    from lightning.pytorch import Callback

    found = [_build(f"callbacks.{index}", node) for index, node in enumerate(config.callbacks)]
    for index, callback in enumerate(found):
        if not isinstance(callback, Callback):
            message = f"callbacks.{index}: a {type(callback).__name__}; it must be a lightning.pytorch.Callback"
            raise UserError(message, Code.INVALID, [f"callbacks.{index}"])
    return found


def build_data(config: RunConfig) -> "vae_lightning.data.module.ImageDataModule":
    """Build the data module and load its data. Raises UserError where the data cannot be had or do not fit."""
    data: vae_lightning.data.module.ImageDataModule = _build("data", config.data, config.seed)
    data.setup()
    return data


def share_data(
    node: Node, seed: int, facts: "Sequence[Callable[[vae_lightning.data.module.ImageDataModule], Any]]"
) -> None:
    """Load the data of a config's node and compute facts of them, for all that are forked from this process."""
    unnamed = {key: value for key, value in nested(node).items() if key not in ("name", CONTENT)}
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
        # Here, because layers that wait for their first input draw their weights at it.
        _check_network("model.encoder", encoder, image_shape, (posterior.n_parameters,))
        _check_network("model.decoder", decoder, (latent_dim,), output_shape)
        initialise(encoder, config.model.init)
        initialise(decoder, config.model.init)
    if config.model.output_bias == "pixel_means":
        set_output_bias(
            decoder, torch.zeros(output_shape)
        )  # until the images are there; where it cannot be, refused now
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


def begin_at_mean_image(model: "vae_lightning.module.VAE", data: "vae_lightning.data.module.ImageDataModule") -> None:
    """Let a new decoder give the mean of the training images whatever the code, but for what its weights add.

    Means of pixels in [0, 1] are kept ``MEAN_OFF_EDGE`` away from the ends, where logits would be infinite (Burda et
    al. 2015). Raises UserError where the likelihood's values do not follow from a mean.
    """
    from vae_lightning.data.module import mean_image

    means = data.once(mean_image)
    if data.scale in IN_UNIT_INTERVAL:
        means = means.clamp(MEAN_OFF_EDGE, 1 - MEAN_OFF_EDGE)
    values = model.likelihood.values_of_mean(means)
    if values is None:
        reason = (
            "model.output_bias=pixel_means: of this likelihood a mean does not tell the decoder's values; take torch"
        )
        raise UserError(reason, Code.INCOMPATIBLE, ["model.output_bias", "likelihood"])
    set_output_bias(model.decoder, values)


@torch.no_grad()
def _check_network(key: str, network: Any, given: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise UserError unless a network turns two inputs of a shape into two outputs of the expected one."""
    if not isinstance(network, torch.nn.Module):
        message = f"{key}: a {type(network).__name__}; it must be a torch.nn.Module"
        raise UserError(message, Code.INVALID, [key])
    shown = f"{key}: given 2 x {_product(given)}"
    was_training = network.training
    try:
        outputs = network.eval()(torch.zeros(2, *given))
        if isinstance(outputs, tuple) and len(outputs) != PAIR:
            message = f"{shown}, it gives a tuple of {len(outputs)}; a tuple must be (mean, log variance)"
            raise UserError(message, Code.INCOMPATIBLE, [key])
        found = joined(outputs)
    except UserError:
        raise
    except Exception as error:  # whatever the user's module raises of a shape it does not take
        reason = f"{shown}, it raised {type(error).__name__}: {first_line(error)}"
        raise UserError(reason, Code.CANNOT_BUILD, [key]) from error
    finally:
        network.train(was_training)
    shape = tuple(found.shape[1:]) if isinstance(found, torch.Tensor) else None
    if shape != expected:
        gives = f"2 x {_product(shape)}" if shape is not None else f"a {type(found).__name__}"
        reason = f"{shown}, it gives {gives}; it must give 2 x {_product(expected)}"
        raise UserError(reason, Code.INCOMPATIBLE, [key])


def _product(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


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

"""A linear VAE at its known optimum, no training: the oracle on which every diagnostic has a closed form."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch import Trainer

from vae_lightning.assemble import build_data, build_model
from vae_lightning.config import checked
from vae_lightning.data import ImageDataModule
from vae_lightning.evaluation import Effort, Evaluated, Evaluator, Metric, forecast_of
from vae_lightning.module import VAE
from vae_lightning.runs.trainer import quieten_lightning
from vae_lightning.theory import LinearVAE, PixelMoments, linear_vae, pixel_moments

SPECTRUM = [4.0, 2.0, 1.0, 0.3, 0.1]
VARIANCE = 0.5
QUICK = Effort(importance_samples=10, residual_samples=2, thorough=True)
OVERRIDES = (
    "data=linear_gaussian",
    "data.source.n_training=4000",
    "model=linear",
    "likelihood.mean=identity",
    f"likelihood.variance={VARIANCE}",
    f"data.source.spectrum={SPECTRUM}".replace(" ", ""),
)


def optimum(
    configure: Callable[..., dict[str, Any]], latent_dim: int, kl_weight: float, *overrides: str
) -> tuple[VAE, ImageDataModule, LinearVAE]:
    """Return the optimal model, its data training vectors as test split (moments are then exact), and the truth."""
    config = configure(*OVERRIDES, f"latent_dim={latent_dim}", f"kl_weight={kl_weight}", *overrides)
    data = build_data(checked(config))
    data.splits["test"] = data.splits["train"]
    model = build_model(checked(config), data.image_shape)
    solution = linear_vae(torch.tensor(SPECTRUM, dtype=torch.float64), latent_dim, kl_weight, VARIANCE)
    moments = pixel_moments(data.splits["train"], "none")
    assert isinstance(moments, PixelMoments)
    _, vectors = torch.linalg.eigh(moments.covariance)
    basis = vectors.flip(1)[:, :latent_dim].float()
    networks: tuple[Any, Any] = (model.encoder, model.decoder)
    encoder, decoder = networks[0].layers[1], networks[1].layers[0]
    with torch.no_grad():
        decoder.weight.copy_(basis * solution.decoder_gain_squared.float().sqrt())
        decoder.bias.zero_()
        encoder.weight[:latent_dim] = (basis * solution.encoder_gain.float()).T
        if len(encoder.weight) > latent_dim:  # a posterior with scales of its own
            encoder.weight[latent_dim:] = 0
            encoder.bias.zero_()
            encoder.bias[latent_dim:] = solution.posterior_variance.float().log()
    return model, data, solution


def evaluation_of(
    model: VAE, data: ImageDataModule, kl_weight: float, effort: Effort = QUICK, metrics: Sequence[Metric] = ()
) -> Evaluator:
    """Return an evaluation that is done: what it gathered, and its results."""
    quieten_lightning()
    evaluation = Evaluator(model, data, kl_weight, effort, forecast_of(model, data), metrics)
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.test(evaluation, datamodule=data, verbose=False)
    return evaluation


def gathered(model: VAE, data: ImageDataModule, kl_weight: float) -> Evaluated:
    """Return what an evaluation of a model without faults gathered."""
    evaluation = evaluation_of(model, data, kl_weight)
    assert evaluation.results["caveats"] == []
    assert evaluation.evaluated is not None
    return evaluation.evaluated

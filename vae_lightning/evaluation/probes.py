"""What is asked of a trained model beside the pass over the test images: of its decoder on the prior, of its encoder's
means."""

import copy
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vae_lightning.combinations import under_objective
from vae_lightning.data import ImageDataModule
from vae_lightning.data.loader import as_floats
from vae_lightning.data.preparation import TRAINING_PART, binarized
from vae_lightning.data.splits import Images, Pixels
from vae_lightning.diagnostics import (
    NearestNeighbourClassifier,
    NearTheData,
    Sensitivity,
    continuity,
    decoder_sensitivity,
    linear_probe,
    read_in_nats,
)
from vae_lightning.diagnostics.classes import N_TRAINING
from vae_lightning.diagnostics.latent_space import N_STEPS, Decode
from vae_lightning.estimates import Mean
from vae_lightning.module import VAE
from vae_lightning.randomness import Stream, generator_for, seed_for
from vae_lightning.theory import Forecast, MomentsOfMany, NoForecast, PixelMoments, forecast, pixel_moments

N_CODES = 1000
"""Codes from the prior on which the decoder is measured, and images with which its own are compared."""
CODES_AT_ONCE = 100
"""Codes are decoded in pieces: what a convolution holds for a thousand of them is most of a run's memory."""
N_WALKS = 100
N_JUDGED = 1000
"""Test images on which the nearest neighbours are judged."""
N_REFERENCES = 10_000
"""Training images among which the nearest is looked for; of many pixels fewer."""
MOST_NUMBERS = 78_400_000
"""Of the images that are decoded or held for one question: 100,000 of MNIST's, 300 MB."""


def _prior_codes(model: VAE, stream: Stream, *position: int) -> Float[Tensor, "codes latent"]:
    generator = generator_for(model.seed, stream, *position, device=model.device)
    return model.prior.sample((N_CODES, model.latent_dim), generator)


def affordable(n: int, numbers_each: int, least: int = 20) -> int:
    """Return how many of ``n`` things to make or hold: fewer where each has many numbers, yet at least some."""
    return min(n, max(least, MOST_NUMBERS // numbers_each))


def _in_pieces(network: Decode) -> Decode:
    return lambda codes: torch.cat([network(piece) for piece in codes.split(CODES_AT_ONCE)])


def measured_sensitivity(
    model: VAE, data: ImageDataModule, pixel_variance: Float[Tensor, " pixels"] | None
) -> Sensitivity:
    """Measure what the decoder reads. Without a ``pixel_variance`` nothing is known of what that is worth in nats."""
    codes, redrawn = (_prior_codes(model, Stream.SENSITIVITY_CODES, index) for index in range(2))
    n_codes = affordable(N_CODES, model.latent_dim * math.prod(data.image_shape), CODES_AT_ONCE)
    codes, redrawn = codes[:n_codes], redrawn[:n_codes]
    found = decoder_sensitivity(_in_pieces(model.decode), codes, redrawn, pixel_variance, data.once(variance_of_images))
    if pixel_variance is not None:
        return found
    generator = generator_for(model.seed, Stream.SENSITIVITY_CODES, 2, device=model.device)
    paid = read_in_nats(_in_pieces(model.decoder), model.likelihood, codes, redrawn, generator)
    return found._replace(paid_per_unit=paid)


def evenness_between_images(model: VAE, means: Float[Tensor, "images latent"]) -> float | None:
    """Measure the continuity along walks from one test image's code to another's."""
    n_pixels = model.decode(means[:1])[0].numel()
    n_walks = affordable(min(N_WALKS, len(means) // 2), 3 * (N_STEPS + 1) * n_pixels)
    return continuity(_in_pieces(model.decode), means[:n_walks], means[n_walks : 2 * n_walks])


def share_near_the_data(model: VAE, data: ImageDataModule) -> Mean:
    """Measure the completeness of decoded prior samples."""
    n_codes = affordable(N_CODES, 3 * math.prod(data.image_shape))
    values = _in_pieces(model.decoder)(_prior_codes(model, Stream.PRIOR_SAMPLES)[:n_codes])
    decoded = model.likelihood.mean(values)
    if data.binarize != "none" and model.likelihood.is_binary:  # means are not binary, draws are
        generator = generator_for(model.seed, Stream.PRIOR_SAMPLES, N_CODES, device=model.device)
        decoded = model.likelihood.sample(values, generator)
    return Mean.of_share(data.once(near_the_data).completeness(decoded), len(decoded))


def _training_pixels(data: ImageDataModule, n: int) -> Pixels:
    """Return training images as the held-out ones are: under dynamic binarisation drawn once."""
    pixels = data.splits["train"].pixels[:n]
    return binarized(pixels.cpu(), TRAINING_PART).to(pixels.device) if data.binarize == "dynamic" else pixels


def probes(
    model: VAE, data: ImageDataModule, test_means: Float[Tensor, "images latent"], test_labels: Int[Tensor, " images"]
) -> tuple[float, float] | None:
    """Return the accuracy of a linear probe on the trained encoder's means, and on those of the same encoder
    untrained."""
    training = data.splits["train"]
    labels = training.labels[:N_TRAINING]
    pixels = _training_pixels(data, N_TRAINING)
    means = _means_of(model, model.encoder, pixels, data.evaluation_batch_size)
    trained = linear_probe(means, labels, test_means, test_labels)
    if trained is None:
        return None
    untrained = untrained_copy(model.encoder, seed_for(model.seed, Stream.RANDOM_ENCODER))
    test = data.splits["test"]
    features, test_features = (
        _means_of(model, untrained, images, data.evaluation_batch_size) for images in (pixels, test.pixels)
    )
    baseline = linear_probe(features, labels, test_features, test.labels)
    return trained, baseline if baseline is not None else 0.0


def _means_of(model: VAE, encoder: nn.Module, pixels: Tensor, batch_size: int) -> Float[Tensor, "images latent"]:
    return torch.cat(
        [model.posterior(model.parameters_of(as_floats(some), encoder)).mean for some in pixels.split(batch_size)]
    )


def untrained_copy(network: nn.Module, seed: int) -> nn.Module:
    """Return a copy whose layers have drawn their weights anew, as a function of ``seed``."""
    fresh = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in fresh.modules():
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()
    return fresh


def forecast_of(model: VAE, data: ImageDataModule) -> Forecast | NoForecast:
    """Return what the training images let live: under the model's objective, or under a plain ELBO where that one lets
    units live whatever the KL weight is."""
    found = forecast(data.once(moments_of_training_images), model.likelihood, model.latent_dim)
    return under_objective(found, model.objective)


# Of the images alone: asked once, also for all jobs of a sweep.


def moments_of_training_images(data: ImageDataModule) -> PixelMoments | MomentsOfMany:
    """Return mean and covariance of the training images."""
    return pixel_moments(data.splits["train"], data.binarize)


def variance_of_images(data: ImageDataModule) -> float:
    """Return the variance of the test images, summed over pixels."""
    test = as_floats(data.splits["test"].pixels).flatten(1)
    return float(test.double().var(0, correction=0).sum())


def near_the_data(data: ImageDataModule) -> NearTheData:
    """Return how close test images are to training images."""
    held_out = as_floats(data.splits["test"].pixels[:N_CODES])
    n = affordable(N_REFERENCES, held_out[0].numel())
    return NearTheData(held_out, as_floats(_training_pixels(data, n)))


def classifier_of(data: ImageDataModule) -> tuple[NearestNeighbourClassifier, float] | None:
    """Return a classifier of images and the share of test images that it tells right; None where there are no
    classes."""
    training, test = data.splits["train"], data.splits["test"]
    if not int(training.labels.max()) > 0:
        return None
    n = affordable(N_REFERENCES, training.pixels[0].numel())
    nearest = NearestNeighbourClassifier(Images(training.pixels[:n], training.labels[:n]))
    rows = torch.arange(min(N_JUDGED, len(test.labels)), device=test.labels.device)
    return nearest, nearest.accuracy(test.select(rows))


OF_THE_IMAGES = (moments_of_training_images, variance_of_images, near_the_data, classifier_of)
"""What every run asks of its images."""

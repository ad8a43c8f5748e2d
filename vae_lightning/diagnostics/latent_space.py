"""What decoded codes show: sensitivity, continuity and completeness; and how far codes are from the prior."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from vae_lightning.distributions import Likelihood

Codes = Float[Tensor, "codes latent"]
SomeImages = Float[Tensor, "_ channels height width"]
Decode = Callable[[Codes], Float[Tensor, "codes channels height width"]]
"""Codes to mean images."""
N_STEPS = 20
IMAGES_AT_ONCE = 500
"""Images whose distances to all references are in memory at a time."""
AS_FAR_AS = 0.95
"""A decoded code is as close to the data as held-out images are if it is closer than this share of them."""


class Sensitivity(NamedTuple):
    """Of a decoder over codes from the prior."""

    per_unit: Float[Tensor, " latent"]
    """E |xh(z) - xh(z with z_i redrawn)|^2, in squared units of a pixel; 2 gain^2 for a linear decoder."""
    errors: Float[Tensor, " latent"]
    """Standard errors of ``per_unit`` over the codes."""
    paid_per_unit: Float[Tensor, " latent"]
    """Half of it, each pixel divided by its F: in nats; gain^2 / sigma^2 for a linear decoder. Zeros where F is
    unknown."""
    output_variance_ratio: float
    """Variance of xh(z) over that of the data, summed over pixels: 0 where there is one image whatever the code."""


@torch.no_grad()
def decoder_sensitivity(
    decode: Decode,
    codes: Codes,
    redrawn: Codes,
    pixel_variance: Float[Tensor, " pixels"] | None,
    data_variance: float,
    n_positions: int = 1,
) -> Sensitivity:
    """Measure a decoder by two independent draws of codes from the prior; a unit is redrawn at all its positions.

    ``pixel_variance`` is F, the decoder's own variance per pixel, where it is known; ``data_variance`` is that of the
    images, summed over pixels.
    """
    images = decode(codes).flatten(1).double()
    changes, errors = [], []
    for other in _with_one_redrawn(codes, redrawn, n_positions):
        squares = (decode(other).flatten(1).double() - images).square()
        changes.append(squares.mean(0))
        errors.append(squares.sum(1).std() / len(codes) ** 0.5)
    change = torch.stack(changes)
    paid = (change / pixel_variance).sum(1) / 2 if pixel_variance is not None else 0 * change.sum(1)
    output_variance = float((images - images.mean(0)).square().mean(0).sum())
    return Sensitivity(
        change.sum(1), torch.stack(errors), paid, output_variance / data_variance if data_variance else 0.0
    )


@torch.no_grad()
def read_in_nats(
    decoder: Callable[[Codes], Tensor],
    likelihood: Likelihood,
    codes: Codes,
    redrawn: Codes,
    generator: Generator,
    n_positions: int = 1,
) -> Float[Tensor, " latent"]:
    """Return the mean of KL(p(x|z) || p(x|z with z_i redrawn)) for each unit, from one draw x for each code, in nats.

    It is what a likelihood without one natural parameter per pixel has instead of ``Sensitivity.paid_per_unit``: for
    small changes both are the same.
    """
    values = decoder(codes)
    drawn = likelihood.sample(values, generator)
    log_px = likelihood.log_prob(drawn, values)
    found = []
    for other in _with_one_redrawn(codes, redrawn, n_positions):
        found.append((log_px - likelihood.log_prob(drawn, decoder(other))).double().mean())
    return torch.stack(found)


def _with_one_redrawn(codes: Codes, redrawn: Codes, n_positions: int) -> Iterator[Codes]:
    """Yield the codes with each unit in turn replaced by another draw of it."""
    for begin in range(0, codes.shape[1], n_positions):
        other, unit = codes.clone(), slice(begin, begin + n_positions)
        other[:, unit] = redrawn[:, unit]
        yield other


@torch.no_grad()
def continuity(decode: Decode, starts: Codes, ends: Codes, n_steps: int = N_STEPS) -> float | None:
    """Return how even the change of the image is along straight walks between codes: 1 if even, 1/n_steps if one jump.

    Per walk it is (mean change per step)^2 / mean (change per step)^2, averaged over walks by their length in image
    space. None where no image changes: one image whatever the code.
    """
    at = torch.linspace(0, 1, n_steps + 1, device=starts.device)
    codes = starts + at.reshape(-1, 1, 1) * (ends - starts)
    images = decode(codes.flatten(0, 1)).flatten(1).unflatten(0, codes.shape[:2])
    change = (images[1:] - images[:-1]).double().square().sum(-1).sqrt()
    mean_square = change.square().mean(0)
    if not float(mean_square.sum()) > 0:
        return None
    evenness = torch.where(mean_square > 0, change.mean(0).square() / mean_square, 0.0)
    return float((evenness * change.sum(0)).sum() / change.sum())


class NearTheData:
    """How close held-out images are to training images: by the Euclidean distance to the nearest of ``references``."""

    def __init__(self, held_out: SomeImages, references: SomeImages) -> None:
        self.references = references.flatten(1)
        self.limit = torch.quantile(self._distances(held_out), AS_FAR_AS)

    def _distances(self, images: SomeImages) -> Float[Tensor, " _"]:
        pieces = images.flatten(1).to(self.references).split(IMAGES_AT_ONCE)
        return torch.cat([torch.cdist(piece, self.references).min(1).values for piece in pieces]).double()

    def completeness(self, decoded: SomeImages) -> float:
        """Return the share of decoded prior samples that are as close as held-out images are.

        A mean image is smoother than a real one, and so nearer to everything: the share says that nothing is far off,
        not that everything is there. A decoder with one image whatever the code can have all; its output variance
        tells.
        """
        return float((self._distances(decoded) <= self.limit).double().mean())


def frechet_distance_to_prior(mean: Float[Tensor, " latent"], covariance: Float[Tensor, "latent latent"]) -> float:
    """Return the squared Wasserstein-2 distance of N(mean, covariance) to N(0, I): |m|^2 + tr(C + I - 2 C^{1/2}).

    It is the Frechet distance of two Gaussians (Dowson & Landau 1982), as in the FID of images: how far the aggregate
    posterior is from what samples are drawn from. The trace is the sum over eigenvalues l of C of (sqrt(l) - 1)^2,
    which stays exact where C is almost I.
    """
    eigenvalues = torch.linalg.eigvalsh(covariance.double()).clamp_min(0)
    return float(mean.double().square().sum() + (eigenvalues.sqrt() - 1).square().sum())


def moments(codes: Float[Tensor, "images latent"]) -> tuple[Float[Tensor, " latent"], Float[Tensor, "latent latent"]]:
    """Return mean and covariance of some codes in double precision, dividing by their number."""
    codes = codes.double()
    mean = codes.mean(0)
    centred = codes - mean
    return mean, centred.T @ centred / len(codes)

"""The Frechet distance of the codes to the prior: how far the aggregate posterior is from what samples are drawn from.

It is the squared Wasserstein-2 distance between two Gaussians (Dowson & Landau 1982), as in the FID of images.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def frechet_distance_to_prior(mean: Float[Tensor, " latent"], covariance: Float[Tensor, "latent latent"]) -> float:
    """Return the squared Wasserstein-2 distance of N(mean, covariance) to N(0, I): |m|^2 + tr(C + I - 2 C^{1/2}).

    The trace is the sum over eigenvalues l of C of (sqrt(l) - 1)^2, which stays exact where C is almost I.
    """
    eigenvalues = torch.linalg.eigvalsh(covariance.double()).clamp_min(0)
    return float(mean.double().square().sum() + (eigenvalues.sqrt() - 1).square().sum())


def moments(codes: Float[Tensor, "images latent"]) -> tuple[Float[Tensor, " latent"], Float[Tensor, "latent latent"]]:
    """Return mean and covariance of some codes in double precision, dividing by their number."""
    codes = codes.double()
    mean = codes.mean(0)
    centred = codes - mean
    return mean, centred.T @ centred / len(codes)

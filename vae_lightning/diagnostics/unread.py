"""Codes that cost nats and tell the decoder nothing: units that it does not read, units that tell the same twice."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vae_lightning.diagnostics.residual import Residuals
from vae_lightning.distributions.arithmetic import without_autocast
from vae_lightning.estimates import Mean
from vae_lightning.theory.held_out import FEWEST_ROWS, fold_of_rows

Codes = Float[Tensor, "images latent"]
SAME = 0.9
"""Correlation of two units' posterior means from which they tell the same."""


def gain_of_reading(residuals: Residuals, means: Codes, codes: Codes) -> Float[Tensor, "2 latent"]:
    """Return what a decoder would earn by reading each unit as it is, and the standard errors, in nats per image.

    A column u z_i earns u'E[r z_i] - u'J u E[z_i^2] / 2 to second order, at best with u = J^{-1} E[r z_i] / E[z_i^2]:
    chosen on one half of the images and judged on the other. It is right for units that the decoder ignores, whose
    scores do not know the noise of their codes; the KL is paid already, and no part of it.
    """
    n, latent_dim = means.shape
    if n < FEWEST_ROWS:
        return torch.stack([torch.zeros(latent_dim), torch.full((latent_dim,), torch.inf)]).double()
    rows = residuals.whitened().mean
    rows = rows - rows.mean(0)
    centred, squares = (means - means.mean(0)).to(rows), codes.double().square()
    half, each = fold_of_rows(n).to(rows.device) % 2, torch.zeros(n, latent_dim, dtype=torch.float64)
    for judging in (0, 1):
        mine, judges = half != judging, half == judging
        size = squares[mine].mean(0).clamp_min(1e-12).to(rows)
        with without_autocast(rows):
            columns = rows[mine].T @ centred[mine] / int(mine.sum()) / size
            along = (rows[judges] @ columns) * centred[judges]
        each[judges.cpu()] = (along.double() - 0.5 * columns.double().square().sum(0) * squares[judges]).cpu()
    return torch.stack([each.mean(0), each.std(0) / n**0.5])


def idle_nats(means: Codes, codes: Codes) -> Mean:
    """Return KL(N(m, C) || N(0, I)) of the codes' mean m and covariance C: nats of the KL that a linear change of the
    codes would save, with the decoder seeing what it saw. Two units that tell the same are most of such.

    It is 0 at the optimum of a linear model, whose codes are distributed as the prior; d (d + 1) / (4 n) of it is noise
    that n images leave, and taken off. The error is that of two draws of as many images, d / (2 n) in order.
    """
    n, latent_dim = codes.shape
    if n < FEWEST_ROWS:
        return Mean(0.0, float("inf"))
    codes = codes.double()
    covariance = codes.T.cov(correction=0).reshape(latent_dim, latent_dim)
    eigenvalues = torch.linalg.eigvalsh(covariance).clamp_min(1e-12)
    found = 0.5 * (codes.mean(0).square().sum() + (eigenvalues - 1 - eigenvalues.log()).sum())
    noise = latent_dim * (latent_dim + 3) / (4 * n)
    return Mean(max(0.0, float(found) - noise), (2 * latent_dim * (latent_dim + 3)) ** 0.5 / (4 * n) + noise / 2)


def told_twice(means: Codes, written: Bool[Tensor, " latent"]) -> list[tuple[int, int]]:
    """Return the pairs of written units whose posterior means are nearly the same, up to scale and sign."""
    if len(means) < FEWEST_ROWS:
        return []
    correlation = means.double().T.corrcoef().reshape(means.shape[1], -1).nan_to_num(0.0).abs()
    pairs = torch.triu(correlation > SAME, diagonal=1) & written.unsqueeze(0) & written.unsqueeze(1)
    return [(int(one), int(other)) for one, other in pairs.nonzero().tolist()]

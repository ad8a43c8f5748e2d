"""Codes that cost nats and tell the decoder nothing: units that it does not read, units that tell the same twice."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vae_lightning.diagnostics.residual import Residuals
from vae_lightning.distributions.arithmetic import without_autocast
from vae_lightning.estimates import Mean
from vae_lightning.theory.held_out import FEWEST_ROWS, fold_of_rows

Codes = Float[Tensor, "images latent"]
NUMBERS_AT_ONCE = 50_000_000
"""Of the columns that are in memory at a time: 200 MB."""
SAME = 0.9
"""Correlation of two units' posterior means from which they tell the same."""


def by_position(codes: Codes, n_positions: int) -> Float[Tensor, "rows units"]:
    """Return spatial codes, all positions of one channel after those of the other, as a row for each position of each
    image; codes of one position are as they are."""
    return codes if n_positions == 1 else codes.unflatten(1, (-1, n_positions)).movedim(2, 1).flatten(0, 1)


def gain_of_reading(residuals: Residuals, means: Codes, codes: Codes, n_positions: int = 1) -> Float[Tensor, "2 units"]:
    """Return what a decoder would earn by reading each unit as it is, and the standard errors, in nats per image.

    A column u z_i earns u'E[r z_i] - u'J u E[z_i^2] / 2 to second order, at best with u = J^{-1} E[r z_i] / E[z_i^2]:
    chosen on one half of the images and judged on the other. It is right for units that the decoder ignores, whose
    scores do not know the noise of their codes; the KL is paid already, and no part of it. A unit of several positions
    has a column for each of them.
    """
    n, n_units = len(means), means.shape[1] // n_positions
    if n < FEWEST_ROWS:
        return torch.stack([torch.zeros(n_units), torch.full((n_units,), torch.inf)]).double()
    rows = residuals.whitened().mean
    rows = rows - rows.mean(0)
    centred, squares = (means - means.mean(0)).to(rows), codes.double().square()
    half, each = fold_of_rows(n).to(rows.device) % 2, torch.zeros(n, n_units, dtype=torch.float64)
    for judging in (0, 1):
        mine, judges = half != judging, half == judging
        choosing, judged = rows[mine], rows[judges]
        for units in torch.arange(n_units).split(max(1, NUMBERS_AT_ONCE // (rows.shape[1] * n_positions))):
            places = slice(int(units[0]) * n_positions, (int(units[-1]) + 1) * n_positions)
            size = squares[mine, places].mean(0).clamp_min(1e-12).to(rows)
            with without_autocast(rows):
                columns = choosing.T @ centred[mine, places] / int(mine.sum()) / size
                along = (judged @ columns) * centred[judges, places]
            gain = along.double() - 0.5 * columns.double().square().sum(0) * squares[judges, places]
            each[judges.cpu(), int(units[0]) : int(units[-1]) + 1] = gain.unflatten(1, (-1, n_positions)).sum(2).cpu()
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

"""What one more unit would earn in nats, also one whose effect depends on the code.

With residuals r averaged over q, a unit that moves the decoder's parameters by u(z) gains, to second order,
(E_x[(E_q[u(z)]'r)^2] / w - E[u(z)'J u(z)]) / 2. Where u is u_k on region k of the codes, regions wide beside the
posteriors, this is one eigenproblem for each region: l_k = its largest eigenvalue of Cov(r) against J there, over w.
Residuals are centred within a region: their mean is the decoder's misfit and no missing unit. A unit that may grow to
the optimum of a linear decoder there (:mod:`vae_lightning.theory.linear_vae`) earns (w/2) (l_k - 1 - ln l_k) where
l_k > 1, in nats of the objective: sum_k p_k of that.

It holds for units of that form, of small changes, or of changes up to what a linear decoder would make; a rare cluster
can pay far more. One region gives a lower view, a unit that is the same everywhere. Regions that are cut out of a
continuum, not found in it, give an upper one: what an ideally gated unit could earn.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vae_lightning.diagnostics.residual import Residuals, Whitening
from vae_lightning.distributions.arithmetic import without_autocast
from vae_lightning.estimates import Mean
from vae_lightning.theory.eigenvalues import leading_of_rows
from vae_lightning.theory.held_out import FEWEST_ROWS, fold_of_rows
from vae_lightning.theory.linear_vae import gain_of_direction

FEWEST_IN_REGION = 40
"""Images of a half: of fewer nothing is said, and the region earns nothing."""
STAY = 0.8
"""Share of codes that must lie in the region of their mean: else regions are not wide beside the posteriors."""
N_ITERATIONS = 20

Regions = Int[Tensor, " images"]
Codes = Float[Tensor, "images latent"]


class RegionalGain(NamedTuple):
    """What one more unit would earn with a direction of its own in each of some regions."""

    n_regions: int
    gain: Mean
    """Nats of the objective per image; directions chosen on one half of the images and judged on the other."""


def regional_gains(
    residuals: Residuals, means: Codes, codes: Codes, kl_weight: float, n_regions: tuple[int, ...]
) -> list[RegionalGain]:
    """Return the gain for each number of regions that can be had: clusters of posterior means.

    Args:
        residuals: of the trained model, not whitened.
        means: posterior means of the same images.
        codes: a draw from the posterior of each.
        kl_weight: what the loss charges for a nat.
        n_regions: how many regions to try; 1 is a unit that is the same at every code.
    """
    if len(means) < FEWEST_ROWS:
        return []
    found = []
    for n in n_regions:
        regions = _regions(means, codes, n)
        if regions is not None:
            found.append(RegionalGain(n, _gain(residuals, regions, kl_weight)))
    return found


def _regions(means: Codes, codes: Codes, n: int) -> Regions | None:
    """Return a cluster of each image; None where codes do not stay in the region of their mean, or are all alike."""
    if n == 1:
        return torch.zeros(len(means), dtype=torch.long)
    if n * FEWEST_IN_REGION > len(means) or not float(means.var(0).sum()) > 0:
        return None
    if len(means[: n * FEWEST_IN_REGION].unique(dim=0)) <= n:  # discrete means have not so many clusters
        return None
    from scipy.cluster.vq import kmeans2  # takes a third of a second to import

    at = means.double().cpu().numpy()
    centres, labels = kmeans2(at, n, iter=N_ITERATIONS, minit="++", seed=0, missing="warn")
    of_codes = torch.cdist(codes.double().cpu(), torch.from_numpy(centres)).argmin(1)
    regions = torch.from_numpy(labels).long()
    return regions if float((of_codes == regions).double().mean()) >= STAY else None


def _gain(residuals: Residuals, regions: Regions, kl_weight: float) -> Mean:
    """Return the gain, each half of the images judging the directions that the other has chosen."""
    half = fold_of_rows(len(regions)) % 2
    each = torch.zeros(len(regions), dtype=torch.float64)
    total = 0.0
    for region in regions.unique().tolist():
        for judging in (0, 1):
            mine, judges = (regions == region) & (half != judging), (regions == region) & (half == judging)
            if min(int(mine.sum()), int(judges.sum())) < FEWEST_IN_REGION:
                continue
            products = _along_best(residuals, mine, judges) / kl_weight
            margin = float(products.mean())
            if margin > 1:
                share = float(judges.double().mean())
                total += share * gain_of_direction(margin, kl_weight)
                # How the gain follows each image's part in the margin.
                each[judges] = 0.5 * kl_weight * (1 - 1 / margin) * (products - margin)
    error = float(each.std() / len(each) ** 0.5)
    return Mean(total, error)


def _along_best(residuals: Residuals, choosers: Tensor, judges: Tensor) -> Float[Tensor, " judges"]:
    """Return squares along the choosers' leading direction, of the judges, free of the scatter of their codes.

    All rows are of some 30 MB, and no more of them is copied than must be.
    """
    n = int(choosers.sum())
    rows = residuals.one[choosers].add_(residuals.other[choosers]).div_(2)
    centre = rows.mean(0)
    rows -= centre
    with without_autocast(rows):
        blocks = residuals.blocks
        if residuals.curvature is not None:  # J of this region
            blocks = ((choosers.to(residuals.curvature) / n) @ residuals.curvature).double().reshape(1, 1, -1)
        whitening = Whitening.of(blocks, n)
        direction = leading_of_rows(whitening.of_rows(rows), 1)[1].to(rows).squeeze(1)
        along = whitening.back(direction)
        one, other = ((each @ along - centre @ along)[judges] for each in residuals[:2])
    return (one * other).double().cpu()

"""What the leading directions of a covariance are worth on rows that did not choose them.

Eigenvalues of a sample's covariance are too large at the top: pure noise of D dimensions reaches (1 + sqrt(D/n))^2 with
n rows (Marchenko & Pastur 1967). So directions are chosen on some rows and judged on others, which gives lower bounds
with an honest error: of independent noise of variance 1 every direction is worth 1 there.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vae_lightning.estimates import N_ERRORS
from vae_lightning.theory.eigenvalues import leading_eigenpairs, leading_of_rows, one_thread

N_FOLDS = 8
"""Rows are dealt to these at random, and always alike: MNIST's images alternate between two sources."""
N_JUDGES = 2
"""Folds that judge at a time; the others choose."""
FEWEST_ROWS = 2 * N_FOLDS
"""With fewer there is no telling."""
PerDirection = Float[Tensor, " directions"]
SecondMoments = Float[Tensor, "folds dimension dimension"]


class HeldOut(NamedTuple):
    """Of the leading directions, in the order in which the choosing rows put them."""

    values: PerDirection
    """Mean squares along each direction."""
    errors: PerDirection
    """Their standard errors over the judging rows."""

    def scaled(self, factors: PerDirection | float) -> "HeldOut":
        return HeldOut(self.values * factors, self.errors * factors)

    def surely_above(self, threshold: float) -> int:
        """Count the leading directions up to the first that is not above a threshold by two standard errors."""
        return self._leading(self.values - N_ERRORS * self.errors > threshold)

    def perhaps_above(self, threshold: float) -> int:
        """Count the leading directions up to the first that is below it by two standard errors."""
        return self._leading(self.values + N_ERRORS * self.errors > threshold)

    @staticmethod
    def _leading(above: Tensor) -> int:
        return int(above.long().cumprod(0).sum())


def fold_of_rows(n: int) -> Int[Tensor, " n"]:
    """Return the fold of each of ``n`` rows; folds differ in size by one at most."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(0)) % N_FOLDS


def held_out_by_folds(folds: SecondMoments, n: int) -> HeldOut:
    """Return what ``n`` directions are worth, by the second moments of folds of equal size; error by the folds."""
    judged = []
    with one_thread():
        for judges in torch.arange(len(folds)).split(N_JUDGES):
            others = torch.ones(len(folds), dtype=torch.bool)
            others[judges] = False
            directions = leading_eigenpairs(folds[others].mean(0), n)[1]
            judged += [(directions * (folds[fold] @ directions)).sum(0) for fold in judges.tolist()]
    values = torch.stack(judged)
    return HeldOut(values.mean(0), values.std(0) / len(values) ** 0.5)


def held_out_by_rows(rows: Float[Tensor, "rows dimension"], n: int) -> HeldOut:
    """Return the same of centred rows: each half judges what the other has chosen."""
    fold = fold_of_rows(len(rows))
    halves = rows[fold % 2 == 0], rows[fold % 2 == 1]
    n = min(n, rows.shape[1], *(len(half) for half in halves))
    found = []
    for choosers, judges in (halves, halves[::-1]):
        directions = leading_of_rows(choosers, n)[1]
        squares = (judges @ directions.to(judges)).double().square()
        found.append((squares.mean(0), squares.var(0) / len(squares)))
    values, variances = (torch.stack(of_halves).mean(0) for of_halves in zip(*found, strict=True))
    return HeldOut(values, (variances / 2).sqrt())

"""The linear VAE at its optimum (shared/REFERENCE 1), as two functions that anybody could have written."""

from typing import NamedTuple

import torch
from torch import Tensor

SPECTRUM = (6.0, 3.0, 1.5, 0.2, 0.1)


class Linear(NamedTuple):
    """Functions, and what is known of them."""

    spectrum: Tensor
    kl_weight: float
    variance: float
    n_units: int

    @property
    def critical(self) -> float:
        """a = w sigma^2."""
        return self.kl_weight * self.variance

    @property
    def lives(self) -> Tensor:
        return self.spectrum[: self.n_units] > self.critical

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        leading = self.spectrum[: self.n_units]
        gain = torch.where(self.lives, (leading - self.critical).clamp_min(0).sqrt() / leading, 0.0)
        variance = torch.where(self.lives, self.critical / leading, 1.0)
        return x[:, : self.n_units] * gain, variance.log().expand(len(x), -1)

    def decode(self, z: Tensor) -> Tensor:
        gain = torch.where(self.lives, (self.spectrum[: self.n_units] - self.critical).clamp_min(0).sqrt(), 0.0)
        return torch.nn.functional.pad(z * gain, (0, len(self.spectrum) - self.n_units))

    @property
    def kl_per_unit(self) -> Tensor:
        ratio = self.spectrum[: self.n_units] / self.critical
        return torch.where(self.lives, 0.5 * ratio.log(), 0.0)


def linear(kl_weight: float, n_units: int, variance: float = 0.5, spectrum: tuple[float, ...] = SPECTRUM) -> Linear:
    return Linear(torch.tensor(spectrum), kl_weight, variance, n_units)


def rows(n: int = 4000, spectrum: tuple[float, ...] = SPECTRUM) -> Tensor:
    """Rows whose covariance is exactly diagonal with the spectrum."""
    white = torch.randn(n, len(spectrum), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    white -= white.mean(0)
    factor = torch.linalg.cholesky(white.T @ white / n)
    white = torch.linalg.solve_triangular(factor, white.T, upper=False).T
    found: Tensor = (white * torch.tensor(spectrum).sqrt()).float()
    return found

"""What an evaluation found, and how it is written down in ``results.json``."""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.diagnostics import (
    MutualInformation,
    ResidualSpectrum,
    Sensitivity,
    Verdict,
    active_directions,
    active_units,
    collapse_epsilon,
)
from vae_lightning.diagnostics.collapse_curve import DELTA

N_EIGENVALUES = 20
"""Of the residual spectrum, kept in the results."""
N_BINS = 20
"""Of the histogram of each unit's KL."""


class Findings(NamedTuple):
    """What was found on the test images, in nats per image."""

    distortion: float
    kl_per_unit: Float[Tensor, "images latent"]
    means: Float[Tensor, "images latent"]
    """Posterior means."""
    codes: Float[Tensor, "images latent"]
    """One draw from each posterior."""
    log_px: dict[int, tuple[float, float]]
    """K to the mean over images and its standard error."""
    information: MutualInformation | None
    sensitivity: Sensitivity
    residual: ResidualSpectrum | None
    continuity: float | None
    completeness: float
    probe: tuple[float, float] | None
    """Accuracy on the trained encoder's means, and on a random encoder's."""
    living: tuple[bool, ...] | None
    """Whether each unit is written by the encoder and read by the decoder."""
    verdict: Verdict | None
    why_no_verdict: str | None

    def results(self) -> dict[str, Any]:
        """Return plain values under the names of ``results.json``."""
        kl = self.kl_per_unit.double().mean(0)
        variance, mean = torch.var_mean(self.means.double(), dim=0, correction=0)
        found: dict[str, Any] = {
            "test/elbo": -(self.distortion + float(kl.sum())),
            "test/kl": float(kl.sum()),
            "test/distortion": self.distortion,
            "test/active_units": active_units(variance),
            "test/active_directions": active_directions(self.means),
            "test/kl_per_unit": kl.tolist(),
            "test/kl_histogram": _histogram(self.kl_per_unit),
            "test/mean_of_mean_per_unit": mean.tolist(),
            "test/variance_of_mean_per_unit": variance.tolist(),
            "test/collapse_epsilon_per_unit": collapse_epsilon(self.kl_per_unit).tolist(),
            "test/collapse_delta": DELTA,
            "test/decoder_sensitivity_per_unit": self.sensitivity.per_unit.tolist(),
            "test/output_variance_ratio": self.sensitivity.output_variance_ratio,
            "test/continuity": self.continuity,
            "test/completeness": self.completeness,
            "verdict": self.verdict.word if self.verdict else None,
            "verdict/margin": self.verdict.margin if self.verdict else None,
            "verdict/margin_error": self.verdict.error if self.verdict and math.isfinite(self.verdict.error) else None,
            "verdict/sentence": self.verdict.sentence if self.verdict else f"no verdict: {self.why_no_verdict}",
            "test/log_px": None,
            "test/log_px_samples": 0,
        }
        if self.log_px:
            most = max(self.log_px)
            found["test/log_px"], found["test/log_px_error"] = self.log_px[most]
            found["test/log_px_samples"] = most
            found["test/log_px_by_samples"] = {str(k): value for k, (value, _) in self.log_px.items()}
        if self.information:
            upper = max(0.0, min(self.information.upper, found["test/kl"]))
            lower = min(max(0.0, self.information.lower), upper)
            found["test/mutual_information"] = [lower, upper]
            found["test/mutual_information_ceiling"] = self.information.ceiling
            found["test/marginal_kl"] = [found["test/kl"] - upper, found["test/kl"] - lower]
        if self.living is not None:
            found["test/living_units"] = sum(self.living)
            found["test/living_per_unit"] = list(self.living)
        if self.residual:
            found["test/residual_largest"] = self.residual.largest
            found["test/residual_error"] = self.residual.error if math.isfinite(self.residual.error) else None
            found["test/residual_spectrum"] = self.residual.eigenvalues[:N_EIGENVALUES].tolist()
        if self.probe:
            found["test/probe_accuracy"], found["test/probe_accuracy_random_encoder"] = self.probe
        return found


def _histogram(kl_per_unit: Float[Tensor, "images latent"]) -> dict[str, Any]:
    """Count images by their KL, unit by unit, over common bins."""
    edges = torch.linspace(0, max(float(kl_per_unit.max()), 1e-6), N_BINS + 1)
    counts = [torch.histogram(unit.float().cpu(), bins=edges)[0].int().tolist() for unit in kl_per_unit.T]
    return {"edges": edges.tolist(), "counts_per_unit": counts}

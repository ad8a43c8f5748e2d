"""Every diagnostic of our own: one function of what was gathered, and its columns in :mod:`vae_lightning.runs.results`.

The order is that of ``results.json``.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.combinations import why_units_live
from vae_lightning.diagnostics import (
    active_directions,
    active_units,
    collapse_epsilon,
    frechet_distance_to_prior,
)
from vae_lightning.diagnostics.active_units import DELTA
from vae_lightning.diagnostics.latent_space import moments
from vae_lightning.estimates import Mean
from vae_lightning.evaluation.evaluated import Evaluated
from vae_lightning.evaluation.measure import Metric, gives, metric_of
from vae_lightning.evaluation.probes import classifier_of, evenness_between_images, probes, share_near_the_data
from vae_lightning.schedules import has_feedback

N_CRITICAL_WEIGHTS = 50
"""Critical weights kept in the results, if there are not more units."""
N_EIGENVALUES = 20
"""Of the residual spectrum, kept in the results."""
N_BINS = 20
"""Of the histogram of each unit's KL."""


@gives("facts/has_density", "facts/forecast_applies", "facts/schedule_has_feedback", "facts/bound_is_a_likelihood")
def facts(evaluated: Evaluated) -> tuple[bool, bool, bool, bool]:
    """Say what the other values mean.

    Whether there is a KL; whether the model is of the kind that forecasts are of; whether the schedule ends at a KL
    weight of its own; and whether the bound is one on a log p(x): of grey pixels a distribution over 0 and 1 has none.
    """
    model = evaluated.model
    gaussian = model.posterior.has_density and model.posterior.is_gaussian
    forecast_applies = gaussian and why_units_live(model.objective, model.posterior) is None
    cross_entropy = model.likelihood.is_binary and evaluated.data.binarize == "none"
    return evaluated.has_density, forecast_applies, has_feedback(model.beta_schedule), not cross_entropy


@gives("forecast/kl_ceiling", "forecast/kl_ceiling_error")
def ceiling(evaluated: Evaluated) -> tuple[float, float | None] | None:
    """Return what the KL cannot exceed at an optimum."""
    found = evaluated.kl_ceiling
    return None if found is None else (found.value, found.told_error)


@gives(
    "forecast/active_units_on_new_data",
    "forecast/critical_weights_on_new_data",
    "forecast/critical_weights_error",
)
def forecast_on_new_data(
    evaluated: Evaluated,
) -> tuple[list[int] | None, list[float] | None, list[float] | None] | None:
    """Return how many units surely and how many perhaps live by what holds on images that chose no direction."""
    found = evaluated.forecast
    if found is None or found.held_out is None:
        return None
    units = found.units_on_new_data(evaluated.kl_weight)
    values, errors = (_all_finite(each[: max(N_CRITICAL_WEIGHTS, found.latent_dim)]) for each in found.held_out)
    return None if units is None else list(units), values, errors


@gives("forecast/active_units", "forecast/critical_weights", "forecast/kl_per_unit")
def forecast(evaluated: Evaluated) -> tuple[int, list[float] | None, list[float] | None] | None:
    """Return what the spectrum of the training images lets live at the KL weight in force."""
    found, kl_weight = evaluated.forecast, evaluated.kl_weight
    if found is None:
        return None
    kl = found.kl_per_unit(kl_weight)
    weights = found.critical_weights[: max(N_CRITICAL_WEIGHTS, found.latent_dim)]
    return found.active_units(kl_weight), _all_finite(weights), None if kl is None else kl.tolist()


@gives("test/elbo", "test/kl", "test/distortion")
def bound(evaluated: Evaluated) -> tuple[float, float, float]:
    """Return the unweighted ELBO and its two parts."""
    kl = float(evaluated.kl_per_unit.double().mean(0).sum())
    distortion = float(evaluated.distortion.mean())
    return -(distortion + kl), kl, distortion


@gives("test/elbo_error", "test/kl_error", "test/distortion_error", "test/kl_per_unit_error")
def errors_of_bound(evaluated: Evaluated) -> tuple[float | None, float | None, float | None, list[float]]:
    """Return their standard errors over images, each with codes of its own, and those of the units' KL."""
    kl = evaluated.kl_per_unit.double()
    distortion = evaluated.distortion.double()
    found = (Mean.of(distortion + kl.sum(1)), evaluated.kl, Mean.of(distortion))
    return *(each.told_error for each in found), (kl.std(0) / len(kl) ** 0.5).nan_to_num().tolist()


@gives("test/active_units", "test/mean_of_mean_per_unit", "test/variance_of_mean_per_unit")
def units(evaluated: Evaluated) -> tuple[int, list[float], list[float]]:
    """Return how many units move with the image (Burda et al. 2015), and how each unit's posterior mean lies."""
    variance, mean = torch.var_mean(evaluated.means.double(), dim=0, correction=0)
    return active_units(variance), mean.tolist(), variance.tolist()


@gives("test/active_directions")
def directions(evaluated: Evaluated) -> int:
    """Return in how many directions of the code the posterior means vary."""
    return active_directions(evaluated.means)


@gives("test/kl_per_unit")
def kl_per_unit(evaluated: Evaluated) -> list[float]:
    """Return the mean KL of each unit."""
    found: list[float] = evaluated.kl_per_unit.double().mean(0).tolist()
    return found


@gives("test/kl_histogram")
def kl_histogram(evaluated: Evaluated) -> dict[str, Any]:
    """Count images by their KL, unit by unit, over common bins."""
    kl = evaluated.kl_per_unit.float().cpu()
    edges = torch.linspace(0, max(float(kl.max()), 1e-6), N_BINS + 1)
    counts = [torch.histogram(unit, bins=edges)[0].int().tolist() for unit in kl.T]
    return {"edges": edges.tolist(), "counts_per_unit": counts}


@gives("test/collapse_epsilon_per_unit", "test/collapse_delta")
def collapse(evaluated: Evaluated) -> tuple[list[float], float]:
    """Return above which epsilon each unit counts as (epsilon, delta)-collapsed (Lucas et al. 2019)."""
    return collapse_epsilon(evaluated.kl_per_unit).tolist(), DELTA


@gives("test/decoder_sensitivity_per_unit", "test/decoder_sensitivity_error", "test/output_variance_ratio")
def sensitivity(evaluated: Evaluated) -> tuple[list[float], list[float], float]:
    """Return what the decoder reads of each unit, with standard errors, and how much its image changes at all."""
    found = evaluated.sensitivity
    return found.per_unit.tolist(), found.errors.tolist(), found.output_variance_ratio


@gives("test/continuity")
def continuity(evaluated: Evaluated) -> float | None:
    """Return how evenly the image changes along walks between the codes of test images."""
    return evenness_between_images(evaluated.model, evaluated.means)


@gives("test/completeness", "test/completeness_error")
def completeness(evaluated: Evaluated) -> tuple[float, float | None]:
    """Return the share of prior samples that are as near the data as test images are."""
    found = share_near_the_data(evaluated.model, evaluated.data)
    return found.value, found.told_error


@gives("test/frechet_distance_to_prior")
def frechet_distance(evaluated: Evaluated) -> float:
    """Return how far the aggregate posterior is from the prior, by mean and covariance of one code of each image.

    Codes are sampled because every posterior can do that; d units and n images add about d (d + 1) / (4 n) of noise.
    """
    return frechet_distance_to_prior(*moments(evaluated.codes))


@gives("verdict", "verdict/margin", "verdict/margin_error", "verdict/sentence")
def judgement(evaluated: Evaluated) -> tuple[str | None, float | None, float | None, str]:
    """Return whether the death of units was pruning or harm, and how sure that is."""
    found = evaluated.verdict
    if found is None:
        return None, None, None, f"no verdict: {evaluated.why_no_verdict}"
    return found.word, found.margin, _or_none(found.error), found.sentence


@gives("verdict/nats", "verdict/nats_error", "verdict/nats_at_most")
def stake(evaluated: Evaluated) -> tuple[float, float | None, float | None] | None:
    """Return the nats at stake, and what an ideally gated unit could earn."""
    found = evaluated.verdict
    return None if found is None else (found.stake.value, found.stake.told_error, _or_none(found.at_most))


@gives("verdict/regions", "verdict/gain_by_regions", "verdict/gain_by_regions_error")
def by_regions(evaluated: Evaluated) -> tuple[list[int], list[float], list[float]] | None:
    """Return what one more unit would earn with a direction of its own in each of so many regions of codes."""
    basis = evaluated.evidence
    if basis is None:
        return None
    n_regions, gains = [each.n_regions for each in basis.gains], [each.gain for each in basis.gains]
    return n_regions, [gain.value for gain in gains], [gain.error for gain in gains]


@gives("verdict/falling", "verdict/falling_error")
def falling(evaluated: Evaluated) -> tuple[float, float] | None:
    """Return what as much training again would bring, by the curves."""
    return None if evaluated.falling is None else (evaluated.falling.value, evaluated.falling.error)


@gives("test/living_units", "test/living_per_unit")
def living(evaluated: Evaluated) -> tuple[int, list[bool]] | None:
    """Return which units are written by the encoder and read by the decoder."""
    found = evaluated.living
    return None if found is None else (sum(found), list(found))


@gives("test/log_px", "test/log_px_error", "test/log_px_samples", "test/log_px_by_samples")
def log_px(evaluated: Evaluated) -> tuple[float | None, float | None, int, dict[str, float] | None]:
    """Return the bound on log p(x) with the most codes per image and its standard error, and those with fewer."""
    if not evaluated.log_px:
        return None, None, 0, None
    most = max(evaluated.log_px)
    found = evaluated.log_px[most]
    by_samples = {str(k): float(of_k.mean()) for k, of_k in evaluated.log_px.items()}
    return Mean.of(found).value, Mean.of(found).told_error, most, by_samples


INFORMATION = ("test/mutual_information", "test/mutual_information_ceiling", "test/mutual_information_error")


@gives(*INFORMATION, "test/marginal_kl", thorough=True)
def information(evaluated: Evaluated) -> tuple[list[float], float, float | None, list[float]] | None:
    """Return intervals for I(x; z) and for KL(q(z) || p(z)), which sum to the KL (Hoffman & Johnson 2016)."""
    found = evaluated.information
    if found is None:
        return None
    kl = float(evaluated.kl_per_unit.double().mean(0).sum())
    # Not by min and max, which could drop a value that is no number.
    lower, upper = torch.tensor([found.lower, found.upper], dtype=torch.float64).clamp(0, kl).tolist()
    lower = lower if math.isnan(lower) else min(lower, upper)
    return [lower, upper], found.ceiling, _or_none(found.error), [kl - upper, kl - lower]


@gives("test/residual_largest", "test/residual_error", "test/residual_spectrum")
def residual(evaluated: Evaluated) -> tuple[float, float | None, list[float]] | None:
    """Return below which KL weight one more unit would pay, by the residual test."""
    found = evaluated.residual
    if found is None:
        return None
    return found.largest, _or_none(found.error), found.eigenvalues[:N_EIGENVALUES].tolist()


@gives(
    "test/probe_accuracy", "test/probe_accuracy_random_encoder", "test/probe_accuracy_error", thorough=True
)  # fmt: skip
def probe(evaluated: Evaluated) -> tuple[float, float, float | None] | None:
    """Return what a linear classifier tells of the class from the posterior means, and from an untrained encoder's."""
    found = probes(evaluated.model, evaluated.data, evaluated.means, evaluated.labels)
    return None if found is None else (*found, Mean.of_share(found[0], len(evaluated.labels)).told_error)


@gives("samples/count_per_class", "manifold/count_per_class", "kinds/accuracy_on_test_images")
def classes_shown(evaluated: Evaluated) -> tuple[list[int], list[int] | None, float] | None:
    """Count which classes prior samples and manifold show, by nearest neighbours, and how often these are right."""
    found = evaluated.data.once(classifier_of)
    if found is None:
        return None
    nearest, accuracy = found
    manifold = evaluated.manifold_images
    return nearest.count(evaluated.prior_images), None if manifold is None else nearest.count(manifold), accuracy


def _all_finite(weights: Float[Tensor, " directions"]) -> list[float] | None:
    """Return critical weights as a list; None where some directions live at any weight, as of an importance-weighted
    bound."""
    return weights.tolist() if bool(weights.isfinite().all()) else None


def _or_none(error: float) -> float | None:
    """Return a standard error, or None where there are too few images to tell it."""
    return error if math.isfinite(error) else None


OWN: tuple[Metric, ...] = tuple(
    metric_of(function, function.__name__)
    for function in (
        facts, forecast, forecast_on_new_data, ceiling, bound, errors_of_bound, units, directions, kl_per_unit,
        kl_histogram, collapse, sensitivity, continuity, completeness, frechet_distance, judgement, stake, by_regions,
        falling, living, log_px, information, residual, probe, classes_shown,
    )
)  # fmt: skip
"""The metrics of every evaluation."""

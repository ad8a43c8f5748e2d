"""The best decoder without a code, and what its scores say: where a collapsed VAE stands.

Its values are the same for every image. Of a likelihood with parameters of its own, a learned scale say, these are at
their best together with the values.
"""

import copy
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vae_lightning.distributions import Likelihood
from vae_lightning.distributions.derivatives import derivative
from vae_lightning.errors import Code, UserError
from vae_lightning.theory.inverse import inverse_of_increasing
from vae_lightning.theory.moments import MomentsOfMany, PerPixel, PixelMoments
from vae_lightning.theory.whitening import NO_CURVATURE, Blocks, whitening_blocks

LARGEST_VALUE = 1e7
"""Where the decoder's value of a mean is looked for; one nearer than 1e-7 to its least or largest is taken there."""
MOST_SCORED = 5_000
"""Images by whose scores values without a closed form are found."""
MOST_STEPS = 60
"""Of Newton's method, which mostly needs 10."""
FEWEST_IMAGES = 10
"""As many images must show what a pixel can be."""
STATIONARY = 0.5
"""Standard errors from 0 that a mean score may be where the values are called the best ones."""
IMAGES_AT_ONCE = 1_000
FEWER = 5
FEW = 64
"""Images by which a score is seen to be linear."""

Values = Float[Tensor, "values height width"]
Rows = Float[Tensor, "images values"]


class CodeFree(NamedTuple):
    """The best decoder without a code."""

    likelihood: Likelihood
    """With its own parameters at their best."""
    values: Values
    linear: "LinearScore | None"
    """What is known where the score is linear in the pixel: the pixels' moments are then all it takes."""


class LinearScore(NamedTuple):
    """A score at the best code-free values that is ``slope`` times what the pixel is above its mean."""

    slope: PerPixel
    curvature: PerPixel


class Scores(NamedTuple):
    """Scores of images at the best code-free decoder, whitened by its curvature: their covariance has the critical KL
    weights as its eigenvalues."""

    rows: Rows
    unpriced: int
    """Changes of a pixel's values with a score and no curvature: they would pay at any KL weight."""


def best_code_free(moments: PixelMoments | MomentsOfMany, likelihood: Likelihood) -> CodeFree:
    """Return the best code-free decoder of the training images: in closed form, or of some of them by Newton's method.

    Raises:
        UserError: the likelihood cannot give its score, or the method finds no values at which the scores are 0.
    """
    if (closed := _closed_form(moments, likelihood)) is not None:
        return closed
    pixels = scored_images(moments, likelihood.values_per_pixel)
    shape = pixels.shape[1:]
    start = CodeFree(copy.deepcopy(likelihood), torch.zeros(shape[0] * likelihood.values_per_pixel, *shape[1:]), None)
    # The way there by a few of the images, which costs a fifth of what it would by all.
    found, converged = _newton(_newton(start, pixels[::FEWER])[0], pixels)
    if not converged:
        reason = "the best decoder without a code was not found: its mean scores do not go to 0"
        raise UserError(f"likelihood: {reason}", Code.INCOMPATIBLE, ["likelihood"])
    return found


def _newton(found: CodeFree, pixels: Float[Tensor, "n channels h w"]) -> tuple[CodeFree, bool]:
    """Climb to the best values of some images, and say whether the scores are 0 there."""
    seen = is_seen(pixels)
    reach, before = torch.ones_like(found.values), torch.zeros_like(found.values)
    for _ in range(MOST_STEPS):
        scores, curvature = _mean_derivatives(found, pixels)
        slope = scores.mean(0)
        step = _newton_step(slope, curvature).to(slope)
        # The square root of what a step brings all images: of a quadratic the step over its standard error.
        gains = (len(pixels) * slope * step.clamp(-1, 1)).sum(0).abs()[seen]
        off = float(gains.max().sqrt()) if len(gains) else 0.0
        if max(off, _improved(found, pixels)) < STATIONARY:
            return found, True
        step, slope = (each.reshape(found.values.shape) for each in (step, slope))
        # Where a step has gone past the top, the next ones are shorter: else some values would go round for ever.
        reach = torch.where(slope * before < 0, reach / 2, (reach * 1.2).clamp_max(1))
        before, most = slope, reach * (1 + found.values.abs())
        found = found._replace(values=found.values + step.clamp(-most, most))
    return found, False


def scored_images(moments: PixelMoments | MomentsOfMany, values_per_pixel: int) -> Float[Tensor, "n channels h w"]:
    """Return the training images by which a score without a closed form is known."""
    return moments.shown.some(MOST_SCORED, 2 * values_per_pixel * len(moments.mean)).float()


def is_seen(pixels: Float[Tensor, "n channels h w"]) -> Bool[Tensor, " pixels"]:
    """Say which pixels enough images show: the values of another lie at the edge of what there is."""
    flat = pixels.flatten(1)
    return (flat != flat.median(0).values).sum(0) >= min(FEWEST_IMAGES, len(flat) // 2)


def own_parameters(likelihood: Likelihood) -> list[nn.Parameter]:
    """Return what a likelihood learns by itself."""
    return list(likelihood.parameters()) if isinstance(likelihood, nn.Module) else []


def _mean_derivatives(at: CodeFree, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores of images, (images, v, pixels), and their mean curvature, (v, v, pixels)."""
    v, n_pixels = at.likelihood.values_per_pixel, pixels[0].numel()
    scores, curvature = [], torch.zeros(v, v, n_pixels, dtype=torch.float64)
    for piece in pixels.split(IMAGES_AT_ONCE):
        score, of_piece = at.likelihood.score_and_curvature(piece, at.values.expand(len(piece), -1, -1, -1))
        scores.append(score.reshape(len(piece), v, n_pixels))
        curvature += of_piece.reshape(v, len(piece), v, n_pixels).sum(1, dtype=torch.float64) / len(pixels)
    return torch.cat(scores), (curvature + curvature.transpose(0, 1)) / 2


def _newton_step(score: Float[Tensor, "v pixels"], curvature: Float[Tensor, "v v pixels"]) -> Float[Tensor, "v pixels"]:
    """Return the step to where a quadratic has its top; where it has none, as far in the way up."""
    values, vectors = torch.linalg.eigh(curvature.permute(2, 0, 1))
    along = torch.einsum("pvd,vp->pd", vectors, score.double()) / values.abs().clamp_min(NO_CURVATURE)
    return torch.einsum("pvd,pd->vp", vectors, along)


def _improved(at: CodeFree, pixels: Tensor) -> float:
    """Move the likelihood's own parameters, in place, by a step of Newton's method each, and return how many standard
    errors from 0 their scores were."""
    farthest = 0.0
    with torch.inference_mode(False), torch.enable_grad():
        for parameter in own_parameters(at.likelihood):
            log_px = at.likelihood.log_prob(pixels, at.values.expand(len(pixels), -1, -1, -1))
            slope = derivative(log_px.mean(), parameter, again=True)
            curvature = derivative(slope.sum(), parameter)
            step = (slope.detach() / curvature.abs().clamp_min(NO_CURVATURE)).clamp(-1, 1)
            farthest = max(farthest, float((len(pixels) * slope.detach() * step).abs().sqrt().max()))
            with torch.no_grad():
                parameter.add_(step)
    return farthest


def _closed_form(moments: PixelMoments | MomentsOfMany, likelihood: Likelihood) -> CodeFree | None:
    """Return the values at which the score of the mean is 0; None where the score is not linear in the pixel, or the
    likelihood has several values per pixel or parameters of its own."""
    if likelihood.values_per_pixel > 1 or own_parameters(likelihood):
        return None
    images = moments.shown.some(FEW).double()
    mean = moments.mean.cpu().reshape(1, *images.shape[1:])
    values = inverse_of_increasing(
        lambda at: -likelihood.score_and_curvature(mean, at)[0], torch.zeros_like(mean), -LARGEST_VALUE, LARGEST_VALUE
    )
    at_mean, curvature = likelihood.score_and_curvature(mean, values)
    slope = likelihood.score_and_curvature(mean + 1, values)[0] - at_mean
    found = likelihood.score_and_curvature(images, values.expand_as(images))[0]
    if not torch.allclose(found, slope * (images - mean), rtol=1e-5, atol=1e-7):
        return None
    return CodeFree(likelihood, values[0], LinearScore(slope.flatten(), curvature.flatten()))


def scores_of(moments: PixelMoments | MomentsOfMany, code_free: CodeFree) -> Scores:
    """Return the whitened scores of some training images.

    With S = Cov(s) and J the mean curvature, a block of each pixel, the critical KL weights are the generalised
    eigenvalues of (S, J), which are those of the covariance of W s for any W with W J W' = I.

    Raises:
        UserError: no pixel varies enough to tell.
    """
    pixels = scored_images(moments, code_free.likelihood.values_per_pixel)
    scores, curvature = _mean_derivatives(code_free, pixels)
    found = _whitened((scores - scores.mean(0)).double(), curvature, is_seen(pixels))
    if not found.rows.numel():
        reason = f"no value of these data differs from its commonest in {FEWEST_IMAGES} images"
        raise UserError(f"likelihood: {reason}", Code.INCOMPATIBLE, ["likelihood"])
    return found


def _whitened(scores: Float[Tensor, "n v pixels"], curvature: Blocks, seen: Bool[Tensor, " pixels"]) -> Scores:
    """Multiply the scores of each pixel by W, W J W' = I; a change that neither costs nor gains is left out."""
    blocks, has_curvature = whitening_blocks(curvature)
    rows = torch.einsum("pdv,nvp->npd", blocks, scores)
    priced = has_curvature & seen.unsqueeze(1)
    unpriced = ~has_curvature & seen.unsqueeze(1) & (rows.square().mean(0) > NO_CURVATURE)
    return Scores(rows.flatten(1)[:, priced.flatten()].float(), int(unpriced.sum()))

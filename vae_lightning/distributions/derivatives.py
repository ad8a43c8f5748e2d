"""Score and curvature of a log-density by automatic differentiation, for any likelihood of independent pixels."""

from collections.abc import Callable

import torch
from torch import Tensor

from vae_lightning.distributions.shapes import PerImage, PerPixel, Pixels
from vae_lightning.errors import Code, UserError

LogProb = Callable[[Pixels, Tensor], PerImage]
COUPLED = 1e-4
"""Of the largest curvature: what a pixel's score may seem to change with another pixel's values by rounding."""


def differentiated(log_prob: LogProb, pixels: Pixels, values: Tensor, n_values: int) -> tuple[PerPixel, PerPixel]:
    """Return the gradient of log p(x|z) by the decoder's values, and minus the second derivatives within a pixel.

    Args:
        log_prob: sums over the pixels of an image; twice differentiable in the values.
        pixels: (batch, channels, height, width).
        values: (batch, n_values * channels, height, width), the values of a pixel as groups of channels.
        n_values: v, how many each pixel has.

    Returns:
        the score, in the shape of the values, and the curvature: of that shape for one value per pixel, else
        (v, *shape), row i minus the derivatives of value i's score.

    Raises:
        UserError: one pixel's log-probability depends on another pixel's values.
    """
    # An evaluation runs where nothing is recorded for derivatives, and its tensors cannot be: these are others.
    with torch.inference_mode(False), torch.enable_grad():
        at, shown = values.detach().clone().requires_grad_(), pixels.detach().clone()
        (score,) = torch.autograd.grad(log_prob(shown, at).sum(), at, create_graph=True)
        rows = [derivative(group.sum(), at) for group in score.chunk(n_values, dim=-3)]
        _check_independent(score, at, rows, n_values)
    curvature = -(rows[0] if n_values == 1 else torch.stack(rows))
    return score.detach(), curvature


def derivative(of: Tensor, at: Tensor, again: bool = False) -> Tensor:
    """Return the gradient of a number, zeros where it does not depend on ``at``; ``again`` makes it differentiable."""
    if not of.requires_grad:
        return torch.zeros_like(at)
    (found,) = torch.autograd.grad(of, at, retain_graph=True, create_graph=again, allow_unused=True)
    if found is None:
        return torch.zeros_like(at)
    return found if again else found.detach()


def _check_independent(score: Tensor, at: Tensor, rows: list[Tensor], n_values: int) -> None:
    """Raise UserError where the second derivatives between pixels are not 0: signs drawn at random would show them."""
    first = score.chunk(n_values, dim=-3)[0]
    signs = torch.randint(0, 2, first.shape, generator=torch.Generator().manual_seed(0)).to(first) * 2 - 1
    signed = derivative((signs * first).sum(), at).chunk(n_values, dim=-3)[0] * signs
    own = rows[0].chunk(n_values, dim=-3)[0]
    if float((signed - own).abs().max()) > COUPLED * float(own.abs().max().clamp_min(torch.finfo(own.dtype).tiny)):
        reason = "likelihood: log p of a pixel depends on the values of other pixels; forecast and residual test are of"
        raise UserError(f"{reason} pixels that are independent given the values", Code.INCOMPATIBLE, ["likelihood"])

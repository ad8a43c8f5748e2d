"""Facts of a likelihood that says nothing else: the base of ours, and of a user's own."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from vae_lightning.errors import Code, UserError


class LikelihoodFacts:
    """One value per pixel, no sigma^2 to learn, pixels of any value, and a score that nobody has worked out."""

    least_variance: float | None = None
    values_per_pixel: int = 1
    needs_unit_interval: bool = False
    needs_grey_pixels: bool = False
    is_binary: bool = False
    loss_elsewhere: Literal["squared_error", "cross_entropy"] | None = None
    why_no_score: str | None = "the score of this likelihood is not known"

    def score_and_curvature(
        self, pixels: Float[Tensor, "..."], values: Float[Tensor, "..."]
    ) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        raise UserError(f"likelihood: {self.why_no_score}", Code.INCOMPATIBLE, ["likelihood"])

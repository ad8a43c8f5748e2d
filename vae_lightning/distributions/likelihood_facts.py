"""Facts of a likelihood that says nothing else: the base of ours, and of a user's own."""

from typing import Any, Literal

from vae_lightning.distributions.shapes import PerPixel
from vae_lightning.errors import Code, UserError
from vae_lightning.inheritance import changed_since_stated


class LikelihoodFacts:
    """One value per pixel, no sigma^2 to learn, pixels of any value, and a score that nobody has worked out.

    A class that changes ``log_prob`` and does not give its score has none: it does not inherit that of another density.
    """

    least_variance: float | None = None
    values_per_pixel: int = 1
    needs_unit_interval: bool = False
    needs_grey_pixels: bool = False
    is_binary: bool = False
    loss_elsewhere: Literal["squared_error", "cross_entropy"] | None = None
    why_no_score: str | None = "the score of this likelihood is not known"

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if changed_since_stated(cls, ("log_prob",), "score_and_curvature"):
            cls.why_no_score = LikelihoodFacts.why_no_score
            cls.score_and_curvature = LikelihoodFacts.score_and_curvature  # type: ignore[method-assign]

    def score_and_curvature(self, pixels: PerPixel, values: PerPixel) -> tuple[PerPixel, PerPixel]:
        raise UserError(f"likelihood: {self.why_no_score}", Code.INCOMPATIBLE, ["likelihood"])

"""What the rest of the code asks of a likelihood, and the base of ours. Add one by writing a class that has these."""

from typing import Any, Literal, Protocol, runtime_checkable

from torch import Generator

from vae_lightning.distributions.derivatives import LogProb, differentiated
from vae_lightning.distributions.shapes import Means, PerImage, PerPixel, Pixels, SampledValues, Values
from vae_lightning.inheritance import changed_since_stated

LossElsewhere = Literal["squared_error", "cross_entropy"]


@runtime_checkable
class Likelihood(Protocol):
    """How to read the decoder's values as p(x|z)."""

    @property
    def variance(self) -> float | None:
        """Return sigma^2 where the likelihood is a Gaussian with one number for it, as it is now; else None."""

    @property
    def least_variance(self) -> float | None:
        """Return the bound below which a learned sigma^2 cannot fall; None where sigma^2 is not learned."""

    @property
    def values_per_pixel(self) -> int:
        """Return how many numbers the decoder must give per pixel; they come as groups of channels."""

    @property
    def needs_unit_interval(self) -> bool:
        """Return whether pixels must lie in [0, 1]."""

    @property
    def means_in_unit_interval(self) -> bool:
        """Return whether E[x|z] can be nothing but in [0, 1]."""

    @property
    def needs_counts(self) -> bool:
        """Return whether pixels must be counts: whole numbers from 0 on."""

    @property
    def largest_count(self) -> int | None:
        """Return the largest count that a pixel can be; None where there is no largest."""

    @property
    def needs_grey_pixels(self) -> bool:
        """Return whether the density has no largest value on pixels that are all 0 or 1."""

    @property
    def is_binary(self) -> bool:
        """Return whether it is one of pixels that are 0 or 1: its means are then grey where its draws are not."""

    @property
    def loss_elsewhere(self) -> LossElsewhere | None:
        """Return what other code calls -log p(x|z) up to a factor and a constant; None where it has no such name."""

    @property
    def why_no_score(self) -> str | None:
        """Return why :meth:`score_and_curvature` cannot answer, in a sentence; None where it can."""

    @property
    def score_is_natural(self) -> bool:
        """Return whether :meth:`score_and_curvature` is by the natural parameter of an exponential family, one per
        pixel: the score is then x - E[x|z] and the curvature Var(x|z)."""

    def score_and_curvature(self, pixels: PerPixel, values: PerPixel) -> tuple[PerPixel, PerPixel]:
        """Return the gradient of log p(x|z) by the decoder's values, and minus its second derivatives.

        With one value per pixel both are elementwise. The parameter may then be any other one per pixel: in the natural
        one of an exponential family they are x - E[x|z] and Var(x|z), which is also how a change of the image is
        counted in nats. With v values the score has their shape, and the curvature is (v, *shape): minus the
        derivatives of the first, second, ... value's score by all values of the same pixel.

        Raises:
            UserError: ``why_no_score`` says why; or one pixel's probability depends on another's values.
        """

    def greatest_log_prob(self, pixels: Pixels) -> PerImage | None:
        """Return what log p(x|z) cannot exceed whatever the decoder's values are, in nats; None where nothing bounds
        it."""

    def seen_by_encoder(self, pixels: Pixels) -> Pixels:
        """Return the pixels as the encoder is shown them: any function of them leaves the bound what it is."""

    def mean(self, values: Values) -> Means:
        """Return E[x|z]."""

    def values_of_mean(self, means: Means) -> Values | None:
        """Return the decoder's values that have these means, where they are one value per pixel and a closed form;
        else None."""

    def sample(self, values: Values, generator: Generator) -> Means:
        """Draw x given z."""

    def log_prob(self, pixels: Pixels, values: SampledValues) -> PerImage:
        """Return log p(x|z), summed over pixels, in nats."""


class LikelihoodFacts:
    """The base of our likelihoods, and of a user's own: facts of one that says nothing else.

    The score is had by automatic differentiation of ``log_prob``. A class that changes ``log_prob`` inherits neither
    the closed form of another density nor its bound, one that changes ``mean`` not its inverse.
    """

    least_variance: float | None = None
    values_per_pixel: int = 1
    needs_unit_interval: bool = False
    means_in_unit_interval: bool = False
    needs_counts: bool = False
    largest_count: int | None = None
    needs_grey_pixels: bool = False
    is_binary: bool = False
    loss_elsewhere: LossElsewhere | None = None
    why_no_score: str | None = None
    score_is_natural: bool = False

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if changed_since_stated(cls, ("log_prob",), "score_and_curvature"):
            cls.score_is_natural = False
            cls.score_and_curvature = LikelihoodFacts.score_and_curvature  # type: ignore[method-assign]
        if changed_since_stated(cls, ("log_prob",), "greatest_log_prob"):
            cls.greatest_log_prob = LikelihoodFacts.greatest_log_prob  # type: ignore[method-assign]
        if changed_since_stated(cls, ("mean",), "values_of_mean"):
            cls.values_of_mean = LikelihoodFacts.values_of_mean  # type: ignore[method-assign]

    def seen_by_encoder(self, pixels: Pixels) -> Pixels:
        return pixels

    def score_and_curvature(self, pixels: PerPixel, values: PerPixel) -> tuple[PerPixel, PerPixel]:
        log_prob: LogProb = self.log_prob  # type: ignore[attr-defined]
        return differentiated(log_prob, pixels, values, self.values_per_pixel)

    def greatest_log_prob(self, pixels: Pixels) -> PerImage | None:
        return None

    def values_of_mean(self, means: Means) -> Values | None:
        return None

"""Facts of an objective that says nothing else, and the price of a nat: what a loss charges for it, or why nothing."""

from typing import Any, NamedTuple

from vae_lightning.inheritance import changed_since_stated
from vae_lightning.training_step import Schedule


class Unpriced(NamedTuple):
    """A nat of KL has no price in a loss, so that no unit can be said to pay its way."""

    reason: str
    """A sentence."""


def price_at(kl_weight_in_force: float) -> float | Unpriced:
    """Return the price of a nat where the weight in force multiplies the whole KL."""
    return kl_weight_in_force if kl_weight_in_force > 0 else Unpriced("kl_weight is 0: a nat costs nothing")


class ObjectiveFacts:
    """The base of our objectives, and of a user's own.

    A class that changes the loss, by ``__call__`` or by the ``penalty`` of :class:`Elbo`, and does not say what a nat
    costs is unpriced: it does not inherit the price of a loss that it no longer has.
    """

    weighs_kl: bool = True
    is_weighted_elbo: bool = False
    importance_weighted: bool = False
    needs_density: bool = False
    needs_path_gradient: bool = False
    least_batch_size: int = 1
    latent_dim_multiple: int = 1

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if changed_since_stated(cls, ("__call__", "penalty"), "kl_coefficient"):
            cls.kl_coefficient = ObjectiveFacts.kl_coefficient  # type: ignore[method-assign]
        if changed_since_stated(cls, ("__call__", "penalty"), "is_weighted_elbo"):
            cls.is_weighted_elbo = False

    def kl_coefficient(self, kl_weight_in_force: float) -> float | Unpriced:
        """Return what the loss charges for a nat of KL, or why a nat has no price."""
        return Unpriced(f"{type(self).__name__} does not say what its loss charges for a nat (kl_coefficient)")

    def schedules(self) -> dict[str, Schedule]:
        """Return the settings that follow the length of the run, by name, as functions of the step."""
        return {}

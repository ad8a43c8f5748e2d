"""Truth by intervention: what training on, one more unit and a retrained decoder bring."""

from typing import NamedTuple

from benchmarks.truth.models import Model, improvement, judged, train, with_one_more_unit
from benchmarks.truth.zoo import STEPS, Animal, planted
from vae_lightning.diagnostics import Verdict
from vae_lightning.diagnostics.verdicts import MATTERS
from vae_lightning.estimates import Mean

SCATTER = 0.05
"""Nats by which two trainings of one model differ here, beside the error of the held-out rows."""


class Case(NamedTuple):
    """A model, what was said of it, and what interventions showed."""

    animal: Animal
    verdict: Verdict
    longer: Mean
    """What as much training again brought, its fault held."""
    one_more: Mean
    """What one more unit brought beside that."""
    truth: str


def case_of(animal: Animal) -> Case:
    """Judge a model of the zoo and find its truth."""
    model, curve = planted(animal)
    said = judged(model, curve)
    longer = model.copied()
    train(longer, STEPS, animal.seed + 100)
    bigger = with_one_more_unit(model, animal.seed + 300)
    train(bigger, 2 * STEPS, animal.seed + 100)
    much_longer = longer.copied()
    train(much_longer, STEPS, animal.seed + 200)
    by_longer, by_unit = improvement(model, longer), improvement(much_longer, bigger)
    return Case(animal, said, by_longer, by_unit, truth_of(animal, model, said, by_longer, by_unit))


def truth_of(animal: Animal, model: Model, said: Verdict, longer: Mean, one_more: Mean) -> str:
    """Return the word that the interventions bear out."""
    if animal.fault == "cut":
        return "collapsed"
    if _pays(longer) and longer.value > one_more.value / 2:  # more is on its way than is missing
        return "undertrained"
    spare = judged_directions(model) < animal.latent_dim
    if _pays(one_more):
        return "collapsed" if spare else "starved"
    return "pruned" if spare else "healthy"


def _pays(gain: Mean) -> bool:
    return gain.value > MATTERS + SCATTER + 2 * gain.error


def judged_directions(model: Model) -> int:
    """Return in how many directions the posterior means move."""
    from vae_lightning.diagnostics import active_directions

    return active_directions(model.posterior(model.data.test).mean.detach())

"""Truth by intervention: what training on, one more unit and a retrained decoder bring."""

from typing import NamedTuple

from benchmarks.truth.models import Model, improvement, judged, train, with_one_more_unit
from benchmarks.truth.zoo import STEPS, Animal, planted
from vae_lightning.diagnostics import Verdict, active_directions
from vae_lightning.diagnostics.verdicts import MATTERS
from vae_lightning.estimates import N_ERRORS, Mean

SCATTER = 0.05
"""Nats by which two trainings of one model differ here, beside the error of the held-out rows."""


class Case(NamedTuple):
    """A model, what was said of it, and what interventions showed."""

    animal: Animal
    verdict: Verdict
    longer: Mean
    """What as much training again brought, its fault held."""
    one_more: Mean
    """What one more unit brought beside twice as much training."""
    truth: str
    """The word that the interventions bear out."""
    also: str
    """Another one that they bear out, or nothing: as of a model that needs more units and more training."""


def case_of(animal: Animal) -> Case:
    """Judge a model of the zoo and find its truth."""
    model, curve = planted(animal)
    longer = model.copied()
    train(longer, STEPS, animal.seed + 100)
    bigger = with_one_more_unit(model, animal.seed + 300)
    train(bigger, 2 * STEPS, animal.seed + 100)
    much_longer = longer.copied()
    train(much_longer, STEPS, animal.seed + 200)
    by_longer, by_unit = improvement(model, longer), improvement(much_longer, bigger)
    truth, also = truth_of(animal, directions_of(model) < animal.latent_dim, by_longer, by_unit)
    return Case(animal, judged(model, curve), by_longer, by_unit, truth, also)


def truth_of(animal: Animal, spare: bool, longer: Mean, one_more: Mean) -> tuple[str, str]:
    """Return the word that the interventions bear out, and another one that they bear out too.

    Of a unit that was cut and of one that was doubled the truth is known: the model was not like that before.
    """
    on_its_way = "undertrained" if pays(longer) else ""
    if animal.fault == "cut":
        return "collapsed", on_its_way
    missing = pays(one_more)
    of_units = {(True, True): "collapsed", (True, False): "starved", (False, True): "pruned", (False, False): "healthy"}
    word = of_units[missing, spare]
    if animal.fault == "twice" or (on_its_way and not missing):
        return "undertrained", word
    return word, on_its_way


def pays(gain: Mean) -> bool:
    """Return whether an intervention brought more than matters, beyond its error and the scatter of trainings."""
    return gain.value > MATTERS + SCATTER + N_ERRORS * gain.error


def directions_of(model: Model) -> int:
    """Return in how many directions the posterior means move."""
    return active_directions(model.posterior(model.data.test).mean.detach())

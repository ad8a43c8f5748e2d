"""What became of a model's latent units, judged by the nats at stake: after Dai et al. 2020, by the residual test.

The words, with what an intervention would show:

* healthy: no unit to spare, and one more would not improve the objective;
* pruned: units to spare, and none of them would improve it: they are rightly dead;
* collapsed: units to spare, though one more would improve it, or the decoder ignores one that would pay;
* starved: no unit to spare, and one more would improve it: more units would pay;
* undertrained: the same training carried on would improve it;
* undecided: the images cannot tell, or something else is wrong that has to be mended first.

Units are counted by directions of the code: a rotation of the units changes nothing.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vae_lightning.diagnostics.active_units import active_directions
from vae_lightning.diagnostics.regions import RegionalGain, regional_gains
from vae_lightning.diagnostics.residual import Residuals, ResidualSpectrum, residual_spectrum
from vae_lightning.diagnostics.unread import by_position, gain_of_reading, idle_nats, told_twice
from vae_lightning.estimates import Mean
from vae_lightning.theory.linear_vae import gain_of_direction

MATTERS = 0.1
"""Nats per image below which a gain is no harm: two trainings that differ in the seed differ by as much."""
REAL = 0.75
"""Of the gain with the most regions: from so much on that with the fewest is no matter of how finely one cuts."""
ON_ITS_WAY = 0.25
"""Share of what is missing: where as much training again is sure to bring so much, training without end brings twice
that, as of a loss that comes down as c / t."""
ON_ITS_WAY_BESIDE_DEAD = 0.5
"""The same where units are to spare: that they are dead while the others learn speaks against it."""
LEFT_OVER = 0.05
"""Nats of KL that an optimiser's steps leave in units that tell nothing, whatever they cost."""
CONSTANT = 1e-12
"""Variance of a posterior mean over images that is mere rounding."""
SOME_REGIONS = (1, 4, 10)
MORE_REGIONS = (1, 4, 10, 20)

Word = Literal["healthy", "pruned", "collapsed", "starved", "undertrained", "undecided"]
Codes = Float[Tensor, "images latent"]


class Evidence(NamedTuple):
    """What a verdict is made of."""

    price: float
    """What the loss charges for a nat of KL, above 0."""
    written: Bool[Tensor, " latent"]
    """Units whose posterior mean moves with the image."""
    read: Bool[Tensor, " latent"]
    """Units that the decoder reads."""
    directions: int
    """In which the means of the units that are both vary."""
    kl_per_unit: Float[Tensor, " latent"]
    residual: ResidualSpectrum
    gains: Sequence[RegionalGain]
    """What one more unit would earn, by the number of regions; the first is of one region."""
    of_reading: Float[Tensor, "2 latent"]
    """What the decoder would earn by reading each unit, and the standard errors."""
    idle: Mean
    """Nats of KL that a linear change of the codes would save."""
    twice: Sequence[tuple[int, int]]
    """Pairs of units that tell the same."""
    blind: bool
    """Whether the posterior means are the same for every image to the last digits."""
    falling: Mean | None
    """What as much training again would bring, by the curves; None where there are none. It tells only what seems to be
    missing from what is on its way: while a loss falls, a unit that does not pay is rightly dead all the same."""
    cause: str | None
    """What is wrong and has to be mended first, in a sentence."""


class Verdict(NamedTuple):
    """What became of a model's latent units, and how sure that is."""

    word: Word
    margin: float
    """What one more unit, the same at every code, would earn over what the KL weight charges for it: above 1 it would
    pay."""
    error: float
    """Standard error of the margin."""
    stake: Mean
    """Nats of the objective per image that the verdict says could be had; of healthy and pruned those that one more
    unit would bring."""
    at_most: float
    """What an ideally gated unit could bring, in the same nats: an upper view."""
    sentence: str


def evidence(
    residuals: Residuals,
    means: Codes,
    codes: Codes,
    kl_per_unit: Float[Tensor, " units"],
    *,
    written: Bool[Tensor, " units"],
    read: Bool[Tensor, " units"],
    price: float,
    residual: ResidualSpectrum | None = None,
    n_regions: tuple[int, ...] = SOME_REGIONS,
    falling: Mean | None = None,
    cause: str | None = None,
    n_positions: int = 1,
) -> Evidence:
    """Gather what a verdict is made of.

    Spatial codes, of channels x positions, are judged by channels: these are then the units, alive where their codes
    are at some position.

    Args:
        residuals: of some images at the trained model.
        means: posterior means of these images; of spatial codes all positions of a channel, then those of the next.
        codes: a draw from the posterior of each, as the means.
        kl_per_unit: mean KL of each unit, in nats, summed over its positions.
        written: units whose posterior mean moves with the image.
        read: units that the decoder reads.
        price: what the loss charges for a nat.
        residual: the spectrum of the residuals, where it is known already.
        n_regions: of codes, by which units are looked for whose effect depends on the code.
        falling: what as much training again would bring, by the curves.
        cause: what is wrong and has to be mended first.
        n_positions: of each unit.
    """
    living = written & read
    moved = by_position(means - means.mean(0), n_positions)
    idle = idle_nats(by_position(means, n_positions), by_position(codes, n_positions))
    return Evidence(
        price=price,
        written=written,
        read=read,
        directions=active_directions(moved[:, living]) if bool(living.any()) else 0,
        kl_per_unit=kl_per_unit.double(),
        residual=residual or residual_spectrum(residuals),
        gains=regional_gains(residuals, means, codes, price, n_regions),
        of_reading=gain_of_reading(residuals, means, codes, n_positions),
        idle=Mean(n_positions * idle.value, n_positions * idle.error),
        twice=told_twice(moved, written),
        blind=bool((means.double().var(0, correction=0) <= CONSTANT).all()),
        falling=falling,
        cause=cause,
    )


def verdict(found: Evidence) -> Verdict:
    """Judge a model by the nats at stake: more than ``MATTERS``, beyond two standard errors."""
    word, stake, why = next(filter(None, (rule(found) for rule in RULES)))
    margin, spread = _margin(found)
    return Verdict(word, margin, spread, stake, _at_most(found), f"{word}: {_units(found)}{why}")


Said = tuple[Word, Mean, str]
"""A word, the nats at stake, and why."""


def _margin(found: Evidence) -> tuple[float, float]:
    return found.residual.largest / found.price, found.residual.error / found.price


def _spare(found: Evidence) -> int:
    return len(found.written) - found.directions


def _to_mend_first(found: Evidence) -> Said | None:
    if not found.cause:
        return None
    return "undecided", Mean(0.0, float("inf")), f"; first mend what is wrong: {found.cause}"


def _ignored_unit(found: Evidence) -> Said | None:
    if (ignored := _ignored(found)) is None:
        return None
    unit, net = ignored
    why = f"; the decoder ignores unit {unit}, which would earn {_told(net)} beyond its KL: train the decoder on"
    return "collapsed", net, why


def _too_few_images(found: Evidence) -> Said | None:
    if math.isfinite((gain := _gain(found)).error):
        return None
    return "undecided", gain, "; these are too few images to tell what one more unit would earn"


def _blind_encoder(found: Evidence) -> Said | None:
    if not (found.blind and (gain := _gain(found)).surely_above(MATTERS)):
        return None
    blind = "the encoder gives the same for every image, as if it did not see its input"
    return "collapsed", gain, f", though one more unit would earn {_told(gain)}: {blind}"


def _told_the_same(found: Evidence) -> Said | None:
    coming = _coming(found)
    if not found.twice or coming is None or not coming[0].value >= found.price * found.idle.value > MATTERS:
        return None
    return "undertrained", coming[0], f"; {_same(found)}, and {coming[1]}: train on"


def _would_pay(found: Evidence) -> Said | None:
    """Judge a model to which one more unit would surely be worth its price."""
    gain, spare, coming = _gain(found), _spare(found), _coming(found)
    if not gain.surely_above(MATTERS):
        return None
    earns = f"one more unit would earn {_told(gain)}"
    if coming is not None and coming[0].surely_above(gain.value * (ON_ITS_WAY_BESIDE_DEAD if spare else ON_ITS_WAY)):
        return "undertrained", coming[0], f"; {earns}, and {coming[1]}: train on, then ask again"
    if not spare:
        return "starved", gain, f", and {earns}: latent_dim is too small"
    same = ""
    if bool((found.written & found.read).all()):
        same = f", so that {spare} of them tell{'s' if spare == 1 else ''} what others do"
    return "collapsed", gain, f"{same}, though {earns}: the model ignores what it should tell"


def _wasteful(found: Evidence) -> Said | None:
    return None if (waste := _waste(found)) is None else ("undertrained", waste[0], f"; {waste[1]}: train on")


def _without_curvature(found: Evidence) -> Said | None:
    if not (unpriced := found.residual.unpriced):
        return None
    why = f"; {unpriced} changes of pixels' values have no curvature and could pay at any weight"
    return "undecided", _gain(found), f"{why}: the likelihood does not fit yet"


def _unsure(found: Evidence) -> Said | None:
    gain, possible = _gain(found), _possible(found)
    if Mean(MATTERS, 0.0).surely_above(gain) and possible < MATTERS:
        return None
    most = max(_at_most(found), possible)
    return "undecided", gain, f"; one more unit would earn {_told(gain)}, at most {most:.2f}"


def _enough(found: Evidence) -> Said:
    """Judge a model to which one more unit is worth nothing."""
    gain, at_most, (margin, spread) = _gain(found), _at_most(found), _margin(found)
    more = f"one more unit would earn {_told(gain)} ({margin:.2f} ± {spread:.2f} times its price)"
    if at_most > MATTERS:
        more += f", an ideally gated one up to {at_most:.2f}"
    if not _spare(found):
        return "healthy", gain, f", and there is no need of more: {more}"
    nothing = found.directions == 0 and found.residual.largest > 0
    first = f"; below a kl_weight of {found.residual.largest:.3g} a first one could live" if nothing else ""
    return "pruned", gain, f", and that is no loss: {more}{first}"


RULES = (
    _to_mend_first, _ignored_unit, _too_few_images, _blind_encoder, _told_the_same, _would_pay, _wasteful,
    _without_curvature, _unsure, _enough,
)  # fmt: skip
"""The first that has something to say is right."""


def _units(found: Evidence) -> str:
    latent_dim, living = len(found.written), int((found.written & found.read).sum())
    dead = latent_dim - living
    told = f"{dead} of {latent_dim} units {'is' if dead == 1 else 'are'} dead"
    if not dead:
        told = f"all {latent_dim} units live" if latent_dim > 1 else "the one unit lives"
    if found.directions >= living:
        return told
    others = " and the others live" if dead else ""
    return f"{told}{others} in {found.directions} direction{'' if found.directions == 1 else 's'}"


def _told(gain: Mean) -> str:
    return f"{gain.value:.2f} ± {gain.error:.2g} nats"


def _gain(found: Evidence) -> Mean:
    """Return what one more unit would earn: the same one everywhere, or one of regions that are really there."""
    if not found.gains:
        return Mean(0.0, float("inf"))
    pooled, regional = found.gains[0].gain, [each.gain for each in found.gains[1:]]
    if regional and regional[0].value >= REAL * max(each.value for each in regional):
        return max(pooled, regional[0], key=lambda gain: gain.value)
    return pooled


def _at_most(found: Evidence) -> float:
    return max((each.gain.value for each in found.gains), default=float("inf"))


def _possible(found: Evidence) -> float:
    """Return what one more unit would earn by the largest margin that the images leave possible."""
    margins = [float(found.residual.eigenvalues[0]) / found.price, found.residual.largest / found.price]
    return gain_of_direction(max(margins), found.price) if all(map(math.isfinite, margins)) else math.inf


def _ignored(found: Evidence) -> tuple[int, Mean] | None:
    """Return the unit that the decoder ignores although it would pay the most, and what it would earn beyond its KL."""
    unread = found.written & ~found.read
    net = torch.where(unread, found.of_reading[0] - found.price * found.kl_per_unit.to(found.of_reading), -torch.inf)
    unit = int(net.argmax())
    earns = Mean(float(net[unit]), float(found.of_reading[1, unit]))
    return (unit, earns) if earns.surely_above(MATTERS) else None


def _waste(found: Evidence) -> tuple[Mean, str] | None:
    """Return what units that tell nothing cost, which training on would save, and why."""
    unread_kl = float(found.kl_per_unit[~found.read].sum())
    unread = found.price * unread_kl
    idle = Mean(found.price * found.idle.value, found.price * found.idle.error)
    if unread_kl > LEFT_OVER and unread > max(MATTERS, idle.value):
        return Mean(unread, 0.0), f"units that the decoder does not read cost {unread:.2f} nats"
    if idle.surely_above(MATTERS) and found.idle.value > LEFT_OVER:
        return idle, f"the codes are not distributed as the prior, which costs {_told(idle)}"
    return None


def _same(found: Evidence) -> str:
    pairs = ", ".join(f"{one} and {other}" for one, other in found.twice[:3])
    return f"units {pairs} tell the same"


def _coming(found: Evidence) -> tuple[Mean, str] | None:
    """Return the most that training on is sure to bring, and by what it is seen."""
    seen = [] if (waste := _waste(found)) is None else [waste]
    if found.falling is not None and found.falling.surely_above(MATTERS):
        seen.append((found.falling, f"as much training again brings some {_told(found.falling)}"))
    return max(seen, key=lambda each: each[0].value, default=None)

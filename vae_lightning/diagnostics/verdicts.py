"""Was a unit's death pruning or harm? After Dai et al. 2020, decided by the residual test."""

from typing import Literal, NamedTuple

from vae_lightning.diagnostics.residual import ResidualSpectrum

STARVED = "latent_dim is too small, or the units have not learned yet what they could tell"
N_ERRORS = 2.0
"""A margin counts when it is this many standard errors away from 1."""

Word = Literal["healthy", "pruned", "collapsed", "starved", "undecided"]


class Verdict(NamedTuple):
    """What became of a model's latent units, and how sure that is."""

    word: Word
    margin: float
    """What one more unit would earn over what the KL weight charges for it: above 1 it would pay."""
    error: float
    """Standard error of the margin."""
    sentence: str


def verdict(living: int, latent_dim: int, residual: ResidualSpectrum, kl_weight: float) -> Verdict:
    """Judge a model by its dead units and by the residual's largest eigenvalue over the KL weight in force, above 0.

    ``living`` units are those that the encoder writes and the decoder reads.
    """
    margin, spread = residual.largest / kl_weight, residual.error / kl_weight
    at_most = max(float(residual.eigenvalues[0]) / kl_weight, margin)
    dead = latent_dim - living
    units = f"{dead} of {latent_dim} units {'is' if dead == 1 else 'are'} dead"
    if not dead:
        units = f"all {latent_dim} units live" if latent_dim > 1 else "the one unit lives"
    pays = f"one more unit would earn {margin:.2f} ± {spread:.2f} times what the KL weight charges for it"
    surely_pays = margin - N_ERRORS * spread > 1
    surely_does_not = margin + N_ERRORS * spread < 1 and at_most <= 1
    word: Word
    if not surely_pays and not surely_does_not:
        between = f"(at most {at_most:.2f}): these images cannot tell whether that is above 1"
        word, why = "undecided", f"and {pays} {between}"
    elif surely_does_not and not dead:
        word, why = "healthy", f"and there is no need of more: {pays}"
    elif surely_does_not:
        first = (
            f"; below a kl_weight of {residual.largest:.3g} a first one could live"
            if living == 0 and residual.largest > 0
            else ""
        )
        word, why = "pruned", f"and rightly: {pays}{first}"
    elif dead:
        word, why = "collapsed", f"though {pays}: the model ignores, or has not learned yet, what it should tell"
    else:
        word, why = "starved", f"and {pays}: {STARVED}"
    return Verdict(word, margin, spread, f"{word}: {units}, {why}")

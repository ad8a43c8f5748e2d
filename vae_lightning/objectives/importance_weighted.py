"""Which directions the importance-weighted bound lets live: critical weights of L_k from those of the ELBO.

Let one unit come alive a little, as in :mod:`vae_lightning.theory.collapse`: with g = u'(x - E[x]) and f = u'Fu it adds
g z - f z^2 / 2 to log p(x|z), and q = N(m, 1). A code then has the log-weight l = g z - f z^2 / 2 + a log p(z) / q(z),
where log p(z) / q(z) = -m^2 / 2 - m (z - m), and a = min(w, 1) is what a KL weight w puts inside the logarithm.

1. To second order E log (1/k) sum exp l = E l + c Var(l) / 2, with c = 1 - 1/k: averaging k of them leaves a k-th of
   the variance for the logarithm to lose. Here E l = g m - f / 2 - a m^2 / 2 and Var(l) = (g - a m)^2. Outside the
   logarithm (w - a) m^2 / 2 goes off.
2. Where w <= 1 the best m is g / w, and what is gained is (g^2 / w - f) / 2, whatever k: the ELBO's own rule.
3. Where w > 1 the best m is g (1 - c) / (w - c), and the gain is (g^2 (c + (1 - c)^2 / (w - c)) - f) / 2. With g = 0 a
   nat, of m^2 / 2, costs w - c.

The mean of g^2 over the data is u'Cov(x)u, at most e times f for e an eigenvalue of F^{-1/2} Cov(x) F^{-1/2}. So the
direction lives if and only if e > w for w <= 1, and e (c + (1 - c)^2 / (w - c)) > 1 above. The second is e > 1 at
w = 1, and e > 1 / c = k / (k - 1) for w without end: such a direction dies at no weight. The best m goes to 0 there,
and with it the KL, but the decoder goes on reading codes of the prior: k guesses at a time, of which the likely ones
count. It is a mixture, neither healthy nor collapsed in the sense of the ELBO.
"""

import torch

from vae_lightning.objectives.protocol import CriticalWeights


def critical_weights_of_bound(critical_weights: CriticalWeights, n_samples: int) -> CriticalWeights:
    """Return the KL weight below which each direction can live in the bound of ``n_samples`` codes.

    Infinite for a direction that no weight can kill. ``critical_weights`` are the ELBO's, which the bound of one is.
    """
    others = n_samples - 1
    above_one = (others + critical_weights / (n_samples - others * critical_weights).clamp_min(0)) / n_samples
    return torch.where(critical_weights > 1, above_one, critical_weights)

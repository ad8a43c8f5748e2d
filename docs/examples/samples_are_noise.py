"""A KL weight of 1e-6: reconstructions are good, and samples from the prior are noise.

Symptom: the opposite of collapse. The KL is tens of nats, and ``decode(torch.randn(...))`` looks like nothing.
Call: ``vl.diagnose`` and ``vl.forecast`` with the loss as the code has it.
Answer: the codes lie some ten nats from the prior, even where only their means and variances are looked at. All units
of these data live up to a weight two thousand times as large: raise it towards that.
"""

from functools import partial

from small_vae import digits, train
from torch import Tensor
from torch.nn import functional as F

import vae_lightning as vl


def loss(xh: Tensor, x: Tensor, kl: Tensor, weight: float = 1e-6) -> Tensor:
    """The squared error, averaged, plus the weighted KL of each row."""
    return F.mse_loss(xh, x) + weight * kl.sum(1).mean()


def main() -> tuple[vl.Diagnosis, vl.Diagnosis]:
    """Train at 1e-6 and at the weight below which all units live, and diagnose both."""
    x, x_test = digits()
    as_written = vl.from_loss("mse_mean", weight=1e-6)
    diagnosis = vl.diagnose(*vl.encode_decode(train(x, loss, n_units=16)), x_test, loss=as_written)
    print(diagnosis)

    critical = float(diagnosis.forecast.critical_kl_weights[15])  # below it all 16 units live
    weight = critical / 64  # the loss averages over 64 pixels
    better = train(x, partial(loss, weight=weight), n_units=16)
    mended = vl.diagnose(*vl.encode_decode(better), x_test, loss=vl.from_loss("mse_mean", weight=weight))
    print(f"at the weight {weight:.2g}: KL {mended.kl.value:.1f} nats, {mended.idle_nats.value:.2f} of them idle")
    return diagnosis, mended


if __name__ == "__main__":
    main()

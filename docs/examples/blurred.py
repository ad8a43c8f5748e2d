"""Blurred reconstructions: a sum of squares and the KL at weight 1, on pixels in [0, 1].

Symptom: reconstructions are blurred, though the networks are large enough and the training is over.
Call: ``vl.diagnose`` with the loss as the code has it.
Answer: this loss is the ELBO of a decoder whose pixels have a variance of 0.5, and the mean squared error is a tenth
of that. What the code could tell is dearer than it is worth; at the weight of a variance that fits, more is told.
"""

from functools import partial

from small_vae import digits, train
from torch import Tensor

import vae_lightning as vl


def loss(xh: Tensor, x: Tensor, kl: Tensor, weight: float = 1.0) -> Tensor:
    """The squared error of each row plus its weighted KL."""
    return (((xh - x) ** 2).sum(1) + weight * kl.sum(1)).mean()


def main() -> tuple[vl.Diagnosis, vl.Diagnosis]:
    """Train at the weight 1 and at one that fits the error, and diagnose both."""
    x, x_test = digits()
    model = train(x, loss, 16, n_steps=2500, learning_rate=3e-3)
    blurred = vl.diagnose(*vl.encode_decode(model), x_test, loss=vl.from_loss("mse_sum", weight=1.0))
    print(blurred)

    weight = 0.03  # twice the mean squared error that is left at this weight: see docs/symptoms/blurred.md
    model = train(x, partial(loss, weight=weight), 16, n_steps=2500, learning_rate=3e-3)
    mended = vl.diagnose(*vl.encode_decode(model), x_test, loss=vl.from_loss("mse_sum", weight=weight))
    for told, found in (("1", blurred), (str(weight), mended)):
        print(f"at the weight {told}: {found.kl.value:.1f} nats are told, distortion {found.distortion.value:.2f}")
    return blurred, mended


if __name__ == "__main__":
    main()

"""The code says ``kl_weight = 1e-3``, and the training never uses it.

Symptom: the KL is far smaller than so small a weight should leave it, and most units are dead.
Call: ``vl.diagnose`` with the loss as you believe it is: weight 1e-3.
Answer: the model is as one trained at 1, a thousand times as much, "as where the coefficient 0.001 is not applied".
"""

from small_vae import digits, train
from torch import Tensor

import vae_lightning as vl

KL_WEIGHT = 1e-3


def loss(xh: Tensor, x: Tensor, kl: Tensor) -> Tensor:
    """The squared error of each row plus its KL. ``KL_WEIGHT`` is forgotten."""
    return ((xh - x) ** 2).sum(1).mean() + kl.sum(1).mean()


def main() -> vl.Diagnosis:
    """Train, and diagnose by what is believed."""
    x, x_test = digits()
    model = train(x, loss, n_units=16, n_steps=2000)

    diagnosis = vl.diagnose(*vl.encode_decode(model), x_test, loss=vl.from_loss("mse_sum", weight=KL_WEIGHT))
    print(diagnosis)
    return diagnosis


if __name__ == "__main__":
    main()

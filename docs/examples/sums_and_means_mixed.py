"""An error summed over the batch beside a KL averaged over it: the KL is hardly paid for.

Symptom: reconstructions are sharp, the KL is tens of nats, samples from the prior are poor.
Call: ``vl.diagnose`` with the loss as you believe it is: a sum of squares and the KL, weight 1.
Answer: the model is as one trained at about 1/100 of that weight. ``F.mse_loss(..., reduction="sum")`` sums over the
batch of 100 as well. Told so, the diagnosis agrees with the model.
"""

from small_vae import digits, train
from torch import Tensor
from torch.nn import functional as F

import vae_lightning as vl


def loss(xh: Tensor, x: Tensor, kl: Tensor) -> Tensor:
    """The squared error, summed over pixels *and batch*, plus the KL, averaged over the batch."""
    return F.mse_loss(xh, x, reduction="sum") + kl.sum(1).mean()


def main() -> tuple[vl.Diagnosis, vl.Diagnosis]:
    """Train, and diagnose by what is believed and by what is written."""
    x, x_test = digits()
    encode, decode = vl.encode_decode(train(x, loss, n_units=16, n_steps=2000, learning_rate=5e-3))

    believed = vl.diagnose(encode, decode, x_test, loss=vl.from_loss("mse_sum", weight=1.0))
    print(believed)
    as_written = vl.from_loss("mse_sum", reconstruction_over_batch="sum", kl_over_batch="mean", batch_size=100)
    written = vl.diagnose(encode, decode, x_test, loss=as_written)
    print(written)
    return believed, written


if __name__ == "__main__":
    main()

"""All outputs are alike: the plane of a VAE with two units is one image everywhere (as in keras issue 3373).

Symptom: the decoder gives the same blurred image for every code.
Call: ``vl.diagnose`` with the loss as you believe it is; then ``vl.forecast`` with the loss as the code has it.
Answer: the cross-entropy is averaged over the 64 pixels (784 of MNIST), so that the weight 1 counts as 64 (784).
"""

from small_vae import digits, train
from torch import Tensor
from torch.nn import functional as F

import vae_lightning as vl


def loss(logits: Tensor, x: Tensor, kl: Tensor) -> Tensor:
    """The cross-entropy, averaged over pixels and batch, plus the KL of each row."""
    return F.binary_cross_entropy_with_logits(logits, x) + kl.sum(1).mean()


def main() -> tuple[vl.Diagnosis, vl.DataForecast]:
    """Train, diagnose by what is believed, and forecast by what is written."""
    x, x_test = digits()
    model = train(x, loss, n_units=2)

    encode, decode = vl.encode_decode(model)
    diagnosis = vl.diagnose(encode, decode, x_test, "bernoulli", kl_weight=1.0, decoder_gives="logits")
    print(diagnosis)
    forecast = vl.forecast(x, loss=vl.from_loss("bce_mean", weight=1.0), latent_dim=2)
    print(forecast)
    return diagnosis, forecast


if __name__ == "__main__":
    main()

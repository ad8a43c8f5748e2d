"""Are dead units a loss? Twice all or most of eight units are dead, for different reasons.

Symptom: units whose KL is 0.
Call: ``vl.diagnose(encode, decode, x_test, "bernoulli", kl_weight=...)``.
Answer: at the learning rate 0.03 the encoder's hidden layer has died, all rows get the same code, and one more unit
would earn 0.4 nats: *collapsed*. At the weight 2 no unit that is dead would pay for itself: *pruned*, all is well.
"""

from functools import partial

from small_vae import digits, train
from torch import Tensor
from torch.nn import functional as F

import vae_lightning as vl


def loss(logits: Tensor, x: Tensor, kl: Tensor, weight: float = 1.0) -> Tensor:
    """The cross-entropy of each row plus its weighted KL: a sound loss."""
    error = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    return (error + weight * kl.sum(1)).mean()


def main() -> tuple[vl.Diagnosis, vl.Diagnosis]:
    """Train too fast, and train as one should at a weight that two units survive."""
    x, x_test = digits()
    encode, decode = vl.encode_decode(train(x, loss, n_units=8, n_steps=1000, learning_rate=0.03))
    collapsed = vl.diagnose(encode, decode, x_test, "bernoulli", kl_weight=1.0, decoder_gives="logits")
    print(collapsed)

    encode, decode = vl.encode_decode(train(x, partial(loss, weight=2.0), 8, n_steps=2500, learning_rate=3e-3))
    pruned = vl.diagnose(encode, decode, x_test, "bernoulli", kl_weight=2.0, decoder_gives="logits")
    print(pruned)
    return collapsed, pruned


if __name__ == "__main__":
    main()

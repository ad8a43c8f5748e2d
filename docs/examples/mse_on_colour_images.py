"""The KL of a VAE on colour images falls to 0 at weight 1 (as with CIFAR in many threads).

Symptom: ``F.mse_loss(xh, x) + kl`` on images in [0, 1]; the KL is 0 after the first epoch, whatever the networks are.
Call: ``vl.forecast(x, loss=vl.from_loss("mse_mean", weight=1.0))``: no model is needed.
Answer: at most a quarter of a nat can survive at this weight, whatever the size of the images. Of 768 values the
weight 1 counts as 768; units live below 0.046 in this loss.
"""

import torch
from small_vae import train
from torch import Tensor
from torch.nn import functional as F

import vae_lightning as vl


def discs(n: int) -> Tensor:
    """Return colour images of 16x16 pixels: a disc somewhere, in one colour, before another colour."""
    generator = torch.Generator().manual_seed(0)
    place, size = torch.rand(n, 2, 1, 1, generator=generator), torch.rand(n, 1, 1, generator=generator)
    colours = torch.rand(n, 2, 3, 1, 1, generator=generator)
    grid = torch.linspace(0, 1, 16)
    distance = ((grid[:, None] - place[:, 0]) ** 2 + (grid - place[:, 1]) ** 2).sqrt()
    inside = torch.sigmoid(40 * (0.1 + 0.2 * size - distance)).unsqueeze(1)
    return inside * colours[:, 0] + (1 - inside) * colours[:, 1]


def loss(xh: Tensor, x: Tensor, kl: Tensor) -> Tensor:
    """The squared error, averaged over values and batch, plus the KL of each row."""
    return F.mse_loss(xh, x) + kl.sum(1).mean()


def main() -> tuple[vl.DataForecast, vl.Diagnosis]:
    """Forecast, train all the same, and diagnose."""
    images = discs(2500).flatten(1)
    x, x_test = images[:2000], images[2000:]
    as_written = vl.from_loss("mse_mean", weight=1.0)
    forecast = vl.forecast(x, loss=as_written, latent_dim=32)
    print(forecast)
    diagnosis = vl.diagnose(*vl.encode_decode(train(x, loss, n_units=32, n_steps=500)), x_test, loss=as_written)
    print(diagnosis)
    return forecast, diagnosis


if __name__ == "__main__":
    main()

"""Tabular features of very different scale, not standardised: the VAE tells of one column only.

Symptom: the loss is good, one column is reconstructed well, and all others are their means.
Call: ``vl.forecast(x, loss=...)``: no model is needed.
Answer: "column 0 has 100% of the variance, so that a squared error sees little else: standardise the columns". Of the
raw table one direction can live, of the standardised one as many as there are factors: three.
"""

import torch
from small_vae import train
from torch import Tensor

import vae_lightning as vl


def table(n: int) -> Tensor:
    """Return a temperature in kelvin beside nine shares: all of them are moved by the same three factors."""
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(n, 3, generator=generator)
    x = factors @ torch.randn(3, 10, generator=generator) + 0.5 * torch.randn(n, 10, generator=generator)
    scales = torch.tensor([15.0, 0.2, 0.1, 0.15, 0.1, 0.2, 0.05, 0.1, 0.15, 0.1])
    return x / x.std(0) * scales + torch.tensor([290.0] + 9 * [0.5])


def loss(xh: Tensor, x: Tensor, kl: Tensor) -> Tensor:
    """The squared error of each row plus its KL: a sound loss."""
    return (((xh - x) ** 2).sum(1) + kl.sum(1)).mean()


def main() -> tuple[vl.DataForecast, vl.DataForecast, vl.Diagnosis, vl.Diagnosis]:
    """Forecast for both tables, then train on both, and diagnose."""
    raw = table(3000)
    standardised = (raw - raw.mean(0)) / raw.std(0)
    as_written = vl.from_loss("mse_sum", weight=1.0)
    forecasts = [vl.forecast(x, loss=as_written, latent_dim=5) for x in (raw, standardised)]
    models = [train(x[:2500], loss, n_units=5) for x in (raw, standardised)]
    tests = (raw[2500:], standardised[2500:])
    found = [vl.diagnose(*vl.encode_decode(model), x, loss=as_written) for model, x in zip(models, tests, strict=True)]
    print(*forecasts, *found, sep="\n")
    return forecasts[0], forecasts[1], found[0], found[1]


if __name__ == "__main__":
    main()

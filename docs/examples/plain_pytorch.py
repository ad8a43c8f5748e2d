"""A VAE in plain PyTorch whose KL goes to 0.

Symptom: the loss falls at first, then it stays; the KL is almost 0, and every reconstruction is the mean image.
Call: ``vl.forecast(x, loss=...)`` before training, ``vl.diagnose(encode, decode, x_test, loss=...)`` after it.
Answer: ``F.mse_loss`` averages over the 64 pixels, so that the weight 1 of the KL counts as 64, and above 1.4 nothing
lives in these data. The forecast has the weight to write instead.
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import vae_lightning as vl


class VAE(nn.Module):
    """Your model: anything that has ``encode`` and ``decode``."""

    def __init__(self, n_units: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2 * n_units))
        self.decoder = nn.Sequential(nn.Linear(n_units, 64), nn.ReLU(), nn.Linear(64, 64))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the log variance of q(z|x)."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """Return the reconstruction."""
        given: Tensor = self.decoder(z)
        return given


def train(x: Tensor, weight: float) -> VAE:
    """Your training loop."""
    torch.manual_seed(0)
    model = VAE(n_units=16)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(1200):
        batch = x[torch.randint(len(x), (100,))]
        mean, log_variance = model.encode(batch)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
        loss = F.mse_loss(model.decode(z), batch) + weight * kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def main() -> tuple[vl.DataForecast, vl.Diagnosis, vl.Diagnosis]:
    """Train at the weight 1, diagnose, and train again at the weight that the forecast names."""
    x = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    x, x_test = x[:1400], x[1400:]
    model = train(x, weight=1.0)

    loss = vl.from_loss("mse_mean", weight=1.0)
    forecast = vl.forecast(x, loss=loss, latent_dim=16)
    diagnosis = vl.diagnose(*vl.encode_decode(model), x_test, loss=loss)
    print(forecast, diagnosis, sep="\n")

    weight = forecast.loss_weight_for(active_units=8)
    mended = vl.diagnose(*vl.encode_decode(train(x, weight)), x_test, loss=vl.from_loss("mse_mean", weight=weight))
    print(f"at the weight {weight:.3g}: KL {mended.kl.value:.1f} nats, {mended.living_units} units live")
    return forecast, diagnosis, mended


if __name__ == "__main__":
    main()

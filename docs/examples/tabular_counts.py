"""Counts, as of genes in cells: how many units, and is it the right likelihood?

Symptom: a VAE with a Poisson decoder keeps every unit that it is given, and asks for more.
Call: ``vl.forecast`` and ``vl.diagnose`` with the likelihood of the decoder, here of both.
Answer: these counts vary more than Poisson counts do. Under ``poisson`` all ten units live on that noise, and one more
would pay: *starved*. Under ``negative_binomial`` three live, as many as made the data, and seven are rightly dead:
*pruned*.
"""

import torch
from torch import Tensor, nn
from torch.distributions import Gamma, NegativeBinomial, Poisson

import vae_lightning as vl


def counts(n: int) -> Tensor:
    """Return counts of 40 columns, driven by three factors and overdispersed: their variance is mu + mu^2 / 2."""
    torch.manual_seed(0)
    rate = (0.25 * torch.randn(n, 3) @ torch.randn(3, 40) + 2 * torch.rand(40)).exp()
    return torch.poisson(rate * Gamma(2.0, 2.0).sample((n, 40)))


class CountVAE(nn.Module):
    """Ten units; the decoder gives the mean of each count."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 20))
        self.decoder = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 40))
        self.log_dispersion = nn.Parameter(torch.zeros(()))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the log variance of q(z|x)."""
        mean, log_variance = self.encoder(x.log1p()).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """Return the mean of each count."""
        log_mean: Tensor = self.decoder(z)
        return log_mean.exp()

    def log_prob(self, x: Tensor, mean: Tensor, is_poisson: bool) -> Tensor:
        """Return log p(x|z) of each row."""
        if is_poisson:
            log_prob: Tensor = Poisson(mean).log_prob(x)
        else:
            log_prob = NegativeBinomial(self.log_dispersion.exp(), logits=mean.log() - self.log_dispersion).log_prob(x)
        return log_prob.sum(1)


def train(x: Tensor, is_poisson: bool) -> CountVAE:
    """Train by the negative ELBO."""
    torch.manual_seed(1)
    model = CountVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(1300):
        batch = x[torch.randint(len(x), (100,))]
        mean, log_variance = model.encode(batch)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
        optimizer.zero_grad()
        (kl - model.log_prob(batch, model.decode(z), is_poisson)).mean().backward()
        optimizer.step()
    return model.eval()


def main() -> tuple[vl.DataForecast, vl.DataForecast, vl.Diagnosis, vl.Diagnosis]:
    """Forecast, train and diagnose with each of the two likelihoods."""
    x, x_test = counts(6000).split(4000)
    wrong, right = train(x, is_poisson=True), train(x, is_poisson=False)

    poisson = "poisson"
    negative_binomial = vl.likelihood("negative_binomial", initial_dispersion=right.log_dispersion.exp().item())
    forecasts = [vl.forecast(x, each, latent_dim=10) for each in (poisson, negative_binomial)]
    starved = vl.diagnose(*vl.encode_decode(wrong), x_test, poisson, decoder_gives="means")
    pruned = vl.diagnose(*vl.encode_decode(right), x_test, negative_binomial, decoder_gives="means")
    print(*forecasts, starved, pruned, sep="\n")
    return forecasts[0], forecasts[1], starved, pruned


if __name__ == "__main__":
    main()

"""A small VAE, a plain training loop and real data, which the examples beside this file share.

What each of them gets wrong is its loss, its learning rate or its data. Those stand in the example itself.
"""

from collections.abc import Callable

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Of what the decoder gives (rows x values), the rows, and the KL (rows x units)."""


class VAE(nn.Module):
    """One hidden layer on each side."""

    def __init__(self, n_values: int, n_units: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(n_values, 64), nn.ReLU(), nn.Linear(64, 2 * n_units))
        self.decoder = nn.Sequential(nn.Linear(n_units, 64), nn.ReLU(), nn.Linear(64, n_values))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the log variance of q(z|x)."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """Return the reconstruction, or its logits."""
        given: Tensor = self.decoder(z)
        return given


def train(x: Tensor, loss: Loss, n_units: int, n_steps: int = 1500, learning_rate: float = 2e-3) -> VAE:
    """Train a VAE on some rows, by batches of 100."""
    torch.manual_seed(0)
    model = VAE(x.shape[1], n_units)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    for _ in range(n_steps):
        batch = x[torch.randint(len(x), (100,))]
        mean, log_variance = model.encode(batch)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
        optimizer.zero_grad()
        loss(model.decode(z), batch, kl).backward()
        optimizer.step()
    return model.eval()


def digits() -> tuple[Tensor, Tensor]:
    """Return scikit-learn's digits, 8x8 grey values in [0, 1]: 1,400 to train on and 397 to test."""
    x = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    return x[:1400], x[1400:]

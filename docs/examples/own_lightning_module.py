"""An own LightningModule, watched while it trains.

Symptom: most units die early, at a weight that looks small.
Call: ``vl.CollapseMonitor(forecast, x_test)`` in the Trainer, then ``vl.diagnose(*vl.encode_decode(module), ...)``.
Answer: the monitor warns of each unit that dies although the data let it live at the weight that is believed. The model
is as one trained at four times that weight: ``F.mse_loss`` divides the error by the 64 values of a row, and
``kl.mean()`` the KL by the 16 units.
"""

import torch
from lightning.pytorch import LightningModule, Trainer
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

import vae_lightning as vl

BETA = 0.1


class MyVAE(LightningModule):
    """Your module: it has ``encode`` and ``decode``, and a loss of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32))
        self.decoder = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the log variance of q(z|x)."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """Return the reconstruction."""
        given: Tensor = self.decoder(z)
        return given

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Return the loss: both parts are averaged over everything, which is not what is believed."""
        mean, log_variance = self.encode(batch)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
        return F.mse_loss(self.decode(z), batch) + BETA * kl.mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=4e-3)


def main() -> tuple[vl.DataForecast, vl.CollapseMonitor, vl.Diagnosis]:
    """Train under watch, and diagnose."""
    torch.manual_seed(0)
    x = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    x, x_test = x[:1400], x[1400:]
    module = MyVAE()

    loss = vl.from_loss("mse_sum", weight=BETA)
    forecast = vl.forecast(x, loss=loss, latent_dim=16)
    monitor = vl.CollapseMonitor(forecast, x_test, most_time=0.2)  # seconds of training: look more often than usual
    trainer = Trainer(max_epochs=60, callbacks=[monitor], accelerator="cpu", logger=False, enable_checkpointing=False,
                      enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    trainer.fit(module, DataLoader(x, batch_size=100, shuffle=True))  # type: ignore[arg-type]
    print(forecast, f"{monitor.active_units} units are active, {len(monitor.died)} have died", sep="\n")
    diagnosis = vl.diagnose(*vl.encode_decode(module), x_test, loss=loss)
    print(diagnosis)
    return forecast, monitor, diagnosis


if __name__ == "__main__":
    main()

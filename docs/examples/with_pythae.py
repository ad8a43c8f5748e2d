"""A model of pythae, diagnosed as it is.

Symptom: a ``BetaVAE`` of pythae on small grey images; its KL is 0 at beta 1, and smaller ones are tried by hand.
Call: ``vl.diagnose(*vl.encode_decode(model), x_test, loss=...)``: pythae's encoders and decoders are read as they are.
Answer: pythae's squared error is half the sum over pixels. In these data the first direction lives below a beta of 0.7,
and eight at 0.16: no beta above 1, of which papers tell, can leave a unit alive.
"""

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import BetaVAE, BetaVAEConfig
from sklearn.datasets import load_digits
from torch import Tensor

import vae_lightning as vl


def train(x: Tensor, beta: float) -> BetaVAE:
    """Train a model of pythae, by a loop in the place of its trainer, which writes files."""
    torch.manual_seed(0)
    model = BetaVAE(BetaVAEConfig(input_dim=(1, 8, 8), latent_dim=16, reconstruction_loss="mse", beta=beta))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(600):
        batch = BaseDataset(data=x[torch.randint(len(x), (100,))], labels=torch.zeros(100))
        optimizer.zero_grad()
        model({"data": batch.data}).loss.backward()
        optimizer.step()
    return model.eval()


def main() -> tuple[vl.DataForecast, vl.Diagnosis]:
    """Train at beta 1, diagnose, and ask for the beta at which eight units live."""
    x = torch.tensor(load_digits().images, dtype=torch.float32).unsqueeze(1) / 16
    x, x_test = x[:1400], x[1400:]
    model = train(x, beta=1.0)

    loss = vl.from_loss("half_mse_sum", weight=1.0)
    diagnosis = vl.diagnose(*vl.encode_decode(model), x_test, loss=loss)
    forecast = vl.forecast(x, loss=loss, latent_dim=16)
    print(diagnosis, forecast, sep="\n")
    print(f"eight units can live at a beta of {forecast.kl_weight_for(active_units=8):.2f}")
    return forecast, diagnosis


if __name__ == "__main__":
    main()

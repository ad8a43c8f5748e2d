"""Which beta? The KL weight at which so many units live, before any training.

Symptom: beta is tried by hand, and each try is a training.
Call: ``vl.forecast(x, loss=..., latent_dim=...)`` and ``loss_weight_for(active_units=...)``.
Answer: for each weight how many units can live, and the weight for eight of them, also as your loss writes it.
"""

from small_vae import digits

import vae_lightning as vl


def main() -> vl.DataForecast:
    """Forecast at four weights, and ask for the weight at which eight units live."""
    x, _ = digits()
    loss = vl.from_loss("mse_mean", weight=[0.0001, 0.001, 0.01, 0.1])
    forecast = vl.forecast(x, loss=loss, latent_dim=16)
    print(forecast)
    weight, in_loss = forecast.kl_weight_for(active_units=8), forecast.loss_weight_for(active_units=8)
    print(f"eight units can live at kl_weight {weight:.3g}: write {in_loss:.2g} into this loss")
    return forecast


if __name__ == "__main__":
    main()

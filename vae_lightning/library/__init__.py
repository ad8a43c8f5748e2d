"""What ``import vae_lightning`` offers: forecast and diagnosis of anyone's data, loss and model."""

from vae_lightning.library.data_forecast import DataForecast
from vae_lightning.library.diagnosing import diagnose
from vae_lightning.library.diagnosis import Diagnosis
from vae_lightning.library.forecasts import forecast
from vae_lightning.library.likelihoods import likelihood
from vae_lightning.library.models import EncodeDecode, encode_decode
from vae_lightning.theory.conventions import Loss, from_loss

__all__ = [
    "DataForecast", "Diagnosis", "EncodeDecode", "Loss",
    "diagnose", "encode_decode", "forecast", "from_loss", "likelihood",
]  # fmt: skip

"""Why a VAE's decoder learns to ignore its latent code, when that happens, and what prevents it.

Everything here is imported when it is asked for: the commands start at once, and whoever forecasts or diagnoses needs
no Lightning, Hydra or Weights & Biases.
"""

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae_lightning import plots
    from vae_lightning.callbacks.collapse_monitor import CollapseMonitor
    from vae_lightning.diagnostics.unit_metrics import ActiveUnits, KLPerUnit
    from vae_lightning.errors import UserError
    from vae_lightning.library.data_forecast import DataForecast
    from vae_lightning.library.diagnosing import diagnose
    from vae_lightning.library.diagnosis import Diagnosis
    from vae_lightning.library.forecasts import forecast
    from vae_lightning.library.likelihoods import likelihood
    from vae_lightning.library.models import EncodeDecode, encode_decode
    from vae_lightning.runs.loading import load_runs
    from vae_lightning.theory.conventions import Loss, from_loss

__version__ = version("vae-lightning")

_PLACES = {
    "ActiveUnits": "diagnostics.unit_metrics",
    "CollapseMonitor": "callbacks.collapse_monitor",
    "DataForecast": "library.data_forecast",
    "Diagnosis": "library.diagnosis",
    "EncodeDecode": "library.models",
    "KLPerUnit": "diagnostics.unit_metrics",
    "Loss": "theory.conventions",
    "UserError": "errors",
    "diagnose": "library.diagnosing",
    "encode_decode": "library.models",
    "forecast": "library.forecasts",
    "from_loss": "theory.conventions",
    "likelihood": "library.likelihoods",
    "load_runs": "runs.loading",
}
"""A name, and the file that has it."""

__all__ = [
    "ActiveUnits",
    "CollapseMonitor",
    "DataForecast",
    "Diagnosis",
    "EncodeDecode",
    "KLPerUnit",
    "Loss",
    "UserError",
    "diagnose",
    "encode_decode",
    "forecast",
    "from_loss",
    "likelihood",
    "load_runs",
    "plots",
]


def __getattr__(name: str) -> Any:
    """Import a name of the library."""
    if name in _PLACES:
        return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    if name == "plots":
        return importlib.import_module(f"{__name__}.plots")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

"""What happens beside training: the unit monitor, the progress bar, the figures, saving, signals; and a monitor of
collapse for anyone's Trainer."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae_lightning.callbacks.collapse_monitor import CollapseMonitor
    from vae_lightning.callbacks.figures import RunFigures
    from vae_lightning.callbacks.gradient_noise import GradientNoise
    from vae_lightning.callbacks.interruption import Interruption
    from vae_lightning.callbacks.monitor import UnitMonitor
    from vae_lightning.callbacks.progress import EpochProgress
    from vae_lightning.callbacks.saving import Saving

_FILES = {
    "CollapseMonitor": "collapse_monitor",
    "EpochProgress": "progress",
    "GradientNoise": "gradient_noise",
    "Interruption": "interruption",
    "RunFigures": "figures",
    "Saving": "saving",
    "UnitMonitor": "monitor",
}
"""A name, and the file that has it: whoever watches a collapse needs none of what a run of ours does."""


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name in _FILES:
        return getattr(importlib.import_module(f"{__name__}.{_FILES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["CollapseMonitor", "EpochProgress", "GradientNoise", "Interruption", "RunFigures", "Saving", "UnitMonitor"]

"""What happens beside training: the unit monitor, the progress bar, the figures, saving, signals."""

from vae_lightning.callbacks.figures import RunFigures
from vae_lightning.callbacks.interruption import Interruption
from vae_lightning.callbacks.monitor import UnitMonitor
from vae_lightning.callbacks.progress import EpochProgress
from vae_lightning.callbacks.saving import Saving

__all__ = ["EpochProgress", "Interruption", "RunFigures", "Saving", "UnitMonitor"]

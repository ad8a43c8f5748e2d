"""What of Weights & Biases a user chooses."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Mode = Literal["auto", "online", "offline", "disabled"]


class WandbSettings(BaseModel):
    """The config's ``wandb`` section."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    mode: Mode
    project: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^/\\#?%:]+$")]
    entity: str | None
    group: Annotated[str, Field(min_length=1, max_length=128)] | None
    tags: list[Annotated[str, Field(min_length=1, max_length=64)]]
    log_checkpoint: bool

"""A run's config as a typed object: what was chosen, and which run it is by that. See :mod:`vae_lightning.config`."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vae_lightning.networks.initialisation import Initialisation, OutputBias
from vae_lightning.runs.identity import RunIdentity, identify

Node = dict[str, Any]
Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
"""A word that may become part of a path."""
Mode = Literal["auto", "online", "offline", "disabled"]


class Section(BaseModel):
    """A section of the config; it does not change once it is checked."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Study(Section):
    """The ``study`` section: the folder of the runs, and what the study asks, for its page of the lab notebook."""

    name: Name
    question: str


class WandbSettings(Section):
    """The ``wandb`` section: what of Weights & Biases a user chooses."""

    mode: Mode
    project: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^/\\#?%:]+$")]
    entity: str | None
    group: Annotated[str, Field(min_length=1, max_length=128)] | None
    tags: list[Annotated[str, Field(min_length=1, max_length=64)]]
    log_checkpoint: bool


class EvaluationSettings(Section):
    """The ``evaluation`` section: how much is computed of the finished model. It decides nothing of the training."""

    importance_samples: Annotated[int, Field(ge=1)] = 10
    thorough: bool = False


class Part(Section):
    """The section of a part: a name for people, the ``_target_`` to build, and its settings by their keys."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    name: Name

    def __getitem__(self, key: str) -> Any:
        return self.model_dump()[key]

    def get(self, key: str) -> Any:
        """Return a setting, None where the part has no such setting."""
        return self.model_dump().get(key)


class Model(Section):
    """The ``model`` section: a name for people, the two networks, and how they begin."""

    name: Name
    encoder: Node
    decoder: Node
    init: Initialisation = "torch"
    output_bias: OutputBias = "torch"


class Derived(Section):
    """The ``run`` section, which follows from the others."""

    fingerprint: str
    directory: str
    version: str


class RunConfig(Section):
    """The keys of ``conf/config.yaml``, checked. Which run it is: ``identity``, ``directory`` and ``fingerprint``."""

    kl_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    latent_dim: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0)]
    runs_dir: Annotated[str, Field(min_length=1)]
    data_dir: Annotated[str, Field(min_length=1)]
    smoke: bool
    rerun: bool
    resume_from: str | None
    save_every_n_steps: Annotated[int, Field(ge=1)] | None
    run: Derived | None = None
    study: Study
    wandb: WandbSettings
    data: Part
    model: Model
    likelihood: Part
    prior: Part
    posterior: Part
    objective: Part
    estimator: Part
    beta_schedule: Part
    optimizer: Part
    lr_schedule: Part
    trainer: Node
    evaluation: EvaluationSettings = EvaluationSettings()
    metrics: list[Node] = []
    callbacks: list[Node] = []

    @cached_property
    def identity(self) -> RunIdentity:
        """The identity of the run, by what decides the result."""
        return identify(self.plain())

    @property
    def directory(self) -> Path:
        """Where the run lies."""
        return self.identity.directory

    @property
    def fingerprint(self) -> str:
        """A hash of what decides the result."""
        return self.identity.fingerprint

    def plain(self) -> dict[str, Any]:
        """Return plain containers, as YAML and JSON have them."""
        return self.model_dump()

    def changed(self, **sections: Any) -> "RunConfig":
        """Return a copy in which some sections are others. They are not checked again."""
        copy = self.model_copy(update=sections)
        copy.__dict__.pop("identity", None)  # of the copy it is another one
        return copy

"""Checks a composed config before anything is built: unknown keys, types and ranges, by the key's full name.

The constructors are the schema. What a YAML file may choose are the keyword-only arguments of its ``_target_``,
with their annotations (pydantic's ``Field`` gives the ranges); what :mod:`vae_lightning.assemble` supplies itself
are the positional ones. So an option is declared once, where it is used, and a user's own class is checked alike.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar, get_type_hints

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from vae_lightning.errors import Code, UserError
from vae_lightning.runs.wandb_settings import WandbSettings
from vae_lightning.spelling import did_you_mean

Node = dict[str, Any]
Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
"""A word that may become part of a path."""
PARTS = {"data", "model.encoder", "model.decoder", "likelihood", "posterior", "objective", "estimator"}
PARTS |= {"beta_schedule", "optimizer", "lr_schedule", "trainer"}
"""Keys whose node names by ``_target_`` what to build."""


Settings = TypeVar("Settings", bound=BaseModel)


class Fault(NamedTuple):
    """What is wrong with one key."""

    key: str
    code: Code
    line: str


def error_of(faults: Sequence[Fault]) -> UserError:
    """Return one error that tells of every fault; its code is that of the first."""
    return UserError("\n".join(each.line for each in faults), faults[0].code, [each.key for each in faults])


class Study(BaseModel):
    """The ``study`` section: which page of the lab notebook a run belongs to."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: Name
    question: str


class Named(BaseModel):
    """The section of a part of the model: a name for people beside what to build."""

    model_config = ConfigDict(extra="allow", strict=True)
    name: Name


class Model(BaseModel):
    """The ``model`` section: a name for people and the two networks."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: Name
    encoder: Node
    decoder: Node


class Derived(BaseModel):
    """The ``run`` section, which follows from the others."""

    model_config = ConfigDict(extra="forbid", strict=True)
    fingerprint: str
    directory: str
    version: str


class TopLevel(BaseModel):
    """The keys of ``conf/config.yaml``."""

    model_config = ConfigDict(extra="forbid", strict=True)
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
    data: Named
    model: Model
    likelihood: Named
    posterior: Named
    objective: Named
    estimator: Named
    beta_schedule: Named
    optimizer: Named
    lr_schedule: Named
    trainer: Node


OWN_ROOMS = tuple(
    f"vae_lightning.{room}"
    for room in ("schedules", "data", "distributions", "networks", "objectives", "optimizers", "runs.trainer")
)
"""Whose ``__all__`` a config that was found in a directory may name; and torch's modules and optimisers."""


def check_origins(config: Node, also: Sequence[str] = ()) -> None:
    """Check that a config which somebody else may have written builds nothing but what this project is made of.

    Must come before :func:`checked`, which imports what is named; importing runs code. What a user types is the
    user's own.

    Raises:
        UserError: a ``_target_`` is none of these and lies in no package of ``also``; or there is something in it
            that a resolved config does not have, which could hide one.
    """
    for path, value in _walk(config, ""):
        if isinstance(value, str) and "${" in value:
            raise UserError(
                f"{path}={value}: refused; a saved config is resolved and has no interpolations", Code.REFUSED, [path]
            )
        if not isinstance(value, dict | list | str | int | float | None):
            raise UserError(f"{path}: refused; a saved config has no {type(value).__name__}", Code.REFUSED, [path])
        if path.rpartition(".")[2] == "_target_" and not _may_be_built(str(value), also):
            raise UserError(
                f"{path}={value}: refused; a saved config may name what {', '.join(OWN_ROOMS)} offer, and modules and "
                "optimisers of torch. Nothing of it was run. If you trust it: --allow PACKAGE.",
                Code.REFUSED,
                [path],
            )


def _walk(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, node
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield f"{path}.{key}".lstrip(".") + " (a key)", str(key)
        yield from _walk(value, f"{path}.{key}".lstrip("."))


def _may_be_built(target: str, also: Sequence[str]) -> bool:
    if any(target.startswith(f"{package}.") for package in also):
        return True
    module, _, name = target.rpartition(".")
    if module in OWN_ROOMS:
        return name in importlib.import_module(module).__all__
    kind = {"torch.nn": torch.nn.Module, "torch.optim": torch.optim.Optimizer}.get(module)
    found = vars(importlib.import_module(module)).get(name) if kind else None
    return kind is not None and inspect.isclass(found) and issubclass(found, kind)


def checked(config: Node, parts: Collection[str] | None = None) -> Node:
    """Return a resolved config with every value in its type: 1, 1.0 and 1e0 for a float are one value.

    With ``parts`` only these top-level keys are looked into, which spares importing what the others would build.

    Raises:
        UserError: one line per fault, each with the key's full name and what would be valid.
    """
    faults: list[Fault] = []
    config = _validated(TopLevel, config, "", faults)
    if not faults:
        config = {
            key: _checked_node(key, value, faults) if parts is None or key in parts else value
            for key, value in config.items()
        }
    if faults:
        raise error_of(faults)
    return config


def _checked_node(path: str, value: Any, faults: list[Fault]) -> Any:
    """Check a node with a ``_target_`` against the signature of what it names, and the nodes inside it."""
    if not isinstance(value, dict):
        return value
    value = {key: _checked_node(f"{path}.{key}", item, faults) for key, item in value.items()}
    if "_target_" not in value:
        if path in PARTS:
            line = f"{path}._target_: missing; it names the class or function to build"
            faults.append(Fault(f"{path}._target_", Code.MISSING, line))
        return value
    not_arguments = {"_target_", "_partial_", *(["name"] if path in PARTS else [])}
    kept = {key: item for key, item in value.items() if key in not_arguments}
    arguments = {key: item for key, item in value.items() if key not in not_arguments}
    nested = {key for key, item in arguments.items() if isinstance(item, dict) and "_target_" in item}
    try:
        schema = _schema(pkgutil.resolve_name(value["_target_"]), nested)
    except Exception as error:
        line = f"{path}._target_={value['_target_']}: not a class or function that can be built ({error})"
        faults.append(Fault(f"{path}._target_", Code.CANNOT_BUILD, line))
        return value
    return kept | _validated(schema, arguments, f"{path}.", faults)


def _schema(target: Callable[..., Any], built_elsewhere: set[str]) -> type[BaseModel]:
    """Return a pydantic model of the arguments that a YAML file may give to ``target``."""
    parameters = inspect.signature(target).parameters.values()
    ours = target.__module__.split(".")[0] == __name__.split(".")[0]
    hints = get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in parameters:
        keyword_only = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        if parameter.kind in {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
            continue
        if ours and not keyword_only:
            continue
        type_ = Any if parameter.name in built_elsewhere else hints.get(parameter.name, Any)
        # Other libraries do not share our convention: there, what has no default may be supplied when it is built.
        required = parameter.default is inspect.Parameter.empty and ours
        fields[parameter.name] = (type_, ... if required else None)
    settings = ConfigDict(extra="forbid", strict=ours, arbitrary_types_allowed=True, protected_namespaces=())
    return create_model("Arguments", __config__=settings, **fields)


def settings_of(schema: type[Settings], values: Node, prefix: str) -> Settings:
    """Return the values of a section as its schema has them. Raises UserError with a line for each fault."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise error_of(list(_told(error, schema, prefix))) from error


def _validated(schema: type[BaseModel], values: Node, prefix: str, faults: list[Fault]) -> Node:
    """Return ``values`` as the schema reads them; add what is wrong with them to ``faults``."""
    try:
        return schema.model_validate(values).model_dump(include=set(values))
    except ValidationError as error:
        faults += _told(error, schema, prefix)
        return values


def _told(error: ValidationError, schema: type[BaseModel], prefix: str) -> Iterable[Fault]:
    seen = set()
    for fault in error.errors():
        key = prefix + ".".join(str(part) for part in fault["loc"] if not _UNION_BRANCH.match(str(part)))
        if fault["type"] == "extra_forbidden":
            yield Fault(key, Code.UNKNOWN_KEY, f"{key}: not a known key; {_valid_keys(schema, fault['loc'])}")
        elif fault["type"] == "missing":
            yield Fault(key, Code.MISSING, f"{key}: missing")
        elif key not in seen:  # a union says the same of each of its branches
            message = fault["msg"].removeprefix("Value error, ")
            message = message[0].lower() + message[1:]
            yield Fault(key, Code.INVALID, f"{key}={fault['input']}: {message}")
        seen.add(key)


_UNION_BRANCH = re.compile(r"(float|int|str|constrained-\w+|function-after.*|literal\[.*|is-instance\[.*)$")
"""What pydantic appends to a key for each type that it tried."""


def _valid_keys(schema: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Name what could have been meant by an unknown key: the nearest spelling first, then every valid one."""
    for part in location[:-1]:
        schema = schema.model_fields[str(part)].annotation  # type: ignore[assignment]
    return did_you_mean(str(location[-1]), schema.model_fields)

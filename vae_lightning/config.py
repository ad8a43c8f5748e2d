"""Checks a composed config before anything is built: unknown keys, types and ranges, by the key's full name.

The constructors are the schema. What a YAML file may choose are the keyword-only arguments of its ``_target_``,
with their annotations (pydantic's ``Field`` gives the ranges); what :mod:`vae_lightning.assemble` supplies itself
are the positional ones. So an option is declared once, where it is used, and a user's own class is checked alike.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar, get_type_hints

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from vae_lightning.errors import Code, UserError
from vae_lightning.runs.identity import MECHANICS
from vae_lightning.runs.run_config import Derived, RunConfig
from vae_lightning.runs.upgrade import TARGET
from vae_lightning.spelling import did_you_mean

Node = dict[str, Any]
PARTS = {"data", "model.encoder", "model.decoder", "likelihood", "prior", "posterior", "objective", "estimator"}
PARTS |= {"beta_schedule", "optimizer", "lr_schedule", "trainer"}
"""Keys whose node names by ``_target_`` what to build."""


A_KEY = " (a key)"
Settings = TypeVar("Settings", bound=BaseModel)


OWN_ROOMS = tuple(
    f"vae_lightning.{room}"
    for room in ("data", "distributions", "networks", "objectives", "optimizers", "runs.trainer", "schedules")
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
                f"{path}={value}: refused; a saved config is resolved and has no interpolations", *_refused(path)
            )
        if not isinstance(value, dict | list | str | int | float | None):
            raise UserError(f"{path}: refused; a saved config has no {type(value).__name__}", *_refused(path))
        if path.rpartition(".")[2] == TARGET and not _may_be_built(str(value), also):
            raise UserError(
                f"{path}={value}: refused; a saved config may name what {', '.join(OWN_ROOMS)} offer, and modules and "
                "optimisers of torch. Nothing of it was run. If you trust it: --allow PACKAGE.",
                *_refused(path),
            )


def _refused(path: str) -> tuple[Code, list[str]]:
    return Code.REFUSED, [path.removesuffix(A_KEY)]


def _walk(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, node
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield f"{path}.{key}".lstrip(".") + A_KEY, str(key)
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


def checked(values: Node | RunConfig, parts: Collection[str] | None = None) -> RunConfig:
    """Return a resolved config as a typed object, in which 1, 1.0 and 1e0 for a float are one value.

    One that is checked already is returned as it is. With ``parts`` only these top-level keys are looked into, which
    spares importing what the others would build.

    Raises:
        UserError: one line per fault, each with the key's full name and what would be valid.
    """
    if isinstance(values, RunConfig):
        return values
    faults = Faults()
    values = _validated(RunConfig, values, "", faults)
    if not faults.lines:
        looked_into = values if parts is None else [key for key in values if key in parts]
        values = values | {key: _checked_node(key, values[key], faults) for key in looked_into}
        for index, node in enumerate(values.get("metrics", []) if parts is None else []):
            path = f"metrics.{index}"
            if TARGET not in node:
                where = f"{path}.{TARGET}"
                faults.add(where, Code.MISSING, f"{where}: missing; it names a function of yours")
            _checked_node(path, node, faults)
    faults.raise_if_any()
    config = RunConfig.model_validate(values)
    if parts is not None:
        return config
    derived = Derived(**config.identity.derived())
    if config.run not in (None, derived):
        raise UserError(
            f"run={config.run}: follows from the rest of the config, which makes it {derived}", Code.INVALID, ["run"]
        )
    return config.changed(run=derived)


class Faults:
    """What is wrong with a config, key by key."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.codes: list[Code] = []
        self.keys: list[str] = []

    def add(self, key: str, code: Code, line: str) -> None:
        """Note a fault of a key."""
        self.keys.append(key)
        self.codes.append(code)
        self.lines.append(line)

    def raise_if_any(self) -> None:
        """Raise one UserError about all faults, with the code of the first."""
        if self.lines:
            raise UserError("\n".join(self.lines), self.codes[0], self.keys)


def _checked_node(path: str, value: Any, faults: Faults) -> Any:
    """Check a node with a ``_target_`` against the signature of what it names, and the nodes inside it."""
    if not isinstance(value, dict):
        return value
    value = {key: _checked_node(f"{path}.{key}", item, faults) for key, item in value.items()}
    if TARGET not in value:
        if path in PARTS:
            faults.add(
                f"{path}.{TARGET}", Code.MISSING, f"{path}.{TARGET}: missing; it names the class or function to build"
            )
        return value
    not_arguments = {TARGET, MECHANICS, *(["name"] if path in PARTS else [])}
    kept = {key: item for key, item in value.items() if key in not_arguments}
    arguments = {key: item for key, item in value.items() if key not in not_arguments}
    nested = {key for key, item in arguments.items() if isinstance(item, dict) and TARGET in item}
    try:
        schema = _schema(pkgutil.resolve_name(value[TARGET]), nested)
    except Exception as error:
        line = f"{path}.{TARGET}={value[TARGET]}: not a class or function that can be built ({error})"
        faults.add(f"{path}.{TARGET}", Code.CANNOT_BUILD, line)
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
        faults = Faults()
        _note(error, schema, prefix, faults)
        faults.raise_if_any()
        raise


def _validated(schema: type[BaseModel], values: Node, prefix: str, faults: Faults) -> Node:
    """Return ``values`` as the schema reads them; add what is wrong with them to ``faults``."""
    try:
        return schema.model_validate(values).model_dump(include=set(values))
    except ValidationError as error:
        _note(error, schema, prefix, faults)
        return values


def _note(error: ValidationError, schema: type[BaseModel], prefix: str, faults: Faults) -> None:
    for fault in error.errors():
        key = prefix + ".".join(str(part) for part in fault["loc"] if not _UNION_BRANCH.match(str(part)))
        if fault["type"] == "extra_forbidden":
            faults.add(key, Code.UNKNOWN_KEY, f"{key}: not a known key; {_valid_keys(schema, fault['loc'])}")
        elif fault["type"] == "missing":
            faults.add(key, Code.MISSING, f"{key}: missing")
        elif key not in faults.keys:  # a union says the same of each of its branches
            message = fault["msg"].removeprefix("Value error, ")
            message = message[0].lower() + message[1:]
            faults.add(key, Code.INVALID, f"{key}={fault['input']}: {message}")


_UNION_BRANCH = re.compile(r"(float|int|str|constrained-\w+|function-after.*|literal\[.*|is-instance\[.*)$")
"""What pydantic appends to a key for each type that it tried."""


def _valid_keys(schema: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Name what could have been meant by an unknown key: the nearest spelling first, then every valid one."""
    for part in location[:-1]:
        schema = schema.model_fields[str(part)].annotation  # type: ignore[assignment]
    return did_you_mean(str(location[-1]), schema.model_fields)
